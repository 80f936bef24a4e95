"""What Delta tables add to the contract: what the log tells, residues, races, a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from consent import pseudonyms
from hub.errors import Rejected, Unavailable
from hub.storage.tables import DeltaTables
from tests.storage import making
from tests.storage.making import NAME, OPEN
from tests.storage.scan import find


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def log_of(root: Path, name: str = NAME) -> list[dict[str, dict[str, object]]]:
    entries = sorted((root / name / "_delta_log").glob("*.json"))
    return [json.loads(line) for entry in entries for line in entry.read_text().splitlines()]


def test_a_person_is_found_before_and_nowhere_after(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for number in range(12):
        tables.append(NAME, [making.trips(range(30))], f"push-{number}", personal=True)
        # Checkpoints remember too.
        DeltaTable(str(tmp_path / NAME)).create_checkpoint()
    needles = [making.pseudonym(7, period) for period in making.PERIODS]
    before = find(tmp_path, needles)
    assert {place.split(": ")[1] for place in before} == {
        "raw of needle 0",
        "raw of needle 1",
    }
    assert not any("_delta_log" in place for place in before), "the log never names a person"
    assert tables.rewrite(NAME, making.gone([7])) == 48
    assert find(tmp_path, needles), "older versions still hold them"
    assert not any("_delta_log" in place for place in find(tmp_path, needles))
    tables.purge(NAME)
    assert find(tmp_path, needles) == []
    assert find(tmp_path, [making.pseudonym(8, making.PERIODS[0])]), "the others are still there"
    rest = making.expected(set(range(30)) - {7}) * 12
    assert making.people_in(tables.snapshot([NAME])) == sorted(rest)


def test_the_log_tells_files_and_counts_only(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(30))], "push-1", personal=True)
    tables.rewrite(NAME, making.gone([7]))
    adds = [entry["add"] for entry in log_of(tmp_path) if "add" in entry]
    assert adds
    for add in adds:
        assert set(json.loads(str(add["stats"]))) == {"numRecords"}
        assert set(add["partitionValues"]) == {"period", "bucket"}  # type: ignore[call-overload]
    written = [entry["commitInfo"] for entry in log_of(tmp_path) if "commitInfo" in entry]
    assert len(written) == 3
    for info in written[1:]:
        assert set(info["operationParameters"]) == {"mode", "partitionBy"}  # type: ignore[call-overload]
    # A value of a row, of any column, is nowhere in the log: here the lycée of person 7.
    log = b"".join(path.read_bytes() for path in (tmp_path / NAME / "_delta_log").iterdir())
    assert b"0450007X" not in log


def test_no_file_carries_statistics_of_the_pseudonym(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(30))], "push-1", personal=True)
    for file in tables.snapshot([NAME]).files[NAME]:
        group = pq.ParquetFile(file).metadata.row_group(0)
        columns = [group.column(number) for number in range(group.num_columns)]
        told = {column.path_in_schema: column.statistics is not None for column in columns}
        assert told["pseudonym"] is False
        assert told["date"] is True


def test_the_table_is_configured_for_erasure(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    tables.append(OPEN, [making.lycees("a")], "push-1", personal=False)
    personal = DeltaTable(str(tmp_path / NAME)).metadata()
    assert personal.partition_columns == ["period", "bucket"]
    assert personal.configuration == {
        "delta.logRetentionDuration": "interval 0 days",
        "delta.deletedFileRetentionDuration": "interval 0 days",
        "delta.enableChangeDataFeed": "false",
        "delta.dataSkippingNumIndexedCols": "0",
    }
    assert DeltaTable(str(tmp_path / OPEN)).metadata().partition_columns == []


def test_a_rewrite_touches_only_the_files_that_hold_the_person(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(200))], "push-1", personal=True)
    tables.append(NAME, [making.trips(range(200, 400))], "push-2", personal=True)
    before = set(tables.snapshot([NAME]).files[NAME])
    assert len(before) == 64
    tables.rewrite(NAME, making.gone([7]))
    after = set(tables.snapshot([NAME]).files[NAME])
    assert len(before - after) == len(after - before) == 2, "one file in each period"


def test_an_emptied_bucket_loses_its_files_and_folders(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(2))], "push-1", personal=True)
    tables.rewrite(NAME, making.gone(range(2), ["2024-2025"]))
    tables.purge(NAME)
    assert not (tmp_path / NAME / "period=2024-2025").exists()
    assert (tmp_path / NAME / "period=2025-2026").exists()


def test_purge_leaves_exactly_the_live_files(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for number in range(4):
        tables.append(NAME, [making.trips(range(9))], f"push-{number}", personal=True)
    tables.rewrite(NAME, making.gone([3]))
    table = tmp_path / NAME
    strays = [
        "period=2025-2026/bucket=0/orphan.parquet",
        "period=2025-2026/orphan.parquet#1",
        ".hidden/orphan.parquet",
        "_odd/orphan.parquet",
        "_delta_log/_commit_1234.json.tmp",
        "_delta_log/00000000000000000006.json#1",
    ]
    DeltaTable(str(table), version=3).create_checkpoint()
    for stray in strays:
        (table / stray).parent.mkdir(parents=True, exist_ok=True)
        (table / stray).write_bytes(b"rest of a writer that died")
    live = {
        Path(file).relative_to(table).as_posix() for file in tables.snapshot([NAME]).files[NAME]
    }
    tables.purge(NAME)
    version = "_delta_log/00000000000000000005"
    assert files_under(table) == live | {
        f"{version}.json",
        f"{version}.checkpoint.parquet",
        "_delta_log/_last_checkpoint",
    }
    opened = tables.snapshot([NAME])
    assert opened.versions == {NAME: 5}
    assert making.people_in(opened) == sorted(making.expected(set(range(9)) - {3}) * 4)


def test_purge_removes_what_a_writer_left_before_the_first_commit(tmp_path: Path) -> None:
    stray = tmp_path / NAME / "period=2025-2026/bucket=0/orphan.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"rows")
    DeltaTables(tmp_path).purge(NAME)
    assert files_under(tmp_path) == set()


def test_refused_rows_cost_the_files_they_would_have_been(tmp_path: Path) -> None:
    """One of the same period and bucket as a row that is let in is in that row's file."""
    inside = pseudonyms.buckets(pa.array([making.pseudonym(1, "2025-2026")]))[0].as_py()
    other = (inside + 5) % 16
    refused = making.refused(
        ("2025-2026", inside), ("2025-2026", other), ("2024-2025", other), people=[]
    )
    for name, people, number in (("none", [], 3), ("some", [1], 4)):
        tables = DeltaTables(tmp_path / name)
        chunks = [making.trips(people), refused]
        assert tables.append(NAME, chunks, "push-1", personal=True).rows == 4 * len(people)
        files = sorted((tmp_path / name).rglob("bucket=*/*.parquet"))
        assert len(files) == number
        blank = [pq.read_table(file, partitioning=None) for file in files]
        nobody = [table for table in blank if not table.column("pseudonym").drop_null()]
        assert len(nobody) == number - 2 * len(people)
        assert all(table.num_rows == 1 for table in nobody)
        assert not any(column.drop_null() for table in nobody for column in table.columns)
        tables.purge(NAME)
        assert len(list((tmp_path / name).rglob("bucket=*/*.parquet"))) == 2 * len(people)


def test_a_purge_leaves_other_tables_alone(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    other = "coachco2/trips/other"
    for name in (NAME, other):
        tables.append(name, [making.trips(range(3))], "push-1", personal=True)
        tables.append(name, [making.trips(range(3))], "push-2", personal=True)
    before = files_under(tmp_path / other)
    tables.purge(NAME)
    assert files_under(tmp_path / other) == before


def test_a_failed_source_leaves_no_file(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    before = files_under(tmp_path)
    # Enough rows that some files are already on disk when the source fails.
    big = making.trips(range(3_000), each=60, periods=["2025-2026"])
    with pytest.raises(making.Interrupted):
        tables.append(NAME, making.interrupted([big]), "push-2", personal=True)
    assert files_under(tmp_path) == before


def test_an_os_error_of_the_source_is_told_as_it_is(tmp_path: Path) -> None:
    def chunks() -> object:
        yield making.trips([1])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        DeltaTables(tmp_path).append(NAME, chunks(), "push-1", personal=True)  # type: ignore[arg-type]


def test_duckdb_reads_a_snapshot(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path / "tést dir #1")
    tables.append(NAME, [making.trips(range(10))], "push-1", personal=True)
    files = list(tables.snapshot([NAME]).files[NAME])
    query = (
        "SELECT period, count(*), count(DISTINCT pseudonym), min(bucket) >= 0,"
        " typeof(any_value(date)) FROM read_parquet(?, hive_partitioning = true)"
        " GROUP BY period ORDER BY period"
    )
    with duckdb.connect() as connection:
        answer = connection.execute(query, [files]).fetchall()
    assert answer == [(period, 20, 10, True, "DATE") for period in making.PERIODS]


def test_a_path_delta_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        DeltaTables(tmp_path / "a%20b")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a log entry is not JSON": lambda table: next(
        (table / "_delta_log").glob("*1.json")
    ).write_text("{"),
    "the log is a file": lambda table: [
        (table / "_delta_log").rename(table / "gone"),
        (table / "_delta_log").write_text(""),
    ],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_unavailable(tmp_path: Path, damage: str) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    DAMAGES[damage](tmp_path / NAME)
    operations: list[Callable[[], object]] = [
        lambda: tables.snapshot([NAME]),
        lambda: tables.append(NAME, [making.trips([2])], "push-2", personal=True),
        lambda: tables.rewrite(NAME, making.gone([1])),
        lambda: tables.purge(NAME),
        lambda: tables.versions(NAME),
    ]
    for operation in operations:
        with pytest.raises(Unavailable):
            operation()


def test_a_missing_data_file_is_unavailable(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    for file in tables.snapshot([NAME]).files[NAME]:
        Path(file).unlink()
    with pytest.raises(Unavailable):
        tables.rewrite(NAME, making.gone([1]))


def at_once(*actions: Callable[[], object]) -> None:
    start, failures = threading.Barrier(len(actions)), list[BaseException]()

    def run(action: Callable[[], object]) -> None:
        start.wait()
        try:
            action()
        except (Unavailable, AssertionError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


ROUNDS = range(6)


def appending(root: Path, push: str, people: range, told: list[int]) -> Callable[[], None]:
    def action() -> None:
        stored = DeltaTables(root).append(NAME, [making.trips(people)], push, personal=True)
        assert stored.rows == 4 * len(people)
        told.append(stored.version)

    return action


@pytest.mark.parametrize("attempt", ROUNDS)
def test_the_same_push_at_once_is_committed_once(tmp_path: Path, attempt: int) -> None:
    """The lease should prevent it; a lost lease must still not double a push."""
    told: list[int] = []
    at_once(*[appending(tmp_path, "push-1", range(20), told)] * 4)
    assert told == [1] * 4
    tables = DeltaTables(tmp_path)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(range(20))
    assert tables.versions(NAME) == [0, 1]
    on_disk = {str(path) for path in tmp_path.rglob("*.parquet")}
    assert on_disk == set(tables.snapshot([NAME]).files[NAME]), "the losers left no file"


@pytest.mark.parametrize("attempt", ROUNDS)
def test_pushes_and_a_rewrite_at_once_all_take_effect(tmp_path: Path, attempt: int) -> None:
    tables, told = DeltaTables(tmp_path), list[int]()
    tables.append(NAME, [making.trips(range(30))], "push-0", personal=True)
    later = [(f"push-{n}", range(30 * n, 30 * n + 30)) for n in (1, 2, 3)]
    at_once(
        *(appending(tmp_path, push, people, told) for push, people in later),
        lambda: DeltaTables(tmp_path).rewrite(NAME, making.gone(range(10))),
    )
    assert making.people_in(tables.snapshot([NAME])) == making.expected(range(10, 120))
    assert tables.versions(NAME) == list(range(6))
    table = DeltaTable(str(tmp_path / NAME))
    for push, _ in later:
        entry = tmp_path / NAME / f"_delta_log/{table.transaction_version(push):020}.json"
        assert f'"{push}"' in entry.read_text(), "the version told is the one that holds the rows"


def test_a_rewrite_reads_only_the_buckets_of_those_who_leave(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(200))], "push-1", personal=True)
    bucket = f"bucket={making.pseudonym(7, '2025-2026')[0] >> 4}"
    for file in map(Path, tables.snapshot([NAME]).files[NAME]):
        if file.parent.name != bucket or file.parent.parent.name != "period=2025-2026":
            file.write_bytes(b"unreadable")
    assert tables.rewrite(NAME, making.gone([7], ["2025-2026"])) == 2


def test_many_pushes_stay_readable_through_checkpoints(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for number in range(105):
        tables.append(OPEN, [making.lycees(f"n{number}")], f"push-{number}", personal=False)
    log = tmp_path / OPEN / "_delta_log"
    assert list(log.glob("*.checkpoint.parquet"))
    assert len(list(log.glob("*.json"))) == 106, "only a purge forgets"
    again = tables.append(OPEN, [making.lycees("x")], "push-3", personal=False)
    assert (again.version, again.rows) == (4, 1)
    assert making.read(tables.snapshot([OPEN]), OPEN).num_rows == 105


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("action", "limit"),
    [("append", 1_000), ("append", 3_500), ("rewrite", 1_000)],
    ids=["for the rows", "for the log entry", "for the rows that stay"],
)
def test_a_full_disk_commits_nothing_and_leaves_nothing(
    tmp_path: Path, action: str, limit: int
) -> None:
    """Each data file is about 1.6 kB, the log entry that names those of the push 5 kB."""
    tables = DeltaTables(tmp_path)
    tables.append(NAME, [making.trips(range(40))], "push-1", personal=True)
    before = files_under(tmp_path)
    outcome = run(
        """
        import resource, sys
        from hub.errors import Unavailable
        from hub.storage.tables import DeltaTables
        from tests.storage import making
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
        tables, rows = DeltaTables(sys.argv[1]), [making.trips(range(40))]
        try:
            if sys.argv[2] == "append":
                tables.append(making.NAME, rows, "push-2", personal=True)
            else:
                tables.rewrite(making.NAME, making.gone(range(4)))
        except Unavailable as error:
            print(error.code)
        """,
        tmp_path,
        action,
        limit,
    )
    assert outcome.stdout == "storage-full\n", outcome.stderr
    assert files_under(tmp_path) == before
    stored = tables.append(NAME, [making.trips([77])], "push-2", personal=True)
    assert (stored.version, stored.rows) == (2, 4)


def test_processes_that_used_tables_exit_cleanly(tmp_path: Path) -> None:
    """Some ways of reading Delta tables abort the process when it ends, half of the time."""
    for number in range(5):
        outcome = run(
            """
            import sys
            from hub.storage.tables import DeltaTables
            from tests.storage import making
            tables = DeltaTables(sys.argv[1])
            tables.append(making.NAME, [making.trips(range(50))], sys.argv[2], personal=True)
            making.people_in(tables.snapshot([making.NAME]))
            tables.rewrite(making.NAME, making.gone([1]))
            tables.purge(making.NAME)
            """,
            tmp_path,
            f"push-{number}",
        )
        assert outcome.returncode == 0, outcome.stderr


def test_memory_does_not_grow_with_the_push(tmp_path: Path) -> None:
    """Ten times the rows may not cost ten times the memory."""
    outcome = run(
        """
        import resource, sys
        from hub.storage.tables import DeltaTables
        from tests.storage import making
        tables = DeltaTables(sys.argv[1])
        chunk = making.trips(range(2_000), each=10, periods=["2025-2026"])

        def peak(count):
            tables.append(making.NAME, (chunk for _ in range(count)), f"{count}", personal=True)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        print(peak(10), peak(100))
        """,
        tmp_path,
    )
    before, after = map(int, outcome.stdout.split())
    assert after - before < 150_000, "KiB"

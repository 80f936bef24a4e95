"""The contract of `Tables`, held on every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hub.errors import Conflict, Rejected
from hub.stages import Opened, Pseudonymous, Stored
from hub.storage.mirror import BucketTables
from hub.storage.rows import plain, spelled_out
from hub.storage.tables import DeltaTables, MemoryTables, Tables
from tests.storage import buckets, making
from tests.storage.making import NAME, OPEN, Interrupted

Make = Callable[[Path], Tables]


def tables_on(server: str) -> Make:
    """Makes tables in a bucket with nothing in it; the path is for copies."""
    return lambda path: BucketTables(buckets.bucket(server), path / "scratch")


KINDS: dict[str, Make] = {
    "memory": lambda _: MemoryTables(),
    "delta": DeltaTables,
    **{server: tables_on(server) for server in buckets.SERVERS},
}
EVERY = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def facts(stored: Stored) -> tuple[str, int, int]:
    return stored.table, stored.version, stored.rows


def unread() -> Iterator[Pseudonymous]:
    return (pytest.fail("a push already committed is not read again") for _ in [0])


def lycees_in(opened: Opened) -> list[str]:
    return sorted(making.read(opened, OPEN).column("uai").to_pylist())


@EVERY
def test_rows_appended_are_rows_read(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    chunks = [making.trips(range(10)), making.nobody(), making.trips(range(10, 15))]
    stored = tables.append(NAME, iter(chunks), "push-1", personal=True)
    assert facts(stored) == (NAME, 1, 60)
    opened = tables.snapshot([NAME])
    assert opened.versions == {NAME: 1}
    assert all(Path(file).is_absolute() and Path(file).exists() for file in opened.files[NAME])
    rows = making.read(opened, NAME)
    assert rows.num_rows == 60
    whole = plain(pa.concat_tables([chunks[0].rows, chunks[2].rows]), personal=True)
    whole = whole.cast(spelled_out(whole.schema))
    order = [("pseudonym", "ascending"), ("quarter_hour", "ascending")]
    rows = rows.select(whole.column_names).replace_schema_metadata(None)
    assert rows.sort_by(order).equals(whole.sort_by(order))


@EVERY
def test_a_push_is_committed_once(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    first = tables.append(NAME, [making.trips(range(5))], "push-1", personal=True)
    second = tables.append(NAME, [making.trips(range(5, 8))], "push-2", personal=True)
    for push, stored in (("push-1", first), ("push-2", second)):
        again = tables.append(NAME, unread(), push, personal=True)
        assert facts(again) == facts(stored)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(range(8))


@EVERY
def test_a_push_is_remembered_after_erasure_and_purge(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    for number in range(3):
        tables.append(NAME, [making.trips([number])], f"push-{number}", personal=True)
    assert tables.rewrite(NAME, making.gone([0, 1])) == 8
    tables.purge(NAME)
    for number in range(3):
        again = tables.append(NAME, unread(), f"push-{number}", personal=True)
        assert facts(again) == (NAME, number + 1, 4)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([2])


@EVERY
def test_a_failing_source_commits_nothing(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    chunks = making.interrupted([making.trips(range(100), each=5)])
    with pytest.raises(Interrupted):
        tables.append(NAME, chunks, "push-1", personal=True)
    assert tables.snapshot([NAME]).versions == {NAME: -1}
    assert [path for path in tmp_path.rglob("*.parquet") if path.is_file()] == []
    stored = tables.append(NAME, [making.trips([1])], "push-1", personal=True)
    assert stored.rows == 4
    with pytest.raises(Interrupted):
        tables.append(NAME, making.interrupted([making.trips([2])]), "push-2", personal=True)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([1])


@EVERY
@pytest.mark.parametrize("chunks", [[], [making.nobody()]])
def test_a_push_without_rows_commits_nothing(
    make: Make, tmp_path: Path, chunks: list[Pseudonymous]
) -> None:
    tables = make(tmp_path)
    assert facts(tables.append(NAME, chunks, "push-1", personal=True)) == (NAME, -1, 0)
    assert tables.versions(NAME) == []
    tables.append(NAME, [making.trips([1])], "push-2", personal=True)
    assert facts(tables.append(NAME, chunks, "push-1", personal=True)) == (NAME, 1, 0)
    assert tables.versions(NAME) == [0, 1]


@EVERY
def test_a_push_whose_rows_were_refused_commits_as_any_other(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    none = [making.refused(("2025-2026", 7))]
    assert facts(tables.append(NAME, none, "push-1", personal=True)) == (NAME, 1, 0)
    assert facts(tables.append(NAME, unread(), "push-1", personal=True)) == (NAME, 1, 0)
    some = [making.refused(("2025-2026", 3), people=[1])]
    assert facts(tables.append(NAME, some, "push-2", personal=True)) == (NAME, 2, 4)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([1])
    tables.purge(NAME)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([1])


@EVERY
def test_an_edition_replaces_the_one_before(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)

    def edition(push: str, *names: str) -> Stored:
        chunks = [making.lycees(*names)] if names else []
        return tables.append(OPEN, chunks, push, personal=False, mode="replace")

    assert facts(edition("push-1", "a", "b")) == (OPEN, 1, 2)
    assert facts(edition("push-2", "c")) == (OPEN, 2, 1)
    assert lycees_in(tables.snapshot([OPEN])) == ["c"]
    assert facts(edition("push-1", "a", "b")) == (OPEN, 1, 2), "an old push does not come back"
    assert facts(edition("push-3")) == (OPEN, 2, 0), "an empty edition replaces nothing"
    assert lycees_in(tables.snapshot([OPEN])) == ["c"]
    tables.append(OPEN, [making.lycees("d")], "push-4", personal=False)
    assert lycees_in(tables.snapshot([OPEN])) == ["c", "d"]


@EVERY
def test_people_leave_by_period(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(NAME, [making.trips(range(40))], "push-1", personal=True)
    tables.append(NAME, [making.trips(range(40))], "push-2", personal=True)
    assert tables.rewrite(NAME, making.gone([3, 4, 999], ["2025-2026"])) == 8
    both = making.expected(range(40), periods=["2024-2025"]) * 2
    rest = making.expected(set(range(40)) - {3, 4}, periods=["2025-2026"]) * 2
    opened = tables.snapshot([NAME])
    assert making.people_in(opened) == sorted(both + rest)
    assert opened.versions[NAME] == 3
    assert tables.rewrite(NAME, making.gone([3, 4], ["2025-2026"])) == 0
    assert tables.versions(NAME) == [0, 1, 2, 3], "nothing to remove commits nothing"


@EVERY
def test_some_days_of_people_leave(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(NAME, [making.trips(range(9))], "push-1", personal=True)
    days = (date(2025, 9, 4), date(2025, 9, 5))  # of the fourth and the fifth person
    asked = making.gone([2, 4, 5], ["2025-2026"])
    assert tables.rewrite(NAME, asked, days) == 2
    stays = [*range(4), *range(5, 9)]
    both = making.expected(range(9), periods=["2024-2025"])
    rest = making.expected(stays, periods=["2025-2026"])
    assert making.people_in(tables.snapshot([NAME])) == sorted(both + rest)
    assert tables.rewrite(NAME, asked, days) == 0


@EVERY
def test_everybody_may_leave(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(NAME, [making.trips(range(6))], "push-1", personal=True)
    assert tables.rewrite(NAME, making.gone(range(6))) == 24
    opened = tables.snapshot([NAME])
    assert opened.files[NAME] == ()
    assert opened.versions[NAME] == 2
    tables.purge(NAME)
    tables.append(NAME, [making.trips([7])], "push-2", personal=True)
    assert making.people_in(tables.snapshot([NAME])) == making.expected([7])


@EVERY
def test_a_missing_table_is_empty(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    opened = tables.snapshot([NAME, OPEN])
    assert opened.versions == {NAME: -1, OPEN: -1}
    assert opened.files == {NAME: (), OPEN: ()}
    assert tables.rewrite(NAME, making.gone([1])) == 0
    tables.purge(NAME)
    assert tables.versions(NAME) == []


@EVERY
def test_a_snapshot_stays_as_it_was(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(NAME, [making.trips(range(4))], "push-1", personal=True)
    before = tables.snapshot([NAME])
    tables.append(NAME, [making.trips([9])], "push-2", personal=True)
    tables.rewrite(NAME, making.gone([0]))
    assert making.people_in(before) == making.expected(range(4))


@EVERY
def test_purging_leaves_one_version(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(NAME, [making.trips(range(4))], "push-1", personal=True)
    before = tables.snapshot([NAME])
    tables.rewrite(NAME, making.gone([0]))
    tables.purge(NAME)
    assert tables.versions(NAME) == [2]
    assert making.people_in(tables.snapshot([NAME])) == making.expected(range(1, 4))
    if not isinstance(tables, BucketTables):  # where a snapshot is a copy
        assert not all(Path(file).exists() for file in before.files[NAME])
    tables.purge(NAME)
    assert tables.versions(NAME) == [2]


@EVERY
def test_other_columns_are_a_conflict(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    tables.append(OPEN, [making.lycees("a")], "push-1", personal=False)
    other = making.lycees("b")
    other.rows = other.rows.drop_columns(["seen"])
    for chunk, personal in ((other, False), (making.trips([1]), True)):
        with pytest.raises(Conflict) as refusal:
            tables.append(OPEN, [chunk], "push-2", personal=personal)
        assert refusal.value.code == "table-schema"
    swapped = making.lycees("b")
    swapped.rows = swapped.rows.select(["seen", "uai"])
    tables.append(OPEN, [swapped], "push-3", personal=False)
    assert lycees_in(tables.snapshot([OPEN])) == ["a", "b"]


@EVERY
def test_a_person_never_enters_an_open_table(make: Make, tmp_path: Path) -> None:
    tables = make(tmp_path)
    with pytest.raises(TypeError, match="personal table"):
        tables.append(OPEN, [making.trips([1])], "push-1", personal=False)
    with pytest.raises(TypeError, match="period"):
        tables.append(NAME, [making.lycees("a")], "push-1", personal=True)
    for column, bad in (("pseudonym", None), ("period", None), ("period", "../x")):
        chunk = making.trips([1], each=1, periods=PERIOD)
        kept = chunk.rows.schema.field(column)
        chunk.rows = chunk.rows.drop_columns([column]).append_column(
            kept, pa.array([bad], kept.type)
        )
        with pytest.raises(TypeError, match=r"period|without"):
            tables.append(NAME, [chunk], "push-1", personal=True)
    tables.append(OPEN, [making.lycees("a")], "push-1", personal=False)
    with pytest.raises(TypeError, match="nobody"):
        tables.rewrite(OPEN, making.gone([1]))
    assert tables.snapshot([NAME]).versions == {NAME: -1}


PERIOD = ("2025-2026",)


@EVERY
@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c/d", "../b/c", "/a/b", "a/b/", "a/b/.c"])
def test_names_have_three_parts(make: Make, tmp_path: Path, name: str) -> None:
    tables = make(tmp_path)
    operations: list[Callable[[], object]] = [
        lambda: tables.append(name, [], "push", personal=True),
        lambda: tables.snapshot([name]),
        lambda: tables.rewrite(name, {}),
        lambda: tables.purge(name),
        lambda: tables.versions(name),
    ]
    for operation in operations:
        with pytest.raises(Rejected):
            operation()


class AgreesWithMemory(RuleBasedStateMachine):
    """Whatever is done to both, other tables say what memory says."""

    folders: Iterator[Path]
    make: Make
    pushes = Bundle("pushes")

    def __init__(self) -> None:
        super().__init__()
        self.both: list[Tables] = [MemoryTables(), self.make(next(self.folders))]
        self.count = 0

    @rule(target=pushes, people=st.sets(st.integers(0, 9), max_size=4))
    def append(self, people: set[int]) -> tuple[str, set[int]]:
        self.count += 1
        push = (f"push-{self.count}", people)
        self.append_again(push)
        return push

    @rule(push=pushes)
    def append_again(self, push: tuple[str, set[int]]) -> None:
        chunk = making.trips(push[1], each=1)
        a, b = (facts(t.append(NAME, [chunk], push[0], personal=True)) for t in self.both)
        assert a == b

    @rule(people=st.sets(st.integers(0, 9), max_size=3), period=st.sampled_from(making.PERIODS))
    def rewrite(self, people: set[int], period: str) -> None:
        a, b = (tables.rewrite(NAME, making.gone(people, [period])) for tables in self.both)
        assert a == b

    @rule(period=st.sampled_from(making.PERIODS))
    def drop(self, period: str) -> None:
        a, b = (tables.drop(NAME, [period]) for tables in self.both)
        assert a == b

    @rule()
    def counted(self) -> None:
        a, b = (tables.periods(NAME) for tables in self.both)
        assert a == b

    @rule(push=pushes)
    def remembers(self, push: tuple[str, set[int]]) -> None:
        a, b = (tables.committed(NAME, push[0]) for tables in self.both)
        assert a == b

    @rule()
    def purge(self) -> None:
        for tables in self.both:
            tables.purge(NAME)

    @invariant()
    def same(self) -> None:
        a, b = (
            (tables.versions(NAME), opened.versions, making.people_in(opened))
            for tables in self.both
            for opened in [tables.snapshot([NAME])]
        )
        assert a == b


@pytest.mark.parametrize("kind", ["delta", *buckets.SERVERS])
def test_others_agree_with_memory(kind: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in range(10**6))
    body = {"folders": folders, "make": staticmethod(KINDS[kind])}
    most = 20 if kind == "delta" else 3
    run_state_machine_as_test(
        type("Machine", (AgreesWithMemory,), body),
        settings=settings(max_examples=most, stateful_step_count=15, deadline=None),
    )

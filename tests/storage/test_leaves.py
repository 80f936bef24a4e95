"""Buckets cut into leaves: the rows stay, few of them move, names tell groups and nobody."""

from __future__ import annotations

import random
from datetime import date
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import pseudonyms
from hub.storage import delta
from hub.storage.leaves import Layout, Span, cut, groups, prefixes, span_of, spanning
from hub.storage.parquet import Options, as_written, tried
from hub.storage.rows import staying
from hub.storage.tables import DeltaTables
from tests.storage import making
from tests.storage.making import NAME
from tests.storage.scan import find

SMALL = Layout(rows=8, loose=16)
PEOPLE = range(400)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    tables = DeltaTables(tmp_path, SMALL)
    for start in range(0, 400, 100):
        chunk = making.trips(range(start, start + 100))
        tables.append(NAME, [chunk], f"push-{start}", personal=True)
    return tables


def _neighbours() -> tuple[bytes, bytes]:
    """Two people of one bucket whose prefixes are far from each other."""
    first, *_, last = sorted(
        name
        for name in (making.pseudonym(person, "2025-2026") for person in PEOPLE)
        if name[0] >> 4 == 7
    )
    return first, last


def files(tables: DeltaTables) -> set[str]:
    return set(tables.snapshot([NAME]).files[NAME])


def test_gathering_moves_rows_and_changes_none(tables: DeltaTables) -> None:
    loose = files(tables)
    assert not any(span_of(file) for file in loose)
    made = tables.gather(NAME)
    opened = tables.snapshot([NAME])
    assert making.people_in(opened) == making.expected(PEOPLE)
    assert opened.versions[NAME] == 5
    assert len(opened.files[NAME]) == made
    for file in opened.files[NAME]:
        span = span_of(file)
        assert span is not None
        one = making.read(type(opened)._mint({NAME: 5}, {NAME: (file,)}), NAME)
        found = prefixes(one.column("pseudonym").combine_chunks())
        assert span.low <= found[0] <= found[-1] <= span.high
        bucket = int(Path(file).parent.name.removeprefix("bucket="))
        assert span.low >> 12 == span.high >> 12 == bucket
    assert tables.gather(NAME) == 0, "what is cut is left alone"
    assert tables.versions(NAME)[-1] == 5
    tables.purge(NAME)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(PEOPLE)


def test_one_person_moves_a_leaf_a_period(tables: DeltaTables) -> None:
    tables.gather(NAME)
    before = files(tables)
    assert tables.rewrite(NAME, making.gone([7])) == 4
    after = files(tables)
    assert len(before - after) == 2
    assert making.people_in(tables.snapshot([NAME])) == making.expected(set(PEOPLE) - {7})


def test_a_leaf_whose_prefix_is_sought_stays_if_nobody_of_it_leaves(tables: DeltaTables) -> None:
    tables.gather(NAME)
    before = files(tables)
    leaving, other = _neighbours()
    nobody = other[:2] + bytes(14)  # sought among the same leaves, in one and the same group
    assert tables.rewrite(NAME, {"2025-2026": [leaving, nobody]}) == 2
    [rewritten] = before - files(tables)
    span = span_of(rewritten)
    assert span is not None
    assert span.holds(prefixes(pa.array([leaving], pa.binary())))
    assert making.people_in(tables.snapshot([NAME])) == sorted(
        name for name in making.expected(PEOPLE) if name != leaving
    )


def test_many_people_come_back_in_few_files(tables: DeltaTables, tmp_path: Path) -> None:
    tables.gather(NAME)
    before = files(tables)
    leaving = range(0, 400, 3)
    gone = [making.pseudonym(p, period) for p in leaving for period in making.PERIODS]
    assert find(tmp_path, gone) != []
    assert tables.rewrite(NAME, making.gone(leaving)) == 4 * len(leaving)
    new = files(tables) - before
    assert len(new) <= 32, "a file for each period and bucket"
    tables.purge(NAME)
    assert find(tmp_path, gone) == []
    left = set(PEOPLE) - set(leaving)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(left)
    tables.append(NAME, [making.trips(range(1000, 1300))], "late", personal=True)
    assert tables.gather(NAME) > 0
    assert tables.rewrite(NAME, making.gone([1])) == 4
    everyone = (left - {1}) | set(range(1000, 1300))
    assert making.people_in(tables.snapshot([NAME])) == making.expected(everyone)


def test_loose_and_cut_rows_of_one_person_leave_together(tables: DeltaTables) -> None:
    tables.gather(NAME)
    tables.append(NAME, [making.trips([7, 8])], "later", personal=True)
    assert tables.rewrite(NAME, making.gone([7])) == 8
    people = making.people_in(tables.snapshot([NAME]))
    assert people == sorted([*making.expected(set(PEOPLE) - {7}), *making.expected([8])])


def test_many_leave_many_leaves_at_once_into_few_files(tables: DeltaTables) -> None:
    tables.gather(NAME)
    tables.purge(NAME)
    before, gone = files(tables), set(range(0, 400, 3))
    assert tables.rewrite(NAME, making.gone(gone)) == 4 * len(gone)
    after = files(tables)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(set(PEOPLE) - gone)
    assert len(after - before) <= 2 * 16, "a file for each period and bucket at most"
    assert all(span_of(path) for path in after)
    tables.purge(NAME)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(set(PEOPLE) - gone)


def test_gathering_cuts_again_what_left_together_and_nothing_else(
    tables: DeltaTables, tmp_path: Path
) -> None:
    thin = Layout(rows=2, loose=16)
    DeltaTables(tmp_path, thin).gather(NAME)
    before, gone = files(tables), set(range(0, 400, 40))
    assert tables.rewrite(NAME, making.gone(gone)) == 4 * len(gone)
    untouched, wide = files(tables) & before, files(tables) - before
    # As many loose rows as this are never there: what is cut is cut because it spans leaves.
    often = DeltaTables(tmp_path, Layout(rows=2, loose=10**6))
    tables.append(NAME, [making.trips([1000])], "later", personal=True)
    loose = files(tables) - untouched - wide
    assert often.gather(NAME) > 0
    after = files(tables)
    assert untouched | loose <= after
    assert not {path for path in wide if _width(path) > _width(min(before, key=_width)) * 4} & after
    people = (set(PEOPLE) - gone) | {1000}
    assert making.people_in(tables.snapshot([NAME])) == making.expected(people)
    assert often.gather(NAME) == 0
    tables.purge(NAME)
    names = [making.pseudonym(one, period) for one in gone for period in making.PERIODS]
    assert find(tmp_path, names) == []


def _width(path: str) -> int:
    span = span_of(path)
    assert span is not None
    return span.high - span.low + 1


def test_leaves_as_older_versions_wrote_them_are_read_and_left(
    tables: DeltaTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(rows: pa.Table) -> Options:
        """Every column compressed, each with a dictionary."""
        return {
            "compression": "zstd",
            "write_statistics": [name for name in rows.column_names if name != "pseudonym"],
            "store_schema": False,
        }

    with monkeypatch.context() as patch:
        patch.setattr(delta, "tried", older)
        tables.gather(NAME)
    old = files(tables)
    assert {codec for path in old for codec in codecs(path).values()} == {"ZSTD"}
    assert tables.rewrite(NAME, making.gone([7])) == 4
    gone = {7, *range(8, 400, 3)}
    assert tables.rewrite(NAME, making.gone(gone)) == 4 * (len(gone) - 1)
    tables.purge(NAME)
    assert making.people_in(tables.snapshot([NAME])) == making.expected(set(PEOPLE) - gone)
    new = files(tables) - old
    assert all(codecs(path)["population"] == "UNCOMPRESSED" for path in new)
    names = [making.pseudonym(one, period) for one in gone for period in making.PERIODS]
    assert find(tmp_path, names) == []


def codecs(path: str) -> dict[str, str]:
    group = pq.read_metadata(path).row_group(0)
    columns = (group.column(number) for number in range(group.num_columns))
    return {column.path_in_schema: column.compression for column in columns}


def test_small_files_are_compressed_where_it_is_worth_it(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "mode": random.Random(1).choices(["car", "bus"], k=1000),
            "said": [f"a long text, which repeats itself, and number {n}" for n in range(1000)],
            "sections": [[{"cell": f"CRS3035RES1000mN{n}"}] for n in range(1000)],
        }
    )
    options = tried(rows)
    nested = "sections.list.element.cell"
    assert options["compression"] == {"mode": "none", "said": "zstd", nested: "zstd"}
    assert options["use_dictionary"] == ["mode", nested]
    pq.write_table(rows, tmp_path / "some.parquet", **options)
    assert pq.read_table(tmp_path / "some.parquet").equals(rows)
    footer = pq.read_metadata(tmp_path / "some.parquet")
    assert as_written(footer) == options
    assert footer.row_group(0).column(0).statistics is None


@given(st.lists(st.booleans(), max_size=300), st.booleans())
def test_rows_stay_whether_they_are_viewed_or_copied(leave: list[bool], few: bool) -> None:
    leave = leave if few else [one for one in leave for _ in range(200)]
    rows = pa.table(
        {"pseudonym": [b"gone" if one else b"here" for one in leave], "n": range(len(leave))},
        schema=pa.schema([("pseudonym", pa.binary()), ("n", pa.int64())]),
    )
    kept = staying(rows, pa.array([b"gone", b"elsewhere"], pa.binary()))
    assert kept.schema == rows.schema
    assert kept.column("n").to_pylist() == [n for n, one in enumerate(leave) if not one]


def test_periods_are_counted_and_dropped(tables: DeltaTables) -> None:
    assert tables.periods(NAME) == {"2024-2025": 800, "2025-2026": 800}
    tables.gather(NAME)
    assert tables.drop(NAME, ["2024-2025", "1999-2000"]) == 800
    assert tables.drop(NAME, ["2024-2025"]) == 0
    assert tables.periods(NAME) == {"2025-2026": 800}
    left = making.expected(PEOPLE, periods=["2025-2026"])
    assert making.people_in(tables.snapshot([NAME])) == left


def test_a_failing_rewrite_leaves_no_file(
    tables: DeltaTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.gather(NAME)
    tables.purge(NAME)
    before = files(tables)

    def full(_path: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hub.storage.leaves.sync_file", full)
        with pytest.raises(Exception, match="full"):
            tables.rewrite(NAME, making.gone([7]))
    on_disk = {str(p) for p in tmp_path.rglob("*.parquet") if "_delta_log" not in str(p)}
    assert on_disk == before


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=60), st.integers(1, 20))
def test_cutting_and_putting_together_lose_nobody(people: list[bytes], rows: int) -> None:
    people = [bytes([one[0] & 0x0F]) + one[1:] for one in people]  # one bucket
    table = pa.table({"pseudonym": pa.array(people, pa.binary())})
    leaves = list(cut(table, len(people), Layout(rows=rows)))
    assert [n for _, part in leaves for n in part.column(0).to_pylist()] == sorted(people)
    for one, other in pairwise(leaves):
        assert one[0].high < other[0].low, "no leaf reaches into another"
    several = [
        (spanning([span for span, _ in some]), pa.concat_tables(part for _, part in some))
        for some in groups(leaves)
    ]
    assert [n for _, part in several for n in part.column(0).to_pylist()] == sorted(people)
    for span, part in [*leaves, *several]:
        found = prefixes(part.column(0).combine_chunks())
        assert found == sorted(int(one[:2].hex(), 16) for one in part.column(0).to_pylist())
        assert span.holds(found)
        assert span.low <= found[0] <= found[-1] <= span.high
        assert not span.holds([one for one in range(1 << 12) if not span.low <= one <= span.high])
    assert pseudonyms.buckets(table.column(0).combine_chunks()).unique().to_pylist() == [0]


def test_a_span_is_read_from_a_name_and_nothing_else() -> None:
    assert span_of(f"period=x/bucket=3/{'a' * 32}-3a00-3aff.parquet") == Span(0x3A00, 0x3AFF)
    for name in (f"{'a' * 32}-0.parquet", f"{'a' * 32}-12.parquet", "3a00-3aff.parquet"):
        assert span_of(name) is None


def test_some_days_leave_a_leaf_and_the_others_stay(tables: DeltaTables) -> None:
    tables.gather(NAME)
    days = (date(2025, 9, 4), date(2025, 9, 4))
    fourth, fifth = 3 + 28, 4 + 28
    assert tables.rewrite(NAME, making.gone([fourth, fifth], ["2025-2026"]), days) == 2
    assert making.people_in(tables.snapshot([NAME])) == sorted(
        making.expected(PEOPLE, periods=["2024-2025"])
        + making.expected([one for one in PEOPLE if one != fourth], periods=["2025-2026"])
    )

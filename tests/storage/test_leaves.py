"""Buckets cut into leaves: the rows stay, few of them move, names tell groups and nobody."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import pseudonyms
from hub.storage.leaves import Layout, Span, cut, groups, prefixes, span_of, together
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
        assert span.low <= found.min() <= found.max() <= span.high
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
    leaves = list(cut(table, Layout(rows=rows)))
    assert [n for _, part in leaves for n in part.column(0).to_pylist()] == sorted(people)
    for one, other in pairwise(leaves):
        assert one[0].high < other[0].low, "no leaf reaches into another"
    several = [together(some) for some in groups(leaves)]
    assert [n for _, part in several for n in part.column(0).to_pylist()] == sorted(people)
    for span, part in [*leaves, *several]:
        found = prefixes(part.column(0).combine_chunks())
        assert span.holds(np.sort(found))
        assert span.low <= found.min()
        assert found.max() <= span.high
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

"""Files of a stream: every row once, in its partition, and nothing of another's in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.storage import parquet
from hub.storage.parquet import write
from hub.storage.rows import BUCKET, PARTITIONS, PERIOD, PSEUDONYM

ROW = st.tuples(
    st.sampled_from(["2026-01", "2026-02"]), st.integers(0, 3), st.sampled_from(["a", "b", None])
)
SMALL = {"_ROWS_WAITING": 4, "_ROWS_HELD": 9, "_ROWS_PER_GROUP": 3, "_OPEN_FILES": 2}


def table(rows: Sequence[tuple[str, int, str | None]], *, coded: bool) -> pa.Table:
    periods, buckets, stops = zip(*rows, strict=True) if rows else ((), (), ())
    texts = pa.array(stops, pa.string())
    return pa.table(
        {
            PERIOD: pa.array(periods, pa.string()),
            BUCKET: pa.array(buckets, pa.int16()),
            "stop": texts.dictionary_encode() if coded else texts,
            PSEUDONYM: pa.array([bytes([n]) for n in buckets], pa.binary()),
            "sections": pa.array([[{"mode": stop}] for stop in stops], pa.list_(SECTION)),
        }
    )


SECTION = pa.struct([("mode", pa.string())])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(ROW, max_size=12), max_size=6), st.booleans(), st.integers(1, 8))
def test_every_row_is_in_a_file_of_its_partition(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[tuple[str, int, str | None]]],
    coded: bool,
    rows_per_file: int,
) -> None:
    root = tmp_path_factory.mktemp("table")
    tables = [table(rows, coded=coded) for rows in parts]
    schema = table([], coded=coded).schema
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (SMALL | {"_ROWS_PER_FILE": rows_per_file}).items():
            patched.setattr(parquet, name, value)
        written = write(root, tables, schema, PARTITIONS)
    assert {file.path for file in written} == {
        str(path.relative_to(root)) for path in root.rglob("*.parquet")
    }
    found: Counter[tuple[str, int, str | None]] = Counter()
    for file in written:
        rows = pq.ParquetFile(root / file.path).read()
        assert rows.num_rows == file.rows
        assert rows.schema.field("stop").type == pa.string()
        assert rows.column("sections").to_pylist() == [
            [{"mode": s}] for s in rows["stop"].to_pylist()
        ]
        period, bucket = file.values[PERIOD], int(file.values[BUCKET])
        found.update((period, bucket, stop) for stop in rows.column("stop").to_pylist())
    assert found == Counter(row for rows in parts for row in rows)


def test_a_file_holds_no_value_that_stands_in_none_of_its_rows(tmp_path: Path) -> None:
    rows = [("2026-01", bucket, f"stop-{bucket}-{n}") for n in range(9) for bucket in range(4)]
    written = write(
        tmp_path, [table(rows, coded=True)] * 2, table([], coded=True).schema, PARTITIONS
    )
    assert len(written) == 4
    for file in written:
        data = pq.ParquetFile(tmp_path / file.path, read_dictionary=["stop"])
        for group in range(data.num_row_groups):
            column = data.read_row_group(group).column("stop")
            for chunk in column.chunks:
                told = chunk.dictionary.to_pylist()
                assert set(told) == {f"stop-{file.values[BUCKET]}-{n}" for n in range(9)}
        columns = data.metadata.row_group(0)
        told = {columns.column(n).path_in_schema: columns.column(n) for n in range(3)}
        assert not told[PSEUDONYM].is_stats_set, "a pseudonym stands in no footer"
        assert told["stop"].is_stats_set
        assert told["sections.list.element.mode"].compression == "ZSTD"


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    rows = [("2026-01", n % 4, "a") for n in range(100)]

    def parts() -> Iterator[pa.Table]:
        yield table(rows, coded=True)
        raise ValueError("the second")

    with pytest.MonkeyPatch.context() as patched:
        for name, value in SMALL.items():
            patched.setattr(parquet, name, value)
        with pytest.raises(ValueError, match="the second"):
            write(tmp_path, parts(), table([], coded=True).schema, PARTITIONS)
    assert not list(tmp_path.rglob("*.parquet"))

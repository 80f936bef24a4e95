"""Writing a stream of rows as Parquet files: durable, in bounded memory, all or none."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.storage.durable import sync_all_up, sync_file
from hub.storage.rows import PSEUDONYM

# Rows that wait, of a file and of all files, before they are written, and the largest group of a
# file. They bound the memory: a personal push has at most some dozens of files open (16 buckets
# and few periods).
_ROWS_WAITING: Final = 32_768
_ROWS_HELD: Final = 1_048_576
_ROWS_PER_GROUP: Final = 65_536
_ROWS_PER_FILE: Final = 4_000_000
_OPEN_FILES: Final = 256
_MOSTLY_DISTINCT: Final = 0.75
"""Of a column whose values differ more than this, the writer would drop its dictionary again."""
_WORTH: Final = 0.8
"""What compression must leave at most of a column in small files, which are read whole and often:
each page it is used for costs a reader a context of its own, whatever the page's size."""

Options = Mapping[str, Any]
"""How a file is written, as Arrow's writer takes it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file on disk; `path` is relative to the table, `values` its partition values."""

    path: str
    size: int
    rows: int
    modified_ms: int
    values: Mapping[str, str] = field(default_factory=dict)


def write(
    root: Path, parts: Iterable[pa.Table], schema: pa.Schema, partitions: pa.Schema | None
) -> list[Written]:
    """Write the parts under `root`, by partition, synced. Whatever fails, no file stays.

    Files carry statistics for pruning, never of the pseudonym: they vanish with the file, but
    a footer is read by more tools than a column is.
    """
    mark, whole = secrets.token_hex(16), False
    names = [] if partitions is None else list(partitions.names)
    try:
        with ThreadPoolExecutor(pa.cpu_count(), "parquet") as threads:
            files = _Files(root, mark, threads)
            try:
                for part in parts:
                    rows = part.select(schema.names).cast(schema)
                    for folder, some in _by_partition(rows, names):
                        files.take(folder, some)
                files.finish()
            finally:
                files.close()
        paths = [(path, rows) for path, rows in files.written if rows]
        written = sorted(
            (described(root, made, rows) for made, rows in paths), key=lambda file: file.path
        )
        sync_all_up((made.parent for made, _ in paths), root)
        whole = True
    finally:
        if not whole:
            for path in root.rglob(f"{mark}-*"):
                path.unlink()
    return written


def statistics(schema: pa.Schema) -> list[str]:
    """Columns whose minimum and maximum a footer may tell."""
    return [f.name for f in schema if f.name != PSEUDONYM and not pa.types.is_nested(f.type)]


def described(root: Path, path: Path, rows: int) -> Written:
    """A file of this many rows under `root`, as a commit names it."""
    relative = path.relative_to(root)
    values = dict(folder.split("=", 1) for folder in relative.parts[:-1])
    status = path.stat()
    return Written(relative.as_posix(), status.st_size, rows, int(status.st_mtime * 1000), values)


class _File:
    """A file being written, by one thread at a time: a group of rows after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting: list[pa.Table] = []
        self.rows_waiting = self.rows = 0
        self.last: Future[None] | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, some: list[pa.Table]) -> None:
        """Write rows as groups of their own."""
        together = pa.concat_tables(some).unify_dictionaries().combine_chunks()
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, together.schema, **_options(together))
        for start in range(0, together.num_rows, _ROWS_PER_GROUP):
            group = together.slice(start, _ROWS_PER_GROUP)
            self._writer.write_table(_of_its_own(group), _ROWS_PER_GROUP)

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def end(self) -> None:
        """Write the footer, durably."""
        self.close()
        sync_file(self.path)


class _Files:
    """The files of a stream: rows wait until they are enough, and are written on `threads`."""

    def __init__(self, root: Path, mark: str, threads: ThreadPoolExecutor) -> None:
        self._root, self._mark, self._threads = root, mark, threads
        self._open: dict[str, _File] = {}
        self._ended: list[_File] = []
        self._held = 0

    @property
    def written(self) -> list[tuple[Path, int]]:
        """Each file and its number of rows."""
        return [(file.path, file.rows) for file in self._ended]

    def take(self, folder: str, rows: pa.Table) -> None:
        """Take rows for a folder's file. Raises what went wrong in writing earlier ones."""
        file = self._open.get(folder)
        if file is not None and file.rows + rows.num_rows > _ROWS_PER_FILE:
            self._end(folder)
            file = None
        if file is None:
            if len(self._open) >= _OPEN_FILES:
                self._end(next(iter(self._open)))
            name = f"{self._mark}-{len(self._open) + len(self._ended)}.parquet"
            file = self._open[folder] = _File(self._root / folder / name)
        file.waiting.append(rows)
        file.rows += rows.num_rows
        file.rows_waiting += rows.num_rows
        self._held += rows.num_rows
        if file.rows_waiting >= _ROWS_WAITING:
            self._flush(file)
        elif self._held > _ROWS_HELD:
            for one in self._open.values():
                self._flush(one)

    def finish(self) -> None:
        """Write all that waits, durably."""
        for folder in list(self._open):
            self._end(folder)
        for file in self._ended:
            self._settle(file)

    def close(self) -> None:
        """Let go of files that were not finished."""
        for file in (*self._ended, *self._open.values()):
            if file.last is not None:
                wait([file.last])
            file.close()

    def _end(self, folder: str) -> None:
        file = self._open.pop(folder)
        self._ended.append(file)
        self._flush(file)
        self._settle(file)
        file.last = self._threads.submit(file.end)

    def _flush(self, file: _File) -> None:
        if file.waiting:
            self._settle(file)
            some, file.waiting = file.waiting, []
            self._held -= file.rows_waiting
            file.rows_waiting = 0
            file.last = self._threads.submit(file.write, some)

    @staticmethod
    def _settle(file: _File) -> None:
        if file.last is not None:
            file.last.result()
            file.last = None


def tried(rows: pa.Table) -> Options:
    """How small files of rows like these are best written: they are written once to find out."""
    with pa.BufferOutputStream() as file:
        pq.write_table(rows, file, **_options(rows))
        return as_written(pq.read_metadata(pa.BufferReader(file.getvalue())))


def as_written(footer: pq.FileMetaData) -> Options:
    """How small files of rows like those of this one, which has some, are written.

    A column has a dictionary where it had one, and is compressed where that was worth it. There
    are no statistics: rows in the order of pseudonyms have every value between their bounds.
    """
    group = footer.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {
        "compression": {
            column.path_in_schema: column.compression.lower()
            if column.total_compressed_size <= _WORTH * column.total_uncompressed_size
            else "none"
            for column in columns
        },
        "use_dictionary": [each.path_in_schema for each in columns if each.has_dictionary_page],
        "write_statistics": False,
        "store_schema": False,
    }


def _options(rows: pa.Table) -> dict[str, Any]:
    """How a file of rows like these is written."""
    leaves = [leaf for field in rows.schema for leaf in _leaves(field.name, field.type)]
    random = {PSEUDONYM} & set(rows.column_names)
    return {
        # What is random does not shrink.
        "compression": {leaf: "none" if leaf in random else "zstd" for leaf in leaves},
        "use_dictionary": [leaf for leaf in leaves if not _mostly_distinct(rows, leaf)],
        "write_statistics": statistics(rows.schema),
        "store_schema": False,
    }


def _leaves(path: str, type_: pa.DataType) -> Iterator[str]:
    """The columns of a file that a column of rows becomes, as Parquet names them."""
    if pa.types.is_struct(type_):
        for inner in type_:
            yield from _leaves(f"{path}.{inner.name}", inner.type)
    elif pa.types.is_list(type_):
        yield from _leaves(f"{path}.list.element", type_.value_type)
    else:
        yield path


def _mostly_distinct(rows: pa.Table, leaf: str) -> bool:
    if leaf not in rows.column_names or pa.types.is_dictionary(rows.schema.field(leaf).type):
        return False
    distinct = pc.count_distinct(rows.column(leaf)).as_py()
    return bool(distinct > _MOSTLY_DISTINCT * rows.num_rows)


def _of_its_own(rows: pa.Table) -> pa.Table:
    """The same rows; a dictionary holds values of theirs alone, as it becomes part of the file.

    A value that stands in no row of a file would outlive the rows it came from.
    """
    columns = [
        _own(column.combine_chunks()) if pa.types.is_dictionary(column.type) else column
        for column in rows.columns
    ]
    return pa.table(columns, names=rows.column_names)


def _own(column: pa.DictionaryArray) -> pa.DictionaryArray:
    used = np.zeros(len(column.dictionary), bool)
    used[column.indices.drop_null().to_numpy()] = True
    if used.all():
        return column
    moved = np.append(np.cumsum(used) - 1, 0).astype(np.int32)  # one more, for who has none
    codes = pc.fill_null(column.indices, -1).to_numpy()
    indices = pa.array(moved[codes], mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, column.dictionary.filter(pa.array(used)))


Codes = npt.NDArray[np.int64]


def _by_partition(rows: pa.Table, names: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each partition, without the partition columns, and its folder."""
    codes: Codes = np.zeros(rows.num_rows, np.int64)
    folders = ["."]
    for name in names:
        numbers, values = _numbered(rows.column(name))
        codes = codes * len(values) + numbers
        folders = [f"{folder}/{name}={value}" for folder in folders for value in values]
    rows = rows.drop_columns(names)
    counts = np.bincount(codes, minlength=len(folders))
    if (codes[1:] < codes[:-1]).any():
        # A stable sort of so small numbers goes by digits.
        small = codes.astype(np.min_scalar_type(len(folders)))
        rows = rows.combine_chunks().take(pa.array(np.argsort(small, kind="stable")))
    ends = np.cumsum(counts)
    for folder, end, count in zip(folders, ends.tolist(), counts.tolist(), strict=True):
        if count:
            yield folder, rows.slice(end - count, count)


def _numbered(column: pa.ChunkedArray) -> tuple[Codes, list[object]]:
    """Which of a column's values each row has, and these values."""
    is_encoded = pa.types.is_dictionary(column.type)
    encoded = (column if is_encoded else pc.dictionary_encode(column)).unify_dictionaries()
    parts = [chunk.indices.to_numpy() for chunk in encoded.chunks]
    numbers = np.concatenate(parts, dtype=np.int64) if parts else np.zeros(0, np.int64)
    return numbers, encoded.chunk(0).dictionary.to_pylist() if parts else []

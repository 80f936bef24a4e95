"""Writing a stream of rows as Parquet files: durable, in bounded memory, all or none."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from hub.storage.durable import sync_file, sync_up
from hub.storage.rows import PSEUDONYM

# Rows waiting per open file before they are written, and the largest group of a file. They bound
# the memory: a personal push has at most some dozens of files open (16 buckets and few periods).
_ROWS_WAITING: Final = 8_192
_ROWS_PER_GROUP: Final = 65_536
_ROWS_PER_FILE: Final = 4_000_000
_OPEN_FILES: Final = 256
_MOST_PARTITIONS: Final = 16_384


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
    import pyarrow.dataset as pads  # loaded by those who write: it brings pandas

    mark, seen, whole = secrets.token_hex(16), list[Any](), False
    batches = (
        batch for part in parts for batch in part.select(schema.names).cast(schema).to_batches()
    )
    format_ = pads.ParquetFileFormat()
    options = format_.make_write_options(
        compression="zstd", write_statistics=statistics(schema), store_schema=False
    )
    try:
        pads.write_dataset(
            pa.RecordBatchReader.from_batches(schema, batches),
            root,
            format=format_,
            file_options=options,
            basename_template=f"{mark}-{{i}}.parquet",
            partitioning=partitions and pads.partitioning(partitions, flavor="hive"),
            existing_data_behavior="overwrite_or_ignore",
            file_visitor=seen.append,
            min_rows_per_group=_ROWS_WAITING,
            max_rows_per_group=_ROWS_PER_GROUP,
            max_rows_per_file=_ROWS_PER_FILE,
            max_open_files=_OPEN_FILES,
            max_partitions=_MOST_PARTITIONS,
        )
        written = sorted(
            (described(root, Path(file.path), file.metadata.num_rows) for file in seen),
            key=lambda file: file.path,
        )
        for file in written:
            sync_file(root / file.path)
        for folder in sorted({(root / file.path).parent for file in written}):
            sync_up(folder, root)
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

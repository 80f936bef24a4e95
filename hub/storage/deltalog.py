"""The log of a Delta table: what an entry of ours says, and how it is read back.

An entry lists files with their number of rows, and nothing else: no statistics, because a minimum
or a maximum is somebody's value; no predicate, because a predicate that names a person survives
the person's rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from hub.errors import Unavailable
from hub.storage.durable import Witness, storage_unavailable
from hub.storage.parquet import Written
from hub.storage.rows import BUCKET, PERIOD

CONFIGURATION: Final = {
    # Old versions are due as soon as nothing needs them: `purge` decides when, not a clock.
    "delta.logRetentionDuration": "interval 0 days",
    "delta.deletedFileRetentionDuration": "interval 0 days",
    # A change feed keeps the image of every row that left.
    "delta.enableChangeDataFeed": "false",
    # We write none; a foreign writer must not either.
    "delta.dataSkippingNumIndexedCols": "0",
}


@dataclass(frozen=True, slots=True)
class Live:
    """A file of the current version; period and bucket are None in a table about nobody."""

    path: str
    size: int
    period: str | None
    bucket: int | None
    rows: int = 0

    @property
    def values(self) -> dict[str, str | None]:
        """Partition values as the log writes them."""
        if self.period is None:
            return {}
        return {PERIOD: self.period, BUCKET: str(self.bucket)}


@contextmanager
def delta_errors(witness: Witness | None = None) -> Iterator[None]:
    """Translate what Delta, Arrow and the disk raise; an error of the source passes as it is."""
    try:
        yield
    except (DeltaError, pa.ArrowException, OSError) as error:
        if witness is not None:
            witness.retell()
        if isinstance(error, OSError):
            raise storage_unavailable(error) from error
        raise Unavailable(
            "table-unreadable",
            fr="Une table ne peut être lue ou écrite : restaurez-la depuis une sauvegarde.",
            en="A table cannot be read or written: restore it from a back-up.",
            who="operator",
        ) from error


def marks(push: str, version: int, rows: int) -> list[Transaction]:
    """The application transactions of a push: they outlive the entry, checkpoints and purges."""
    return [Transaction(push, version), Transaction(_rows_of(push), rows)]


def _rows_of(push: str) -> str:
    return f"{push}/rows"


def committed(table: DeltaTable | None, push: str) -> tuple[int, int] | None:
    """Version and number of rows of a push that this table already holds."""
    version = None if table is None else table.transaction_version(push)
    if table is None or version is None:
        return None
    return version, table.transaction_version(_rows_of(push)) or 0


def live_files(table: DeltaTable) -> list[Live]:
    """Files of the current version, sorted by path."""
    rows = pa.table(table.get_add_actions(flatten=True))
    none = [None] * rows.num_rows
    columns = (
        rows.column(name).to_pylist() if name in rows.column_names else none
        for name in (
            "path",
            "size_bytes",
            f"partition.{PERIOD}",
            f"partition.{BUCKET}",
            "num_records",
        )
    )
    return sorted((Live(*row) for row in zip(*columns, strict=True)), key=lambda file: file.path)


def adds(written: Iterable[Written]) -> list[AddAction]:
    """Say that these files are part of the table."""
    return [
        AddAction(
            path=file.path,
            size=file.size,
            partition_values=file.values,
            modification_time=file.modified_ms,
            data_change=True,
            stats=json.dumps({"numRecords": file.rows}),
        )
        for file in written
    ]


def removes(files: Iterable[Live]) -> list[RemoveAction]:
    """Say that these files are no longer part of the table."""
    # Time zero: a removed file is due at once, for a foreign vacuum too.
    return [RemoveAction(file.path, True, 0, file.size, file.values) for file in files]


def schema_of(table: DeltaTable) -> pa.Schema:
    """Columns of a table, partition columns included."""
    return pa.schema(table.schema().to_arrow())


def names_of(partitions: pa.Schema | None) -> list[str]:
    """Names of the partition columns."""
    return [] if partitions is None else list(partitions.names)

"""One Delta table in a folder: exactly-once appends, erasure, purge.

Data files are written first, then committed in one log entry. So a push whose source fails, or
whose process dies, has committed nothing, and its rows are counted before the commit that says so.

Rows leave by rewriting the files of their bucket: the log (see `deltalog`) never names a person.

Exactly once. A push is two application transactions, its Delta version and its number of rows.
Both live as long as the table, through checkpoints and purges. A commit is never retried blindly:
the loop reopens the table and asks for the push again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from consent import pseudonyms
from hub.errors import Unavailable
from hub.storage.deltalog import (
    CONFIGURATION,
    Live,
    adds,
    committed,
    delta_errors,
    live_files,
    marks,
    names_of,
    removes,
    schema_of,
)
from hub.storage.durable import Witness, sync_file, sync_folder, sync_up
from hub.storage.parquet import Written, write
from hub.storage.rows import BUCKET, PARTITIONS, PERIOD, PSEUDONYM, check_columns

Actions = list[AddAction | RemoveAction]

_LOG: Final = "_delta_log"
_ATTEMPTS: Final = 20


class DeltaFolder:
    """The table in `path`. The caller holds the table's writer lease for everything but reading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> tuple[int, tuple[str, ...]]:
        """Version and absolute paths of the live files, sorted; -1 and none without a table."""
        with delta_errors():
            table = self._open()
            if table is None:
                return -1, ()
            # Not `file_uris()`: it percent-encodes what is no address but a path.
            return table.version(), tuple(str(self._path / file.path) for file in live_files(table))

    def versions(self) -> list[int]:
        """Versions the log still tells, ascending."""
        with delta_errors():
            table = self._open()
            return [] if table is None else sorted(entry["version"] for entry in table.history())

    def committed(self, push: str) -> tuple[int, int] | None:
        """Version and number of rows of a push, None where it committed nothing here."""
        with delta_errors():
            return committed(self._open(), push)

    def append(
        self, parts: Iterator[pa.Table], push: str, *, personal: bool, replace: bool
    ) -> tuple[int, int]:
        """Commit the parts once; return the version that holds them and their number of rows.

        1. A push already committed returns what it did, and `parts` is not read.
        2. Files are written and synced. No rows: nothing is committed, not even a replacement.
        3. One entry adds them (and, replacing, removes all others), or conflicts; then ask again.
        """
        witness = Witness()
        parts = witness.watch(parts)
        with delta_errors(witness):
            table = self._open()
            done = committed(table, push)
            if done is not None:
                return done
            first = next(parts, None)
            if first is None:
                return (-1 if table is None else table.version()), 0
            if table is not None:
                partitioned = bool(table.metadata().partition_columns)
                check_columns(schema_of(table), first.schema, same_kind=partitioned == personal)
            partitions = PARTITIONS if personal else None
            written = write(self._path, chain([first], parts), first.schema, partitions)
            rows = sum(file.rows for file in written)
            with ExitStack() as undo:
                undo.callback(self._abandon, written)
                for _ in range(_ATTEMPTS):
                    table = self._open() or self._create(first.schema, partitions)
                    done = committed(table, push)
                    if done is not None:
                        return done
                    actions: Actions = [
                        *adds(written),
                        *(removes(live_files(table)) if replace else ()),
                    ]
                    version = table.version() + 1
                    said = marks(push, version, rows)
                    if self._commit(table, first.schema, partitions, actions, said):
                        undo.pop_all()
                        return version, rows
                raise _contended()

    def rewrite(self, gone: Mapping[str, Sequence[bytes]]) -> int:
        """Remove every row of these pseudonyms, by period; return how many there were.

        Files without any of them stay as they are. All others leave and their remaining rows come
        back in new files, in one entry: a reader sees all rows or the right ones. The old files
        stay on disk until `purge`.
        """
        with delta_errors():
            for _ in range(_ATTEMPTS):
                table = self._open()
                if table is None:
                    return 0
                if table.metadata().partition_columns != PARTITIONS.names:
                    raise TypeError("a table about nobody has nobody to remove")
                hit = self._holding(live_files(table), gone)
                if not hit:
                    return 0
                schema = schema_of(table)
                remaining = self._remaining(list(hit), gone)
                written = write(self._path, remaining, schema, PARTITIONS)
                with ExitStack() as undo:
                    undo.callback(self._abandon, written)
                    actions: Actions = [*adds(written), *removes(hit)]
                    if self._commit(table, schema, PARTITIONS, actions, []):
                        undo.pop_all()
                        return sum(hit.values())
            raise _contended()

    def purge(self) -> None:
        """Leave the live files and the shortest log that tells them, nothing else.

        1. A checkpoint of the current version, so that the log before it is not needed.
        2. Every other file goes: older versions', a dead writer's, temporary ones. The log before
           the checkpoint goes oldest first, so that a crash leaves no hole in it.
        3. Folders left empty go.
        Can be run again after a crash at any point. A reader of an older version loses its files.
        """
        with delta_errors():
            table = self._open()
            if table is None:
                # A writer may have died before the table's first commit.
                self._sweep(set(), "none")
                return
            table.create_checkpoint()
            self._sync_log()
            kept = {self._path / file.path for file in live_files(table)}
            self._sweep(kept, f"{table.version():020}.")

    def _sweep(self, kept: set[Path], current: str) -> None:
        log = self._path / _LOG
        for path in sorted(path for path in self._path.rglob("*") if path.is_file()):
            if path in kept or (path.parent == log and _is_log(path.name, current)):
                continue
            path.unlink()
        for folder in sorted(self._path.rglob("*/"), reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        for folder in self._path.rglob("*/"):
            sync_folder(folder)
        if self._path.exists():
            sync_folder(self._path)

    def _open(self) -> DeltaTable | None:
        try:
            return DeltaTable(str(self._path))
        except TableNotFoundError:
            return None

    def _create(self, schema: pa.Schema, partitions: pa.Schema | None) -> DeltaTable:
        try:
            table = DeltaTable.create(
                str(self._path),
                schema,
                partition_by=names_of(partitions),
                configuration=CONFIGURATION,
                # A retry would create a second time, over the other's table.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError:
            # Another process was first; if that is not it, opening says what is wrong.
            return DeltaTable(str(self._path))
        # partner/dataset/table: two folders may be new above the table's.
        sync_up(self._path, self._path.parents[2])
        return table

    def _commit(
        self,
        table: DeltaTable,
        schema: pa.Schema,
        partitions: pa.Schema | None,
        actions: Actions,
        transactions: list[Transaction],
    ) -> bool:
        """Commit as the version after this handle's, durably; False if that is taken."""
        try:
            table.create_write_transaction(
                actions,
                "append",
                schema,
                names_of(partitions),
                commit_properties=CommitProperties(
                    max_commit_retries=0, app_transactions=transactions
                ),
                # Checkpoints keep opening quick. What the log forgets is for `purge` to decide.
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )
        except CommitFailedError:
            return False
        self._sync_log()
        return True

    def _abandon(self, written: Iterable[Written]) -> None:
        """Remove what was written for a commit that failed, unless it only seemed to fail."""
        table = self._open()
        kept = set() if table is None else {file.path for file in live_files(table)}
        for file in written:
            if file.path not in kept:
                (self._path / file.path).unlink(missing_ok=True)

    def _sync_log(self) -> None:
        log = self._path / _LOG
        for pattern in ("[0-9]*.json", "[0-9]*.checkpoint.parquet", "_last_checkpoint"):
            for path in sorted(log.glob(pattern))[-2:]:
                sync_file(path)
        sync_folder(log)
        sync_folder(self._path)

    def _holding(
        self, live: Iterable[Live], gone: Mapping[str, Sequence[bytes]]
    ) -> dict[Live, int]:
        """Files that hold rows of these pseudonyms, with their number; one column is read."""
        counts: dict[Live, int] = {}
        sets = {period: _value_set(names) for period, names in gone.items() if len(names)}
        buckets = {period: set(_buckets(names)) for period, names in sets.items()}
        for file in live:
            if file.period in sets and file.bucket in buckets[file.period]:
                column = pq.ParquetFile(self._path / file.path).iter_batches(columns=[PSEUDONYM])
                values = sets[file.period]
                count = sum(pc.sum(pc.is_in(b.column(0), values)).as_py() or 0 for b in column)
                if count:
                    counts[file] = count
        return counts

    def _remaining(
        self, files: Iterable[Live], gone: Mapping[str, Sequence[bytes]]
    ) -> Iterator[pa.Table]:
        """The rows of these files that stay, with the partition columns files do not carry."""
        for file in files:
            assert file.period is not None
            values = _value_set(gone[file.period])
            for batch in pq.ParquetFile(self._path / file.path).iter_batches():
                part = pa.Table.from_batches([batch])
                part = part.filter(pc.invert(pc.is_in(part.column(PSEUDONYM), values)))
                count = part.num_rows
                part = part.append_column(PERIOD, pa.repeat(pa.scalar(file.period), count))
                yield part.append_column(
                    BUCKET, pa.repeat(pa.scalar(file.bucket, pa.int16()), count)
                )


def _value_set(names: Sequence[bytes]) -> pa.Array:
    return pa.array(names, pa.binary())


def _buckets(names: pa.Array) -> list[int]:
    return list(pc.unique(pseudonyms.buckets(names)).to_pylist())


def _is_log(name: str, current: str) -> bool:
    """Tell whether a log file tells the current version, and is not one half written."""
    return name in {f"{current}json", f"{current}checkpoint.parquet", "_last_checkpoint"}


def _contended() -> Unavailable:
    return Unavailable(
        "table-contended",
        fr="D'autres écrivains occupent cette table sans en détenir le bail.",
        en="Other writers keep this table busy without holding its lease.",
        who="operator",
    )

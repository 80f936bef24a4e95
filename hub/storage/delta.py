"""One Delta table in a folder: exactly-once appends, erasure, purge.

Data files are written first, then committed in one log entry. So a push whose source fails, or
whose process dies, has committed nothing, and its rows are counted before the commit that says so.

Rows leave by rewriting the files of their bucket, or of their leaf where the bucket was cut (see
`leaves`): the log (see `deltalog`) never names a person.

Exactly once. A push is two application transactions, its Delta version and its number of rows.
Both live as long as the table, through checkpoints and purges. A commit is never retried blindly:
the loop reopens the table and asks for the push again.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path
from typing import Final

import numpy as np
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
from hub.storage.leaves import (
    WAITING,
    Layout,
    Part,
    Span,
    cut,
    groups,
    is_leaf,
    prefixes,
    span_of,
    spanning,
    spread,
    write_spans,
)
from hub.storage.parquet import Written, as_written, tried, write
from hub.storage.rows import (
    BUCKET,
    PARTITIONS,
    PERIOD,
    Days,
    check_columns,
    leaving,
    looked_at,
    marked,
    only,
    spelled_out,
    staying,
)

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
            return table.version(), tuple(f"{self._path}/{one.path}" for one in live_files(table))

    def live(self) -> list[Live]:
        """The live files, by path in the table; none without a table."""
        with delta_errors():
            table = self._open()
            return [] if table is None else live_files(table)

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
        self,
        parts: Iterator[pa.Table],
        push: str,
        *,
        personal: bool,
        replace: bool,
        refused: Collection[tuple[str, int]] = (),
    ) -> tuple[int, int]:
        """Commit the parts once; return the version that holds them and their number of rows.

        1. A push already committed returns what it did, and `parts` is not read.
        2. Files are written and synced. No part: nothing is committed, not even a replacement.
        3. A file of one blank row is written for each period and bucket of `refused` that has
           none; no entry names it, the next purge removes it.
        4. One entry adds them (and, replacing, removes all others), or conflicts; then ask again.
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
            schema = spelled_out(first.schema)
            if table is not None:
                partitioned = bool(table.metadata().partition_columns)
                check_columns(schema_of(table), schema, same_kind=partitioned == personal)
            partitions = PARTITIONS if personal else None
            written = write(self._path, chain([first], parts), first.schema, partitions)
            rows = sum(file.rows for file in written)
            self._blank(schema, refused, written)
            with ExitStack() as undo:
                undo.callback(self._abandon, written)
                for _ in range(_ATTEMPTS):
                    table = self._open() or self._create(schema, partitions)
                    done = committed(table, push)
                    if done is not None:
                        return done
                    actions: Actions = [
                        *adds(written),
                        *(removes(live_files(table)) if replace else ()),
                    ]
                    version = table.version() + 1
                    said = marks(push, version, rows)
                    if self._commit(table, schema, partitions, actions, said):
                        undo.pop_all()
                        return version, rows
                raise _contended()

    def _blank(
        self, schema: pa.Schema, refused: Collection[tuple[str, int]], written: Sequence[Written]
    ) -> None:
        """Write as many files more as the refused rows would have been, of nothing."""
        there = {(file.values[PERIOD], int(file.values[BUCKET])) for file in written if file.values}
        missing = sorted(set(refused) - there)
        if missing:
            places = zip((PERIOD, BUCKET), zip(*missing, strict=True), strict=True)
            blank = {field.name: pa.nulls(len(missing), field.type) for field in schema}
            blank |= {name: pa.array(given, schema.field(name).type) for name, given in places}
            write(self._path, [pa.table(blank, schema)], schema, PARTITIONS)

    def rewrite(self, gone: Mapping[str, Sequence[bytes]], days: Days | None = None) -> int:
        """Remove every row of these pseudonyms, by period; return how many there were.

        Those of some days only, if they are named.
        Files without any of them stay as they are. All others leave and their remaining rows come
        back in new files, in one entry: a reader sees all rows or the right ones. The old files
        stay on disk until `purge`.
        """
        with delta_errors():
            for _ in range(_ATTEMPTS):
                table = self._personal()
                if table is None:
                    return 0
                schema = schema_of(table)
                hit, written = self._without(live_files(table), gone, schema, days)
                if not hit:
                    return 0
                with ExitStack() as undo:
                    undo.callback(self._abandon, written)
                    actions: Actions = [*adds(written), *removes(hit)]
                    if self._commit(table, schema, PARTITIONS, actions, []):
                        undo.pop_all()
                        return sum(hit.values())
            raise _contended()

    def drop(self, periods: Sequence[str]) -> int:
        """Remove every row of these periods, in one entry; return how many there were."""
        with delta_errors():
            for _ in range(_ATTEMPTS):
                table = self._personal()
                if table is None:
                    return 0
                hit = [file for file in live_files(table) if file.period in periods]
                if not hit:
                    return 0
                if self._commit(table, schema_of(table), PARTITIONS, [*removes(hit)], []):
                    return sum(file.rows for file in hit)
            raise _contended()

    def gather(self, layout: Layout) -> int:
        """Cut what is due of each bucket into leaves, in one entry; return the files made.

        The rows are the same. A bucket's rows are in memory at once. The old files stay on disk
        until `purge`.
        """
        with delta_errors():
            for _ in range(_ATTEMPTS):
                table = self._personal()
                if table is None:
                    return 0
                buckets = defaultdict[tuple[str, int], list[Live]](list)
                for file in live_files(table):
                    if file.period is not None and file.bucket is not None:
                        buckets[file.period, file.bucket].append(file)
                moved: list[Live] = []
                written: list[Written] = []
                with ExitStack() as undo:
                    undo.callback(self._abandon, written)
                    for _, files in sorted(buckets.items()):
                        due = uncut(files, layout)
                        if due:
                            written += self._cut(due, rows_in(files), layout)
                            moved += due
                    if not moved:
                        return 0
                    actions: Actions = [*adds(written), *removes(moved)]
                    if self._commit(table, schema_of(table), PARTITIONS, actions, []):
                        undo.pop_all()
                        return len(written)
            raise _contended()

    def _cut(self, due: Sequence[Live], of: int, layout: Layout) -> list[Written]:
        """Write the rows of files of a bucket, which has `of` rows, as leaves."""
        rows = pa.concat_tables(spread(self._read, due))
        leaves = list(cut(rows, of, layout))
        options = tried(max((rows for _, rows in leaves), key=lambda rows: rows.num_rows))
        parts = [Part(_folder(due[0]), span, rows, options) for span, rows in leaves]
        return write_spans(self._path, parts, lambda part: part)

    def periods(self) -> dict[str, int]:
        """Periods of a personal table, with their number of rows."""
        with delta_errors():
            table = self._open()
            counted = Counter[str]()
            for file in live_files(table) if table is not None else ():
                if file.period is not None:
                    counted[file.period] += file.rows
            return dict(counted)

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
            kept = {f"{self._path}/{file.path}" for file in live_files(table)}
            self._sweep(kept, f"{table.version():020}.")

    def _sweep(self, kept: set[str], current: str) -> None:
        log = str(self._path / _LOG)
        old: list[list[str]] = []
        folders: list[Path] = []
        # Not pathlib: a large table has thousands of files.
        for where, _, names in os.walk(self._path):
            folders.append(Path(where))
            if where == log:
                for name in sorted(name for name in names if not _is_log(name, current)):
                    (self._path / _LOG / name).unlink()
            else:
                old.append([path for name in names if (path := f"{where}/{name}") not in kept])
        spread(_remove, old, WAITING)
        for folder in sorted(folders[1:], reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        # All of them: where a purge died, its removals may not be on the disk yet.
        for folder in folders[1:]:
            if folder.exists():
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

    def _without(
        self,
        live: Iterable[Live],
        gone: Mapping[str, Sequence[bytes]],
        schema: pa.Schema,
        days: Days | None,
    ) -> tuple[dict[Live, int], list[Written]]:
        """Write what remains of the files that hold these pseudonyms.

        Returns those files, with the number of rows that leave, and the files that take their
        place. Of a leaf all columns are read at once, of a loose file first the pseudonyms. Groups
        of leaves, whatever their buckets, are read, thinned and written side by side.
        """
        sought = {period: _sought(names) for period, names in gone.items() if len(names)}
        leaves = defaultdict[tuple[str, int], list[Live]](list)
        loose: list[Live] = []
        for file in live:
            if file.period not in sought or file.bucket is None:
                continue
            among, span = sought[file.period].get(file.bucket), span_of(file.path)
            if among is None:
                continue
            if span is None:
                loose.append(file)
            elif span.holds(among.prefixes):
                leaves[file.period, file.bucket].append(file)
        for files in leaves.values():
            files.sort(key=_spanned)
        hit: dict[Live, int] = {}

        def thinned(some: Sequence[Live]) -> Part | None:
            counts, part = self._thinned(some, _among(some[0], sought).names, days)
            hit.update(counts)
            return part

        work = [some for _, files in sorted(leaves.items()) for some in groups(files)]
        written = write_spans(self._path, work, thinned)
        with ExitStack() as undo:
            undo.callback(self._abandon, written)
            counts = spread(lambda file: self._count(file, sought, days), loose)
            holding = {file: n for file, n in zip(loose, counts, strict=True) if n}
            if holding:
                remaining = self._remaining(holding, sought, days)
                written += write(self._path, remaining, schema, PARTITIONS)
            undo.pop_all()
        return hit | holding, written

    def _thinned(
        self, some: Sequence[Live], names: pa.Array, days: Days | None
    ) -> tuple[dict[Live, int], Part | None]:
        """The leaves, of some of a bucket, that somebody leaves, and what stays of these together.

        Few calls for many leaves: threads take turns at the interpreter.
        """
        leaves = [self._opened(file) for file in some]
        read = [leaf.read(use_threads=False) for leaf in leaves]
        rows = pa.concat_tables(read)
        leave = marked(leaving(rows, names, days))
        sizes = np.array([len(part) for part in read])
        counts = np.diff(np.append(0, np.cumsum(leave))[np.append(0, np.cumsum(sizes))])
        hit = {file: count for file, count in zip(some, counts.tolist(), strict=True) if count}
        kept = only(rows, np.repeat(counts > 0, sizes) & ~leave)
        if not kept.num_rows:
            return hit, None
        thinner = ((counts > 0) & (counts < sizes)).tolist()
        span = spanning([_spanned(file) for file in compress(some, thinner)])
        return hit, Part(_folder(some[0]), span, kept, as_written(leaves[0].metadata))

    def _opened(self, file: Live) -> pq.ParquetFile:
        # Not the path, for which Arrow makes a file system. Small files are not read ahead: a
        # thread more, woken up for each, costs more than the reading.
        return pq.ParquetFile(pa.OSFile(f"{self._path}/{file.path}"), pre_buffer=False)

    def _read(self, file: Live) -> pa.Table:
        return self._opened(file).read(use_threads=False)

    def _count(
        self, file: Live, sought: Mapping[str, Mapping[int, _Sought]], days: Days | None
    ) -> int:
        """Rows that leave a file; the columns that tell are read, no others."""
        among = _among(file, sought)
        read = self._opened(file).iter_batches(columns=looked_at(days))
        parts = (pa.Table.from_batches([batch]) for batch in read)
        return sum(pc.sum(leaving(part, among.names, days)).as_py() or 0 for part in parts)

    def _remaining(
        self,
        files: Iterable[Live],
        sought: Mapping[str, Mapping[int, _Sought]],
        days: Days | None,
    ) -> Iterator[pa.Table]:
        """The rows of these files that stay, with the partition columns files do not carry."""
        for file in files:
            among = _among(file, sought)
            for batch in self._opened(file).iter_batches():
                part = pa.Table.from_batches([batch])
                part = staying(part, among.names, days)
                count = part.num_rows
                part = part.append_column(PERIOD, pa.repeat(pa.scalar(file.period), count))
                yield part.append_column(
                    BUCKET, pa.repeat(pa.scalar(file.bucket, pa.int16()), count)
                )

    def _personal(self) -> DeltaTable | None:
        table = self._open()
        if table is not None and table.metadata().partition_columns != PARTITIONS.names:
            raise TypeError("a table about nobody has nobody to remove")
        return table


@dataclass(frozen=True, slots=True)
class _Sought:
    """Pseudonyms sought in one bucket, and their leading bits, sorted."""

    names: pa.Array
    prefixes: Sequence[int]


def _sought(names: Sequence[bytes]) -> dict[int, _Sought]:
    """Pseudonyms by bucket."""
    values = pa.array(names, pa.binary())
    among = pseudonyms.buckets(values)
    by_bucket: dict[int, _Sought] = {}
    for bucket in pc.unique(among).to_pylist():
        part = values.filter(pc.equal(among, bucket))
        by_bucket[bucket] = _Sought(part, prefixes(part))
    return by_bucket


def _among(file: Live, sought: Mapping[str, Mapping[int, _Sought]]) -> _Sought:
    assert file.period is not None
    assert file.bucket is not None
    return sought[file.period][file.bucket]


def _spanned(leaf: Live) -> Span:
    span = span_of(leaf.path)
    assert span is not None
    return span


def _folder(file: Live) -> str:
    return file.path.rpartition("/")[0]


def uncut(files: Sequence[Live], layout: Layout) -> Sequence[Live]:
    """Those of a bucket's files that a gathering cuts.

    All, where so many rows are outside leaves that it is worth it, else those that span several.
    """
    rows = rows_in(files)
    outside = [file for file in files if not is_leaf(file.path, rows, layout)]
    loose = rows_in(outside)
    if loose >= layout.loose and 4 * loose >= rows:
        return files
    return [file for file in outside if span_of(file.path)]


def rows_in(files: Iterable[Live]) -> int:
    """How many rows files have together."""
    return sum(file.rows for file in files)


def _remove(files: Sequence[str]) -> None:
    """Remove the files of a folder: in one, removals wait for each other."""
    for file in files:
        os.unlink(file)  # noqa: PTH108  # thousands, and each makes one


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

"""Tables of pseudonymous rows: appended once per push, erased by bucket, read at a version.

A table is named `partner/dataset/table`. A personal table (`personal=True`) is partitioned by
period and bucket; a table about nobody is not. The caller holds the table's writer lease around
`append`, `rewrite` and `purge`, all three: a purge removes files that another writer has written
and not yet committed. Readers need no lease, but a version they pinned loses its files when its
table is purged.

`MemoryTables` is the specification; `DeltaTables` keeps each table in a folder of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Never

import pyarrow as pa
import pyarrow.compute as pc

from hub.errors import Rejected
from hub.stages import Opened, Pseudonymous, Stored
from hub.storage.delta import DeltaFolder
from hub.storage.durable import checked_name
from hub.storage.leaves import Layout
from hub.storage.parquet import write
from hub.storage.rows import (
    PARTITIONS,
    PERIOD,
    Days,
    check_columns,
    leaving,
    plain,
    spelled_out,
)

Mode = Literal["append", "replace"]

_NAME_PARTS: Final = 3


class Tables(ABC):
    """What every kind of tables does. Names that are not `a/b/c` raise `Rejected`."""

    def append(
        self,
        name: str,
        chunks: Iterable[Pseudonymous],
        push: str,
        *,
        personal: bool,
        mode: Mode = "append",
    ) -> Stored:
        """Commit a push's rows to a table, exactly once, creating the table if need be.

        A push already committed returns the version and rows of then, and reads no chunk. With
        "replace" the same commit removes the earlier edition. A push without rows commits nothing
        (an empty edition replaces nothing) and returns the current version, -1 without a table,
        and 0 rows; unless rows of it were refused: it then commits as any other, and a blank file,
        in no version, is written where each refused row's would have been, so that the time a push
        takes does not tell whom the gate refused. Raises what `chunks` raises, `Conflict` where the
        columns are not the table's, `Unavailable` where the storage fails: in each case nothing was
        committed.
        """
        refused: set[tuple[str, int]] = set()

        def filled() -> Iterator[pa.Table]:
            for chunk in chunks:
                refused.update(chunk.refused)
                if chunk.rows.num_rows or chunk.refused:
                    yield plain(chunk.rows, personal=personal)

        version, rows = self._append(
            checked_table(name),
            filled(),
            push,
            personal=personal,
            replace=mode == "replace",
            refused=refused,
        )
        return Stored._mint(name, version, rows)

    def snapshot(self, names: Iterable[str]) -> Opened:
        """Pin tables at their current version. One that does not exist is at -1, with no file."""
        pinned = {name: self._files(checked_table(name)) for name in names}
        return Opened._mint(
            {name: version for name, (version, _) in pinned.items()},
            {name: files for name, (_, files) in pinned.items()},
        )

    def digests(self, name: str, *, fresh: bool) -> tuple[int, Mapping[str, str]] | None:
        """Version and SHA-256 (hex) of each live file by its path in the table, unopened.

        None where the files of a snapshot are to be read for it. `fresh`: read them all again.
        """
        del name, fresh
        return None

    @abstractmethod
    def rewrite(
        self, name: str, gone: Mapping[str, Sequence[bytes]], days: Days | None = None
    ) -> int:
        """Remove all rows of these pseudonyms, by period, in one commit; return their number.

        Those of some days only, if they are named.
        Nothing to remove commits nothing. Older versions keep the rows until `purge`.
        """

    @abstractmethod
    def drop(self, name: str, periods: Sequence[str]) -> int:
        """Remove all rows of these periods, in one commit; return their number.

        As `rewrite`: nothing to remove commits nothing, older versions keep the rows.
        """

    @abstractmethod
    def gather(self, name: str) -> int:
        """Rearrange the files of a personal table where that makes later rewrites quicker.

        The rows stay the same. Returns the number of files made; 0: nothing was committed.
        """

    @abstractmethod
    def periods(self, name: str) -> Mapping[str, int]:
        """Periods a personal table holds rows of, with their number; none without a table."""

    @abstractmethod
    def purge(self, name: str) -> None:
        """Make the current version the only one; nothing of another stays in storage."""

    @abstractmethod
    def versions(self, name: str) -> list[int]:
        """Versions still told, ascending; none without a table."""

    @abstractmethod
    def committed(self, name: str, push: str) -> tuple[int, int] | None:
        """Version and number of rows a push committed to a table, None where it did not."""

    @abstractmethod
    def _append(
        self,
        name: str,
        parts: Iterator[pa.Table],
        push: str,
        *,
        personal: bool,
        replace: bool,
        refused: Collection[tuple[str, int]],
    ) -> tuple[int, int]:
        """See `append`. `refused` is known once `parts` are read."""

    @abstractmethod
    def _files(self, name: str) -> tuple[int, tuple[str, ...]]: ...


class DeltaTables(Tables):
    """Delta tables, each in the folder of its name under `root`."""

    def __init__(self, root: Path | str, layout: Layout | None = None) -> None:
        self._root = Path(root).absolute()
        self._layout = layout or Layout()
        if "%" in str(self._root):
            # delta-rs takes a path for an address and decodes it.
            raise Rejected(
                "tables-path",
                fr="Le chemin des tables ne peut contenir « % ».",
                en="The path of the tables cannot contain “%”.",
                who="operator",
            )

    def rewrite(
        self, name: str, gone: Mapping[str, Sequence[bytes]], days: Days | None = None
    ) -> int:
        """See `Tables.rewrite`."""
        return self._table(name).rewrite(gone, days)

    def drop(self, name: str, periods: Sequence[str]) -> int:
        """See `Tables.drop`."""
        return self._table(name).drop(periods)

    def gather(self, name: str) -> int:
        """See `Tables.gather`."""
        return self._table(name).gather(self._layout)

    def periods(self, name: str) -> Mapping[str, int]:
        """See `Tables.periods`."""
        return self._table(name).periods()

    def purge(self, name: str) -> None:
        """See `Tables.purge`."""
        self._table(name).purge()

    def versions(self, name: str) -> list[int]:
        """See `Tables.versions`."""
        return self._table(name).versions()

    def committed(self, name: str, push: str) -> tuple[int, int] | None:
        """See `Tables.committed`."""
        return self._table(name).committed(push)

    def _append(
        self,
        name: str,
        parts: Iterator[pa.Table],
        push: str,
        *,
        personal: bool,
        replace: bool,
        refused: Collection[tuple[str, int]],
    ) -> tuple[int, int]:
        return self._table(name).append(
            parts, push, personal=personal, replace=replace, refused=refused
        )

    def _files(self, name: str) -> tuple[int, tuple[str, ...]]:
        return self._table(name).files()

    def _table(self, name: str) -> DeltaFolder:
        return DeltaFolder(self._root / checked_table(name))


@dataclass(slots=True)
class _Remembered:
    """A table in memory: its versions, and what each push did."""

    personal: bool
    versions: dict[int, pa.Table]
    pushes: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return max(self.versions)

    @property
    def rows(self) -> pa.Table:
        return self.versions[self.version]


class MemoryTables(Tables):
    """Tables in memory. A snapshot writes its files to a temporary folder, which goes with this."""

    def __init__(self) -> None:
        self._tables: dict[str, _Remembered] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="memory-tables-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def rewrite(
        self, name: str, gone: Mapping[str, Sequence[bytes]], days: Days | None = None
    ) -> int:
        """See `Tables.rewrite`."""
        table = self._tables.get(checked_table(name))
        if table is None:
            return 0
        if not table.personal:
            raise TypeError("a table about nobody has nobody to remove")
        rows = table.rows
        for period, pseudonyms in gone.items():
            theirs = leaving(rows, pa.array(pseudonyms, pa.binary()), days)
            rows = rows.filter(pc.invert(pc.and_(theirs, pc.equal(rows.column(PERIOD), period))))
        removed: int = table.rows.num_rows - rows.num_rows
        if removed:
            table.versions[table.version + 1] = rows
        return removed

    def drop(self, name: str, periods: Sequence[str]) -> int:
        """See `Tables.drop`."""
        table = self._tables.get(checked_table(name))
        if table is None:
            return 0
        if not table.personal:
            raise TypeError("a table about nobody has nobody to remove")
        theirs = pc.is_in(table.rows.column(PERIOD), pa.array(periods, pa.string()))
        removed: int = pc.sum(theirs).as_py() or 0
        if removed:
            table.versions[table.version + 1] = table.rows.filter(pc.invert(theirs))
        return removed

    def gather(self, name: str) -> int:
        """See `Tables.gather`: there are no files to rearrange."""
        checked_table(name)
        return 0

    def periods(self, name: str) -> Mapping[str, int]:
        """See `Tables.periods`."""
        table = self._tables.get(checked_table(name))
        if table is None or not table.personal:
            return {}
        counted = pc.value_counts(table.rows.column(PERIOD)).to_pylist()
        return {one["values"]: one["counts"] for one in counted}

    def purge(self, name: str) -> None:
        """See `Tables.purge`."""
        table = self._tables.get(checked_table(name))
        if table is not None:
            table.versions = {table.version: table.rows}
            for folder in (self._folder / name).glob("[0-9]*"):
                if folder.name != str(table.version):
                    shutil.rmtree(folder)

    def versions(self, name: str) -> list[int]:
        """See `Tables.versions`."""
        table = self._tables.get(checked_table(name))
        return [] if table is None else sorted(table.versions)

    def committed(self, name: str, push: str) -> tuple[int, int] | None:
        """See `Tables.committed`."""
        table = self._tables.get(checked_table(name))
        return None if table is None else table.pushes.get(push)

    def _append(
        self,
        name: str,
        parts: Iterator[pa.Table],
        push: str,
        *,
        personal: bool,
        replace: bool,
        refused: Collection[tuple[str, int]],
    ) -> tuple[int, int]:
        del refused  # here no row takes time
        table = self._tables.get(name)
        if table is not None and push in table.pushes:
            return table.pushes[push]
        rows = list(parts)
        if not rows:
            return (-1 if table is None else table.version), 0
        together = pa.concat_tables([part.cast(spelled_out(part.schema)) for part in rows])
        if table is None:
            # Version 0 is the creation, as in Delta.
            table = _Remembered(personal, {0: together.slice(0, 0)})
            self._tables[name] = table
        check_columns(table.rows.schema, together.schema, same_kind=personal == table.personal)
        version = table.version + 1
        kept = [] if replace else [table.rows]
        together = together.select(table.rows.column_names)
        table.versions[version] = pa.concat_tables([*kept, together])
        table.pushes[push] = (version, together.num_rows)
        return table.pushes[push]

    def _files(self, name: str) -> tuple[int, tuple[str, ...]]:
        table = self._tables.get(name)
        if table is None:
            return -1, ()
        folder = self._folder / name / str(table.version)
        if table.rows.num_rows and not folder.exists():
            folder.mkdir(parents=True)
            partitions = PARTITIONS if table.personal else None
            write(folder, [table.rows], table.rows.schema, partitions)
        return table.version, tuple(sorted(map(str, folder.rglob("*.parquet"))))


class ReadTables(Tables):
    """Tables for a process that must never write them: whatever would raises `TypeError`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def snapshot(self, names: Iterable[str]) -> Opened:
        """See `Tables.snapshot`."""
        return self._tables.snapshot(names)

    def digests(self, name: str, *, fresh: bool) -> tuple[int, Mapping[str, str]] | None:
        """See `Tables.digests`."""
        return self._tables.digests(name, fresh=fresh)

    def rewrite(
        self, name: str, gone: Mapping[str, Sequence[bytes]], days: Days | None = None
    ) -> Never:
        """Never."""
        raise _only_read(name, gone, days)

    def drop(self, name: str, periods: Sequence[str]) -> Never:
        """Never."""
        raise _only_read(name, periods)

    def gather(self, name: str) -> Never:
        """Never."""
        raise _only_read(name)

    def periods(self, name: str) -> Mapping[str, int]:
        """See `Tables.periods`."""
        return self._tables.periods(name)

    def purge(self, name: str) -> Never:
        """Never."""
        raise _only_read(name)

    def versions(self, name: str) -> list[int]:
        """See `Tables.versions`."""
        return self._tables.versions(name)

    def committed(self, name: str, push: str) -> tuple[int, int] | None:
        """See `Tables.committed`."""
        return self._tables.committed(name, push)

    def _append(
        self,
        name: str,
        parts: Iterator[pa.Table],
        push: str,
        *,
        personal: bool,
        replace: bool,
        refused: Collection[tuple[str, int]],
    ) -> Never:
        raise _only_read(name, parts, push, personal, replace, refused)

    def _files(self, name: str) -> tuple[int, tuple[str, ...]]:
        return self._tables._files(name)


def _only_read(*_: object) -> TypeError:
    return TypeError("this process reads tables and writes none: a worker does")


def checked_table(name: str) -> str:
    """Refuse a name that is not three segments: a table in another's folder would be purged."""
    return checked_name(name if name.count("/") == _NAME_PARTS - 1 else "")

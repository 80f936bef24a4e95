"""Delta tables in a bucket: worked on in a copy on this disk, committed by one conditional write.

A table's folder does everything `delta.DeltaFolder` does; here it is a copy with the table's log
and the files the work needs. What the work made is then uploaded, in the order that lets no
reader see half of it:

1. data files, under names nobody else has;
2. the log entry, written only where there is none of that number: S3's conditional write is what
   makes the commit one. Whoever comes second has committed nothing, and says so;
3. checkpoints, and the pointer to them.

A crash before 2 leaves files that no entry names; the table's next purge removes them. Where the
answer to 2 is lost, the entry is read back: it is ours or it is not.

Copies hold pseudonymous rows, as tables on this disk would. They stand in a folder of this
process and go when the work ends, a snapshot's when nobody holds it any more; what a killed
process left is removed when the next one starts.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa

from consent import pseudonyms
from hub.errors import NotFound, Unavailable
from hub.stages import Opened
from hub.storage.delta import DeltaFolder, uncut
from hub.storage.deltalog import Live
from hub.storage.durable import storage_errors
from hub.storage.leaves import Layout, prefixes, span_of
from hub.storage.rows import Days
from hub.storage.s3 import Bucket
from hub.storage.tables import Tables, checked_table

T = TypeVar("T")
_LOG: Final = "_delta_log/"
_AT_ONCE: Final = 8
_TRIES: Final = 5


class BucketTables(Tables):
    """Tables in `bucket`, below the zone `tables/`; copies below `scratch`."""

    def __init__(self, bucket: Bucket, scratch: Path, layout: Layout | None = None) -> None:
        self._bucket = bucket
        self._layout = layout or Layout()
        self._scratch = _Scratch(scratch)
        self._digests: dict[str, str] = {}

    def rewrite(
        self, name: str, gone: Mapping[str, Sequence[bytes]], days: Days | None = None
    ) -> int:
        """See `Tables.rewrite`. Only files that may hold one of the pseudonyms are fetched."""
        sought = {period: _sought(names) for period, names in gone.items() if len(names)}

        def needed(files: Sequence[Live]) -> list[Live]:
            return [file for file in files if _may_hold(file, sought)]

        return self._change(name, lambda folder: folder.rewrite(gone, days), needed)

    def drop(self, name: str, periods: Sequence[str]) -> int:
        """See `Tables.drop`."""
        return self._change(name, lambda folder: folder.drop(periods))

    def gather(self, name: str) -> int:
        """See `Tables.gather`."""

        def needed(files: Sequence[Live]) -> list[Live]:
            by_bucket: dict[object, list[Live]] = {}
            for file in files:
                by_bucket.setdefault((file.period, file.bucket), []).append(file)
            return [file for each in by_bucket.values() for file in uncut(each, self._layout)]

        return self._change(name, lambda folder: folder.gather(self._layout), needed)

    def periods(self, name: str) -> Mapping[str, int]:
        """See `Tables.periods`."""
        return self._look(name, lambda folder: folder.periods())

    def versions(self, name: str) -> list[int]:
        """See `Tables.versions`."""
        return self._look(name, lambda folder: folder.versions())

    def committed(self, name: str, push: str) -> tuple[int, int] | None:
        """See `Tables.committed`."""
        return self._look(name, lambda folder: folder.committed(push))

    def purge(self, name: str) -> None:
        """See `Tables.purge`. The order is that of `DeltaFolder.purge`, in the bucket."""
        with self._copied(name) as copy:
            folder = DeltaFolder(copy.path)
            folder.purge()
            live = {file.path for file in folder.live()}
            copy.upload_pointers()
            kept = live | set(copy.local())
            gone = [each for each in copy.remote() if each not in kept]
            for each in sorted(each for each in gone if each.startswith(_LOG)):
                self._bucket.delete(copy.key(each))
            _spread(lambda each: self._bucket.delete(copy.key(each)), _data(gone))
            for each in gone:
                self._digests.pop(copy.key(each), None)

    def snapshot(self, names: Iterable[str]) -> Opened:
        """See `Tables.snapshot`. The files are fetched, and stay while the snapshot does."""
        held = _Held(self._scratch.folder("snapshot"))
        pinned = {name: self._pinned(checked_table(name), held) for name in names}
        return Opened._mint(
            {name: version for name, (version, _) in pinned.items()},
            {name: files for name, (_, files) in pinned.items()},
        )

    def digests(self, name: str, *, fresh: bool) -> tuple[int, Mapping[str, str]]:
        """See `Tables.digests`. Names are never reused: what was read or written once is known."""

        def look(copy: _Copy) -> tuple[int, Mapping[str, str]]:
            folder = DeltaFolder(copy.path)
            version, live = folder.files()[0], [file.path for file in folder.live()]
            unknown = [each for each in live if fresh or copy.key(each) not in self._digests]
            for each, digest in zip(
                unknown, _spread(lambda each: _digest(self._bucket, copy.key(each)), unknown),
                strict=True,
            ):  # fmt: skip
                self._digests[copy.key(each)] = digest
            return version, {each: self._digests[copy.key(each)] for each in live}

        return self._reading(name, look)

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
        def append(folder: DeltaFolder) -> tuple[int, int]:
            return folder.append(parts, push, personal=personal, replace=replace, refused=refused)

        return self._change(name, append)

    def _files(self, name: str) -> tuple[int, tuple[str, ...]]:
        raise NotImplementedError("a snapshot fetches its files")

    def _look(self, name: str, look: Callable[[DeltaFolder], T]) -> T:
        return self._reading(name, lambda copy: look(DeltaFolder(copy.path)))

    def _reading(self, name: str, look: Callable[[_Copy], T]) -> T:
        """Look at a table; again where a purge took away what was being fetched."""
        for attempt in range(_TRIES):
            try:
                with self._copied(name) as copy:
                    return look(copy)
            except NotFound:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError

    def _change(
        self,
        name: str,
        change: Callable[[DeltaFolder], T],
        needed: Callable[[Sequence[Live]], Sequence[Live]] = lambda _: (),
    ) -> T:
        with self._copied(name) as copy:
            folder = DeltaFolder(copy.path)
            copy.fetch([file.path for file in needed(folder.live())])
            made = change(folder)
            copy.upload(self._digests)
            return made

    def _pinned(self, name: str, held: _Held) -> tuple[int, tuple[str, ...]]:
        def look(copy: _Copy) -> tuple[int, tuple[str, ...]]:
            table = DeltaFolder(copy.path)
            version, live = table.files()[0], [file.path for file in table.live()]
            copy.fetch(live, held.folder / name)
            return version, tuple(_HeldPath.of(held, f"{name}/{each}") for each in live)

        return self._reading(name, look)

    @contextmanager
    def _copied(self, name: str) -> Iterator[_Copy]:
        """A copy of a table's log, which goes with the block."""
        checked_table(name)
        scratch = self._scratch.folder("table")
        try:
            copy = _Copy(self._bucket, self._bucket.key(f"tables/{name}") + "/", scratch / name)
            copy.fetch([each for each in copy.remote() if each.startswith(_LOG)])
            copy.fetched = copy.local()
            yield copy
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class _Held:
    """A folder that goes when nobody holds this any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


class _HeldPath(str):
    """A path that keeps its folder there: whoever holds a file's name may still read it."""

    __slots__ = ("held",)
    held: _Held

    @classmethod
    def of(cls, held: _Held, name: str) -> _HeldPath:
        """The path of a name in a held folder."""
        made = cls(held.folder / name)
        made.held = held
        return made


class _Copy:
    """A table's folder on this disk and its place in the bucket; names are relative to both."""

    def __init__(self, bucket: Bucket, prefix: str, path: Path) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self.path = path
        self.fetched: Mapping[str, tuple[int, int]] = {}
        path.mkdir(parents=True)

    def key(self, name: str) -> str:
        """The name in the bucket."""
        return self._prefix + name

    def remote(self) -> list[str]:
        """Names in the bucket."""
        return [key.removeprefix(self._prefix) for key in self._bucket.keys(self._prefix)]

    def local(self) -> dict[str, tuple[int, int]]:
        """Names on this disk, with what changes when a file does."""
        found = {}
        for path in self.path.rglob("*"):
            if path.is_file():
                status = path.stat()
                found[path.relative_to(self.path).as_posix()] = (status.st_ino, status.st_mtime_ns)
        return found

    def fetch(self, names: Sequence[str], into: Path | None = None) -> None:
        """Copy objects to this disk. Raises `NotFound` where one is gone."""

        def one(name: str) -> None:
            path = (into or self.path) / name
            with storage_errors():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    self._bucket.read(self.key(name), file)

        _spread(one, names)

    def upload(self, digests: dict[str, str]) -> None:
        """Upload what is new on this disk, so that nobody sees half of it."""
        new = [name for name, state in self.local().items() if self.fetched.get(name) != state]
        data = [name for name in _data(new) if name not in self.fetched and _is_made(name)]
        entries = sorted(name for name in new if name.startswith(_LOG) and name.endswith(".json"))
        if not entries:
            return  # nothing was committed
        for name, digest in zip(data, _spread(self._upload, data), strict=True):
            digests[self.key(name)] = digest
        for name in entries:
            self._commit(name)
        self.upload_pointers()

    def upload_pointers(self) -> None:
        """Upload checkpoints, and last of all what points to them."""
        new = [n for n, state in self.local().items() if self.fetched.get(n) != state]
        for name in sorted(n for n in new if ".checkpoint." in n):
            self._upload(name)
        if f"{_LOG}_last_checkpoint" in new:
            self._upload(f"{_LOG}_last_checkpoint")

    def _commit(self, name: str) -> None:
        entry = (self.path / name).read_bytes()
        try:
            done = self._bucket.create(self.key(name), entry)
        except Unavailable:
            # It may be there all the same. Where this fails too, the push asks when it comes back.
            done = False
        if not done and not self._is_there(name, entry):
            raise _contended()

    def _is_there(self, name: str, entry: bytes) -> bool:
        try:
            return self._bucket.get(self.key(name)) == entry
        except NotFound:
            return False

    def _upload(self, name: str) -> str:
        """Copy a file to the bucket; its SHA-256, in hex."""
        with storage_errors(), (self.path / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._bucket.put(self.key(name), file, size)
        return digest


class _Scratch:
    """A folder of this process; those of processes that ended are removed."""

    def __init__(self, root: Path) -> None:
        with storage_errors():
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in root.iterdir():
                if _ended(left):
                    shutil.rmtree(left, ignore_errors=True)
            self._mine = Path(tempfile.mkdtemp(prefix="process-", dir=root))
            self._lock = os.open(self._mine / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        weakref.finalize(self, _remove, self._mine, self._lock)

    def folder(self, what: str) -> Path:
        """A new folder in it."""
        with storage_errors():
            return Path(tempfile.mkdtemp(prefix=f"{what}-", dir=self._mine))


_STARTING: Final = threading.Lock()


def _ended(folder: Path) -> bool:
    """Whether the process of a folder is gone: its lock is free then, or was never made."""
    with _STARTING:
        try:
            descriptor = os.open(folder / "lock", os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            return False  # another process is just making it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _sought(names: Sequence[bytes]) -> tuple[set[int], Sequence[int]]:
    values = pa.array(names, pa.binary())
    return set(pseudonyms.buckets(values).to_pylist()), prefixes(values)


def _may_hold(file: Live, sought: Mapping[str, tuple[set[int], Sequence[int]]]) -> bool:
    """Whether a file's period, bucket and leaf are those of one of the pseudonyms."""
    if file.period is None or file.period not in sought:
        return False
    buckets, leading = sought[file.period]
    span = span_of(file.path)
    return file.bucket in buckets and (span is None or span.holds(leading))


def _data(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(_LOG)]


def _is_made(name: str) -> bool:
    return name.endswith(".parquet")


def _digest(bucket: Bucket, key: str) -> str:
    with tempfile.TemporaryFile() as file:
        bucket.read(key, file)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spread(work: Callable[[str], T], names: Sequence[str]) -> list[T]:
    if len(names) < 2:
        return [work(name) for name in names]
    with ThreadPoolExecutor(_AT_ONCE, "tables") as threads:
        return list(threads.map(work, names))


def _contended() -> Unavailable:
    return Unavailable(
        "table-contended",
        fr="Un autre écrivain a pris ce numéro de version sans détenir le bail de la table.",
        en="Another writer took this version's number without holding the table's lease.",
        who="operator",
    )

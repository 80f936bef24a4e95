"""Where a log's files live: a folder, or memory. One contract test runs on both.

A write is durable when it returns and each of its files is atomic: whoever reads sees the whole
old file or the whole new one, also after a power cut. A write of several files is not atomic;
the log orders its writes so that it need not be.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from hub.audit import tiles
from hub.audit.tiles import CHECKPOINT, KEYS
from hub.errors import NotFound, Unavailable

SCRATCH: Final = ".scratch"
THREADS: Final = 4
PATIENCE: Final = 30.0
"""Seconds to wait for another's lock. A write takes milliseconds: its process is suspended."""
PAUSE: Final = 0.005


class TileStore(Protocol):
    """Files of a log, by tlog-tiles name; other names are refused (`NotFound`)."""

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None where there is none. Raises `Unavailable`."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write or replace files, durable on return. Raises `Unavailable`; some may be there."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names in a folder (`tile/0/000.p`) and below it, or all; a remote store has none."""
        ...

    def drop(self, name: str) -> None:
        """Remove a file; no error where there is none. Only for partial tiles no one needs."""
        ...


class LogStore(TileStore, Protocol):
    """Where a log is written: its checkpoint is replaced by whoever knows the present one."""

    def advance(
        self,
        files: Mapping[str, bytes],
        note: bytes,
        over: bytes | None,
        gone: Iterable[str] = (),
        outgrown: Iterable[str] = (),
    ) -> bool:
        """Write files, replace the checkpoint `over` by `note`, then drop what is `gone`.

        `outgrown` are the files that only readers of `over` need: where nobody can have read it
        they need not be written, and elsewhere they stay.

        Durable on return. False where the checkpoint is another one by now, however long ago the
        caller last looked: it stays, and files nothing points at may have been written. Raises
        `Unavailable`; it may be replaced then, or not.
        """
        ...

    def announce(self, keys: bytes, over: bytes | None, under: bytes | None) -> bool:
        """Replace the list of keys `over` by `keys`, under the checkpoint `under`.

        False where either is another one by now; the list stays. Durable with the next checkpoint.
        Raises `Unavailable`; it may be replaced then, or not.
        """
        ...

    def catch_up(self) -> None:
        """Do what `advance` put off for whoever reads the files without this store."""
        ...


class ReplacingStore(TileStore):
    """A log's store by one act: replacing a file where it and others are what they were."""

    @abstractmethod
    def _replace(self, name: str, data: bytes, over: Mapping[str, bytes | None]) -> bool:
        """Replace a file where each of `over`, itself among them, still is that; else False.

        Raises `Unavailable`; it may be replaced then, or not.
        """
        ...

    def advance(
        self,
        files: Mapping[str, bytes],
        note: bytes,
        over: bytes | None,
        gone: Iterable[str] = (),
        outgrown: Iterable[str] = (),  # noqa: ARG002 - all is seen at once
    ) -> bool:
        """See `LogStore`."""
        self.write(files)
        if not self._replace(CHECKPOINT, note, {CHECKPOINT: over}):
            return False
        for name in gone:
            self.drop(name)
        return True

    def announce(self, keys: bytes, over: bytes | None, under: bytes | None) -> bool:
        """See `LogStore`."""
        return self._replace(KEYS, keys, {KEYS: over, CHECKPOINT: under})

    def catch_up(self) -> None:
        """See `LogStore`: nothing is put off."""


class LockedStore(ReplacingStore):
    """How a store compares and replaces that can keep all others out meanwhile."""

    @abstractmethod
    def _alone(self) -> AbstractContextManager[object]:
        """Keeps others from comparing and replacing. Raises `Unavailable`."""
        ...

    def _replace(self, name: str, data: bytes, over: Mapping[str, bytes | None]) -> bool:
        with self._alone():
            if any(self.read(each) != was for each, was in over.items()):
                return False
            self.write({name: data})
        return True


_comparing: Final = threading.RLock()


class MemoryStore(LockedStore):
    """The obvious store: a dict. It is the specification of the others."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """See `TileStore`."""
        return self.files.get(known_name(name))

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore`."""
        for name, data in files.items():
            self.files[known_name(name)] = bytes(data)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `TileStore`."""
        below = prefix and prefix + "/"
        return iter(sorted(name for name in self.files if name.startswith(below)))

    def drop(self, name: str) -> None:
        """See `TileStore`."""
        self.files.pop(known_name(name), None)

    def _alone(self) -> AbstractContextManager[object]:
        return _comparing


class FolderStore(LockedStore):
    """A folder any web server can publish. Made on first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = False
        self._threads: ThreadPoolExecutor | None = None

    def read(self, name: str) -> bytes | None:
        """See `TileStore`."""
        try:
            return (self.root / known_name(name)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unavailable(error) from error

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore`.

        Bytes first, then names, then the folders that hold the names: after a power cut a name
        never points at bytes that were not on disk.
        """
        targets = {self.root / known_name(name): data for name, data in files.items()}
        scratch: list[Path] = []
        try:
            folders = self._make({target.parent for target in targets})
            for data in targets.values():
                # one by one: what is on disk must be known where the next one fails
                scratch.append(self._write_scratch(data))  # noqa: PERF401
            self._sync(scratch)
            for target, written in zip(targets, scratch, strict=True):
                written.replace(target)
            self._sync(sorted(folders))
        except OSError as error:
            for written in scratch:
                with suppress(OSError):
                    written.unlink(missing_ok=True)
            raise _unavailable(error) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `TileStore`."""
        try:
            for folder, subfolders, files in os.walk(self.root / prefix):
                subfolders.sort()
                inside = Path(folder).relative_to(self.root).as_posix()
                paths = (f"{inside}/{file}" if inside != "." else file for file in sorted(files))
                yield from filter(tiles.is_name, paths)
        except OSError as error:
            raise _unavailable(error) from error

    def drop(self, name: str) -> None:
        """See `TileStore`. An emptied folder of partial tiles goes too."""
        target = self.root / known_name(name)
        try:
            target.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _unavailable(error) from error
        if target.parent.suffix == ".p":
            with suppress(OSError):  # not empty, or gone
                target.parent.rmdir()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with storage_fails():
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                lock(handle)
                yield
            finally:
                os.close(handle)

    def _make(self, folders: set[Path]) -> set[Path]:
        """Create folders; give those whose listing changes with this write."""
        changed = set(folders)
        for folder in [*folders, self.root / SCRATCH]:
            while not folder.is_dir():
                changed.add(folder.parent)
                folder = folder.parent
        for folder in [*folders, self.root / SCRATCH]:
            folder.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            # What a crash left half-written; the caller's lease says no one else is writing.
            for left in (self.root / SCRATCH).iterdir():
                left.unlink(missing_ok=True)
            self._swept = True
        return changed

    def _write_scratch(self, data: bytes) -> Path:
        handle, name = tempfile.mkstemp(dir=self.root / SCRATCH)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)  # public by design
        except OSError:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)
            raise
        return Path(name)

    def _sync(self, paths: Sequence[Path]) -> None:
        """Put files or folders on disk, all at once: a busy disk makes one trip of many."""
        if len(paths) == 1:
            _sync_one(paths[0])
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "log store")
        list(self._threads.map(_sync_one, paths))


@contextmanager
def storage_fails() -> Iterator[None]:
    """Turn what the disk raises into `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise _unavailable(error) from error


def lock(handle: int) -> None:
    """Lock an open file or folder; its closing lets go. Raises `Unavailable` after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise _kept_by_another() from None
            time.sleep(PAUSE)
        else:
            return


@contextmanager
def turn(own: threading.Lock) -> Iterator[None]:
    """Keep our other threads out, who wait no longer than they would for another process."""
    if not own.acquire(timeout=PATIENCE):
        raise _kept_by_another()
    try:
        yield
    finally:
        own.release()


def _kept_by_another() -> Unavailable:
    """The refusal for who waited `PATIENCE` for a lock."""
    return Unavailable(
        "log-locked",
        fr=f"Un processus tient le verrou du journal depuis plus de {PATIENCE:.0f} s ; il est sans "
        "doute suspendu : reprenez-le ou arrêtez-le.",
        en=f"A process has kept the log's lock for more than {PATIENCE:.0f} s; it is probably "
        "suspended: resume or end it.",
        who="operator",
    )


def overtaken() -> Unavailable:
    """The refusal for a writer that another was quicker than."""
    return Unavailable(
        "log-overtaken",
        fr="Un autre processus a écrit dans le journal entre-temps : le travail sera repris.",
        en="Another process wrote to the log meanwhile: the work will be done again.",
        who="operator",
        where=CHECKPOINT,
    )


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def known_name(name: str) -> str:
    """The name itself; a name that is no log file never reaches the disk (nor `../` with it)."""
    if not tiles.is_name(name):
        raise NotFound(
            "log-file-unknown",
            fr="Le journal n’a pas de fichier de ce nom.",
            en="The log has no file of that name.",
            who="person",
        )
    return name


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        "log-storage",
        fr=f"Le stockage du journal ne répond pas ({error.strerror}) : vérifiez disque et droits.",
        en=f"The log's storage does not answer ({error.strerror}): check disk and permissions.",
        who="operator",
    )

"""Objects: named bytes, written whole or not at all.

`FolderObjects` keeps them as files, `MemoryObjects` in a dictionary and is the specification.
A name is a relative path of plain segments; no object's name is the folder of another.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from hub.errors import NotFound
from hub.storage.durable import (
    checked_name,
    storage_errors,
    sync_folder,
    sync_up,
)

_PART: Final = ".part-"


class Writer(Protocol):
    """Where an object's bytes go while it is being written."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`. Raises `Unavailable` if the storage is full or gone."""
        ...

    def flush(self) -> None:
        """Do nothing: durability comes at the end of the writing, for the object as a whole."""
        ...


class Objects(Protocol):
    """Named bytes. Names are checked: `Rejected` "name-invalid" for any that is not plain."""

    def writing(self, name: str) -> AbstractContextManager[Writer]:
        """Write an object piece by piece; it appears, durable, when the block ends well.

        An exception in the block, or a crash, leaves what was there before.
        """
        ...

    def put(self, name: str, chunks: Iterable[bytes]) -> int:
        """Write an object, replacing any of that name, and return its size in bytes."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open an object as it is now, seekable. Raises `NotFound`."""
        ...

    def get(self, name: str) -> bytes:
        """Read an object whole. Raises `NotFound`."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether an object has this name."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object, durably; nothing happens where there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Names that start with `prefix`, sorted."""
        ...


def unknown() -> NotFound:
    """The error of a name that no object has."""
    return NotFound(
        "object-unknown",
        fr="Aucun objet de ce nom n'est stocké.",
        en="No object of this name is stored.",
        who="operator",
    )


class MemoryObjects:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    @contextmanager
    def writing(self, name: str) -> Iterator[Writer]:
        """See `Objects.writing`."""
        checked_name(name)
        buffer = io.BytesIO()
        yield buffer
        self._objects[name] = buffer.getvalue()

    def put(self, name: str, chunks: Iterable[bytes]) -> int:
        """See `Objects.put`."""
        with self.writing(name) as writer:
            return _pour(chunks, writer)

    def open(self, name: str) -> BinaryIO:
        """See `Objects.open`."""
        return io.BytesIO(self.get(name))

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        if checked_name(name) not in self._objects:
            raise unknown()
        return self._objects[name]

    def exists(self, name: str) -> bool:
        """See `Objects.exists`."""
        return checked_name(name) in self._objects

    def delete(self, name: str) -> None:
        """See `Objects.delete`."""
        self._objects.pop(checked_name(name), None)

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `Objects.list`."""
        return iter(sorted(name for name in self._objects if name.startswith(prefix)))


class _FileWriter:
    """Unbuffered, so that a full disk is met at the write that fills it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        with storage_errors():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered; fsync comes once, at the end."""


class FolderObjects:
    """Objects as files of a folder.

    Bytes go to a temporary file of the same folder, are synced, and the file is renamed; the
    folder is synced too. A temporary file is locked by the process that writes it, so that those
    a crash left behind can be told apart and are removed when the folder is next opened.
    """

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path).absolute()
        with storage_errors():
            self._root.mkdir(parents=True, exist_ok=True)
            for part in self._root.rglob(f"{_PART}*"):
                _remove_abandoned(part)

    @contextmanager
    def writing(self, name: str) -> Iterator[Writer]:
        """See `Objects.writing`."""
        final = self._path(name)
        with storage_errors():
            final.parent.mkdir(parents=True, exist_ok=True)
            part, descriptor = _create_part(final.parent)
        try:
            yield _FileWriter(descriptor)
            with storage_errors():
                os.fsync(descriptor)
                part.replace(final)
                sync_up(final.parent, self._root)
        finally:
            # Gone already if it was renamed.
            with storage_errors():
                os.close(descriptor)
                part.unlink(missing_ok=True)

    def put(self, name: str, chunks: Iterable[bytes]) -> int:
        """See `Objects.put`."""
        with self.writing(name) as writer:
            return _pour(chunks, writer)

    def open(self, name: str) -> BinaryIO:
        """See `Objects.open`."""
        path = self._path(name)
        try:
            return path.open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise unknown() from error

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        with self.open(name) as file, storage_errors():
            return file.read()

    def exists(self, name: str) -> bool:
        """See `Objects.exists`."""
        return self._path(name).is_file()

    def delete(self, name: str) -> None:
        """See `Objects.delete`."""
        path = self._path(name)
        if not path.is_file():
            return
        with storage_errors():
            path.unlink(missing_ok=True)
            sync_folder(path.parent)

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `Objects.list`."""
        with storage_errors():
            names = [
                path.relative_to(self._root).as_posix()
                for path in self._root.rglob("*")
                if path.is_file() and not path.name.startswith(_PART)
            ]
        return iter(sorted(name for name in names if name.startswith(prefix)))

    def _path(self, name: str) -> Path:
        return self._root / checked_name(name)


def _pour(chunks: Iterable[bytes], writer: Writer) -> int:
    return sum(writer.write(chunk) for chunk in chunks)


def _create_part(folder: Path) -> tuple[Path, int]:
    """Create and lock a temporary file, again if a cleaner took it before it was locked."""
    while True:
        part = folder / f"{_PART}{secrets.token_hex(8)}"
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)


def _remove_abandoned(part: Path) -> None:
    try:
        descriptor = os.open(part, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
    except BlockingIOError:
        return  # its writer lives
    finally:
        os.close(descriptor)

"""The files of a hub as they are: what a back-up copies and a restore puts back.

A zone is one kind of files ("vault", "tables", "objects", "log", "public") in a folder or in a
bucket, under the same names in both. Nothing here knows what a name means.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from hub.storage.durable import storage_errors, sync_up
from hub.storage.objects import unknown
from hub.storage.s3 import Bucket

ZONES: Final = ("vault", "tables", "objects", "log", "public")
_PIECE: Final = 1 << 20


class Zone(Protocol):
    """Files by name, relative and with slashes."""

    def names(self) -> Iterator[str]:
        """All names, sorted."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A file as it is now, seekable. Raises `NotFound` where it is gone."""
        ...

    def put(self, name: str, data: BinaryIO) -> None:
        """Write a file, durably."""
        ...


class FolderZone:
    """A zone in a folder; files are its owner's alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterator[str]:
        """See `Zone.names`."""
        with storage_errors():
            files = [path for path in self._root.rglob("*") if path.is_file()]
        return iter(sorted(path.relative_to(self._root).as_posix() for path in files))

    def open(self, name: str) -> BinaryIO:
        """See `Zone.open`."""
        try:
            return (self._root / name).open("rb")
        except FileNotFoundError as error:
            raise unknown() from error

    def put(self, name: str, data: BinaryIO) -> None:
        """See `Zone.put`."""
        path = self._root / name
        with storage_errors():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                while piece := data.read(_PIECE):
                    file.write(piece)
                file.flush()
                os.fsync(descriptor)
            sync_up(path.parent, self._root)


class BucketZone:
    """A zone in a bucket."""

    def __init__(self, bucket: Bucket, zone: str) -> None:
        self._bucket = bucket
        self._prefix = bucket.key(zone) + "/"

    def names(self) -> Iterator[str]:
        """See `Zone.names`."""
        found = self._bucket.keys(self._prefix)
        return iter(sorted(key.removeprefix(self._prefix) for key in found))

    def open(self, name: str) -> BinaryIO:
        """See `Zone.open`."""
        return self._bucket.open(self._prefix + name)

    def put(self, name: str, data: BinaryIO) -> None:
        """See `Zone.put`."""
        size = data.seek(0, os.SEEK_END)
        data.seek(0)
        self._bucket.put(self._prefix + name, data, size)

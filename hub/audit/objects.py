"""A log's files kept as objects: in a bucket, for several machines to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from hub.audit import tiles
from hub.audit.store import ReplacingStore, known_name
from hub.audit.tiles import CHECKPOINT
from hub.errors import NotFound

AT_ONCE: Final = 8


class Objects(Protocol):
    """What is needed of objects: each is written whole, and durable when that returns."""

    def get(self, name: str) -> bytes:
        """Read an object whole. Raises `NotFound`."""
        ...

    def put(self, name: str, chunks: Iterable[bytes]) -> int:
        """Write an object, replacing any of that name."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Names that start with `prefix`, sorted."""
        ...

    def swap(self, name: str, data: bytes, over: bytes | None) -> bool:
        """Replace an object where it still is `over` (None: where there is none); else False."""
        ...


class ObjectStore(ReplacingStore):
    """See `TileStore`. Raises what the objects raise."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self, name: str) -> bytes | None:
        """See `TileStore`."""
        known_name(name)
        try:
            return self._objects.get(name)
        except NotFound:
            return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `TileStore`. Tiles together, and a checkpoint among them only after all others."""
        names = sorted(map(known_name, files))
        others = [name for name in names if name != CHECKPOINT]
        if len(others) == 1:
            self._put(others[0], files)
        elif others:
            with ThreadPoolExecutor(AT_ONCE, "log store") as threads:
                list(threads.map(lambda name: self._put(name, files), others))
        if CHECKPOINT in files:
            self._put(CHECKPOINT, files)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `TileStore`."""
        return filter(tiles.is_name, self._objects.list(prefix and prefix + "/"))

    def drop(self, name: str) -> None:
        """See `TileStore`."""
        self._objects.delete(known_name(name))

    def _replace(self, name: str, data: bytes, over: Mapping[str, bytes | None]) -> bool:
        """The server compares the object itself; of two it cannot compare both."""
        others = (self.read(each) == was for each, was in over.items() if each != name)
        return all(others) and self._objects.swap(name, data, over[name])

    def _put(self, name: str, files: Mapping[str, bytes]) -> None:
        self._objects.put(name, [files[name]])

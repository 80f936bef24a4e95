"""How far a push is, told while it is worked on: durable, and at most once a second."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Final, cast

from hub.errors import Unavailable
from hub.parts import Parts
from hub.records import Push, PushState

EVERY: Final = timedelta(seconds=1)
READ: Final = 90
"""Percentage when the file is read to its end; what is left is writing it down."""
HEAD: Final = 65_536


class Progress:
    """Tells the books how far a push is. That they cannot be told stops nothing."""

    def __init__(self, parts: Parts, push_id: str) -> None:
        self._parts, self._push = parts, push_id
        self._told: datetime | None = None

    def stage(self, name: str, percentage: int) -> None:
        """Say that a stage begins."""
        self._tell(name, percentage)

    def within(self, name: str, percentage: int) -> None:
        """Say how far a stage is, unless something was said less than a second ago."""
        if self._told is None or self._parts.clock() - self._told >= EVERY:
            self._tell(name, percentage)

    def _tell(self, name: str, percentage: int) -> None:
        self._told = self._parts.clock()
        try:
            self._parts.books.advance(self._push, name, percentage)
        except Unavailable:
            return  # the work itself will meet the same trouble and say so


class Watched(io.RawIOBase):
    """A file being read: tells how far, and keeps its first bytes.

    `size` is the file's, in bytes.
    """

    def __init__(self, file: BinaryIO, size: int, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._file, self._size, self._tell = file, max(size, 1), tell
        self._read = 0
        self._head = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read on; the percentage counts what was taken, not what was understood."""
        data = self._file.read(size)
        self._read += len(data)
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        self._tell(min(READ, READ * self._read // self._size))
        return data

    def readinto(self, buffer: Any, /) -> int:
        """See `read`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def first_line(self) -> bytes:
        """The file's first line with its line feed, out of gzip if need be; b"" if unreadable."""
        head = self._head
        if head.startswith((b"PK\x03\x04", b"PAR1")):
            return b""  # no text: what stands before its first line feed is chance
        if head.startswith(b"\x1f\x8b"):
            try:
                head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
            except zlib.error:
                return b""
        line, feed, _ = head.partition(b"\n")
        return line + feed if feed else b""


def watched(file: BinaryIO, size: int, tell: Callable[[int], None]) -> tuple[Watched, BinaryIO]:
    """A watched file, and the same as connectors take it."""
    one = Watched(file, size, tell)
    return one, cast("BinaryIO", one)


def told(parts: Parts, push: Push) -> dict[str, Any]:
    """Stage and percentage of a push, for whoever waits for it."""
    if push.state is not PushState.ACCEPTED:
        logged = push.log_index is not None
        return {"stage": "done" if logged else "logging", "percentage": 100 if logged else 99}
    stage, percentage = parts.books.progress(push.id) or ("waiting", 0)
    return {"stage": stage, "percentage": percentage}

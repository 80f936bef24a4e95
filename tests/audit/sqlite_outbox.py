"""An outbox that survives `kill -9`, and the process that gets killed.

Run as a script with a folder: records events and sequences them for ever, printing each event's
number once the books have acknowledged it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from hub.audit.journal import JournaledStore
from hub.audit.log import Log
from hub.records import LoggedEvent
from tests.audit.helpers import NOW, signer


class SqliteOutbox:
    def __init__(self, path: Path) -> None:
        self.base = sqlite3.connect(path, isolation_level=None)
        self.base.execute("pragma journal_mode=wal")
        self.base.execute(
            "create table if not exists event"
            " (sequence integer primary key autoincrement, body blob, salt blob, idx integer)"
        )
        self.base.execute("create unique index if not exists by_idx on event (idx)")

    def close(self) -> None:
        self.base.close()

    def add(self, body: bytes) -> None:
        salt = hashlib.sha256(body).digest()
        self.base.execute("insert into event (body, salt) values (?, ?)", (body, salt))

    def _rows(self, where: str, *values: int) -> list[LoggedEvent]:
        query = f"select sequence, body, salt, idx from event where {where}"
        return [LoggedEvent(*row) for row in self.base.execute(query, values)]

    def all_events(self) -> list[LoggedEvent]:
        return self._rows("1 order by idx")

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        return self._rows("idx is null order by sequence limit ?", limit)

    def event_at(self, index: int) -> LoggedEvent | None:
        return next(iter(self._rows("idx = ?", index)), None)

    def place_events(self, placed: Sequence[tuple[int, int]], /) -> None:
        self.base.execute("begin immediate")
        for sequence, index in placed:
            done = self.base.execute(
                "update event set idx = ? where sequence = ? and idx is null", (index, sequence)
            )
            assert done.rowcount == 1
        self.base.execute("commit")


def write_for_ever(folder: Path) -> None:
    outbox = SqliteOutbox(folder / "books.sqlite")
    log = Log(JournaledStore(folder / "log"), signer(), outbox)
    log.sequence(NOW)
    n = 0
    while True:
        for _ in range(1 + n % 90):
            n += 1
            outbox.add(b"%d of %d" % (n, os.getpid()))
            sys.stdout.write(f"{n} of {os.getpid()}\n")
        sys.stdout.flush()
        log.sequence(NOW)


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))

"""`kill -9` among eight processes that append: what was acknowledged is there, and there once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from hub.audit.store import FolderStore
from hub.audit.verify import verify
from hub.records import LoggedEvent
from hub.storage.books import Books
from tests.audit.helpers import signer
from tests.audit.many_writers import LEASE, books_in, log_in, now, owner
from tests.thorough import THOROUGH

ROOT = Path(__file__).parents[2]
WRITERS = 8
KILLS = 500 if THOROUGH else 40


class Nursery:
    """Eight writers; whom it kills it replaces."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.alive: list[int] = []

    def start(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("one more\n")
        self._process.stdin.flush()
        self.alive.append(int(self._process.stdout.readline()))

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.alive.remove(pid)
        # It may still be inside a system call; its lease must not end before it does.
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                time.sleep(0.001)

    def kill_all(self) -> None:
        for pid in list(self.alive):
            self.kill(pid)


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.audit.many_writers", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        writers = Nursery(process)
        try:
            yield writers
        finally:
            with suppress(ProcessLookupError):  # one that failed by itself
                writers.kill_all()


class Leases:
    """The lease of the log, seen and ended from outside the hub."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / "books.sqlite", timeout=30, isolation_level=None)

    def holder(self, alive: list[int]) -> int | None:
        """The writer that is sequencing at this moment."""
        row = self._base.execute("SELECT owner FROM leases WHERE name = 'log'").fetchone()
        return next((pid for pid in alive if row and row[0].startswith(f"{owner(pid)}#")), None)

    def end(self, pid: int) -> None:
        """Let a dead writer's lease run out now; the others would wait half a minute for it."""
        self._base.execute("DELETE FROM leases WHERE owner LIKE ?", (f"{owner(pid)}#%",))

    def close(self) -> None:
        self._base.close()


def all_events(books: Books) -> Iterator[LoggedEvent]:
    after = 0
    while page := books.events(after=after, limit=5000):
        yield from page
        after = page[-1].sequence


def name_of(event: LoggedEvent) -> str:
    return str(msgspec.json.decode(event.body)["about"])


def acknowledged(folder: Path) -> list[str]:
    """What the writers were told; a last line may be cut, and was acknowledged to nobody."""
    texts = [file.read_text() for file in folder.glob("acknowledged.*")]
    return [
        line.rstrip() for text in texts for line in text.splitlines(keepends=True) if "\n" in line
    ]


def test_kills_of_many_writers_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    rng = random.Random(8)
    books, leases = books_in(tmp_path), Leases(tmp_path)
    killed_in_append = 0
    with nursery(tmp_path) as writers:
        for _ in range(WRITERS):
            writers.start()
        for n in range(KILLS):
            time.sleep(rng.random() * 0.1)
            sequencing = leases.holder(writers.alive)
            chosen = sequencing if sequencing and n % 2 else rng.choice(writers.alive)
            killed_in_append += chosen == sequencing
            writers.kill(chosen)
            leases.end(chosen)
            writers.start()
        assert [file.read_text() for file in tmp_path.glob("failed.*")] == []
        last = list(writers.alive)
    for pid in last:
        leases.end(pid)
    leases.close()
    known = acknowledged(tmp_path)
    with books.holding("log", "test", now, LEASE, LEASE):
        log_in(tmp_path, books).sequence(now())
    events = sorted(all_events(books), key=lambda event: event.index or 0)
    books.close()
    names = [name_of(event) for event in events]
    assert len(set(names)) == len(names)
    assert set(names) >= set(known)
    assert len(known) > KILLS
    assert [event.index for event in events] == list(range(len(events)))
    report = verify(FolderStore(tmp_path / "log"), signer().verifier, events)
    assert report.problems == ()
    assert report.size == len(events)
    assert killed_in_append > KILLS // 10, "hardly a kill fell inside an append"

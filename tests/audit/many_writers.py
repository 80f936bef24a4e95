"""Writers that get killed: each records events in real books and sequences them into the log.

Run as a script with a folder, it is their nursery: for each line on its input it forks one writer
and prints its process id. Forking after the imports makes a writer a matter of milliseconds. A
writer notes in a file of its own each event that the books have acknowledged.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hub.audit.journal import JournaledStore
from hub.audit.log import Log
from hub.events import AuditEvent, Kind
from hub.storage.books import Books
from tests.audit.helpers import signer

LEASE = timedelta(seconds=30)


def books_in(folder: Path) -> Books:
    return Books.open(f"sqlite:///{folder / 'books.sqlite'}")


def log_in(folder: Path, books: Books) -> Log:
    return Log(JournaledStore(folder / "log"), signer(), books)


def owner(pid: int) -> str:
    return f"writer-{pid}"


def event(name: str) -> AuditEvent:
    return AuditEvent(Kind.PUSH_ACCEPTED, "partner", name, datetime(2026, 3, 2, tzinfo=UTC))


def now() -> datetime:
    return datetime.now(UTC)


def sequence(books: Books, log: Log, writer: int) -> None:
    """As the hub does it (`Parts.sequence`): one turn of the log is for all who wait for it."""
    last = books.last_event()
    books.one_for_all(
        "log",
        owner(writer),
        now,
        LEASE,
        LEASE,
        work=lambda: log.sequence(now()),
        done=lambda: books.are_placed(last),
    )


def write_for_ever(folder: Path, number: int) -> None:
    rng = random.Random(number)
    books = books_in(folder)
    log = log_in(folder, books)
    acknowledged = os.open(folder / f"acknowledged.{number}", os.O_CREAT | os.O_WRONLY)
    n = 0
    while True:
        for _ in range(rng.randrange(1, 30)):
            n += 1
            name = f"{number}-{n}"
            books.record(event=event(name))
            os.write(acknowledged, f"{name}\n".encode())
        sequence(books, log, os.getpid())


def nurse(folder: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are buried by the kernel
    for number, _ in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            try:
                write_for_ever(folder, number)
            except BaseException:
                (folder / f"failed.{number}").write_text(traceback.format_exc())
                raise
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    nurse(Path(sys.argv[1]))

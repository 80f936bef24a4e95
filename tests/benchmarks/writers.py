"""Eight processes that record events and sequence them, beside one that does it in batches."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path
from typing import Final

from hub.storage.books import Books
from tests.audit.many_writers import LEASE, books_in, event, log_in, now, owner
from tests.benchmarks.runner import Row, paired

WRITERS: Final = 8
EVENTS: Final = 800
"""Of each writer; the one alone records all of them."""
BURST: Final = 100
"""Events between two sequencings."""


def _sequence(folder: Path, books: Books, number: int) -> None:
    with books.holding("log", owner(number), now, LEASE, LEASE):
        log_in(folder, books).sequence(now())


def _write(folder: Path, number: int, events: int) -> None:
    books = books_in(folder)
    for n in range(events):
        books.record(event=event(f"{number}-{n}"))
        if n % BURST == BURST - 1:
            _sequence(folder, books, number)
    _sequence(folder, books, number)
    books.close()


def together(folder: Path) -> Row:
    """The same number of events through the real books, outbox and lease."""
    fork = multiprocessing.get_context("fork")
    turns = itertools.count()

    def run(writers: int) -> None:
        home = folder / f"writers-{next(turns)}"
        home.mkdir()
        books_in(home).close()
        each = EVENTS * WRITERS // writers
        processes = [fork.Process(target=_write, args=(home, n, each)) for n in range(writers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * writers

    return paired(
        f"{WRITERS * EVENTS:,} events by {WRITERS} writers together",
        "one writer",
        lambda: run(WRITERS),
        lambda: run(1),
        at_most=1 / 0.8,
    )

"""Eight processes that record events and sequence them, beside one that does it in batches."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path
from typing import Final

from tests.audit.many_writers import books_in, event, log_in, sequence
from tests.benchmarks.runner import Row, paired

WRITERS: Final = 8
EVENTS: Final = 800
"""Of each writer; the one alone records all of them."""
BURST: Final = 100
"""Events between two sequencings."""


def _write(folder: Path, number: int, events: int) -> None:
    books = books_in(folder)
    log = log_in(folder, books)
    for n in range(events):
        books.record(event=event(f"{number}-{n}"))
        if n % BURST == BURST - 1:
            sequence(books, log, number)
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

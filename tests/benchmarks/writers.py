"""Eight processes that record events and sequence them, beside one that does it in batches."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from tests.audit.many_writers import books_in, event, log_in, sequence
from tests.benchmarks.runner import Row, Timed, paired

WRITERS: Final = 8
EVENTS: Final = 800
"""Of each writer; the one alone records all of them."""
BURST: Final = 100
"""Events between two sequencings."""
PATIENCE: Final = 300
"""Seconds after which a writer that never comes is a failure."""


def _write(folder: Path, number: int, events: int, together: Barrier) -> None:
    books = books_in(folder)
    log = log_in(folder, books)
    together.wait(PATIENCE)
    for n in range(events):
        books.record(event=event(f"{number}-{n}"))
        if n % BURST == BURST - 1:
            sequence(books, log, number)
    together.wait(PATIENCE)
    books.close()


def together(folder: Path) -> Row:
    """The same number of events through the real books, outbox and lease.

    Timed from when all have opened the books until the last has its last event in the log.
    """
    fork = multiprocessing.get_context("fork")
    turns = itertools.count()

    def run(writers: int) -> Timed:
        home = folder / f"writers-{next(turns)}"
        home.mkdir()
        books_in(home).close()
        each = EVENTS * WRITERS // writers
        together = fork.Barrier(writers + 1)
        processes = [
            fork.Process(target=_write, args=(home, n, each, together)) for n in range(writers)
        ]
        for process in processes:
            process.start()
        together.wait(PATIENCE)
        begun = time.perf_counter()
        together.wait(PATIENCE)
        taken = time.perf_counter() - begun
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * writers
        return Timed(taken)

    return paired(
        f"{WRITERS * EVENTS:,} events by {WRITERS} writers together",
        "one writer",
        lambda: run(WRITERS),
        lambda: run(1),
        at_most=1 / 0.8,
    )

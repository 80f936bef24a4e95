"""What every part of the books stands on: one transaction per change, with its event inside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, insert

from hub.events import AuditEvent
from hub.storage.books import records
from hub.storage.books.faults import translated
from hub.storage.books.schema import IMMEDIATE, SHARED, WRITING, Writing, events

_HAPPENED: Final = insert(events).returning(events.c.sequence)


class Desk:
    """Transactions. Parts of `Books` derive from it."""

    def __init__(self, engine: Engine, randomness: Callable[[int], bytes]) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{IMMEDIATE: True})
        self._beside = self._writer.execution_options(**{SHARED: True})
        self._randomness = randomness
        self._thread = threading.local()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One consistent view."""
        with translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """The writes of a block, by this thread, in one transaction: all or none.

        Each still takes its event. What the block reads is as it was before.
        """
        with self._change() as connection:
            self._thread.connection = connection
            try:
                yield
            finally:
                self._thread.connection = None

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        """A transaction without an event: for leases, jobs and what nobody is accountable for."""
        ongoing: Connection | None = getattr(self._thread, "connection", None)
        if ongoing is not None:
            yield ongoing
            return
        with translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _share(self) -> Iterator[Connection]:
        """A transaction that each statement makes safe by itself: it waits for its rows only."""
        with translated(), self._beside.begin() as connection:
            yield connection

    @contextmanager
    def _write(self, event: AuditEvent) -> Iterator[tuple[Connection, int]]:
        """A transaction with its event, and the event's sequence for the rows it finishes."""
        with self._change() as connection, self._logging(connection, event) as sequence:
            yield connection, sequence

    @contextmanager
    def _logging(self, connection: Connection, event: AuditEvent) -> Iterator[int]:
        """Record an event around the writes it stands for: its body says what the rows became."""
        happened = {"kind": str(event.kind), "about": event.about, "at": event.at}
        writing = Writing(connection.execute(_HAPPENED, happened).scalar_one(), self._randomness)
        connection.execution_options(**{WRITING: writing})
        yield writing.event
        records.close(connection, writing, event)

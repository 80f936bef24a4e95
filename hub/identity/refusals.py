"""Refusals as events, bounded: a stranger who is refused for ever does not fill the disk.

Of each asker the first refusals of a minute are recorded one by one; the same question asked again
is one of those. The rest is counted, and the count recorded once as one event when the minute is
over: at the next refusal, or the next question anyone asks. A process that dies takes its present
counts with it; the last event before the counting says that it began.

An asker is a registered client or account, or "unknown" for all others together, so that what is
kept in memory is bounded too. It counts within one process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from hub.events import AuditEvent

MOST: Final = 20
"""Refusals of one asker recorded one by one in each window."""
WINDOW: Final = timedelta(minutes=1)


class Recorder(Protocol):
    """What refusals need of the books."""

    def record(self, *, event: AuditEvent) -> object:
        """Record an event that comes with no other change."""
        ...


@dataclass(slots=True)
class _Asker:
    """What one asker was refused in the present window; `names` by question."""

    since: datetime
    last: AuditEvent
    recorded: int = 0
    counted: int = 0
    names: dict[str, str] = field(default_factory=dict)


class Refusals:
    """Records or counts refusals. Safe to share between threads."""

    def __init__(self, most: int = MOST, window: timedelta = WINDOW) -> None:
        self._most, self._window = most, window
        self._askers: dict[tuple[str, str], _Asker] = {}
        self._turn = threading.Lock()
        self._due: datetime | None = None

    def note(
        self,
        books: Recorder,
        event: AuditEvent,
        asker: str,
        question: str = "",
        name: str = "",
    ) -> str | None:
        """Record a refusal under `name`, or count it.

        Gives the name under which this question's refusal is recorded, None where it only counts.
        An empty question is like no other.
        """
        self.tell(books, event.at)
        with self._turn:
            window = self._askers.setdefault((str(event.kind), asker), _Asker(event.at, event))
            self._due = self._due or event.at + self._window
            window.last = event
            known = window.names.get(question) if question else None
            if known is not None or window.recorded >= self._most:
                window.counted += 1
                return known
            window.recorded += 1
            if question:
                window.names[question] = name
            if window.recorded == self._most:
                event = replace(event, facts={**event.facts, "next": "counted"})
        books.record(event=event)
        return name

    def tell(self, books: Recorder, now: datetime) -> None:
        """Record the counts of the windows that are over; costs nothing where none is."""
        if self._due is None or self._due - self._window <= now < self._due:
            return
        with self._turn:
            # A clock that went back ends a window too: else it would count for long.
            over = {
                key: window
                for key, window in self._askers.items()
                if not timedelta(0) <= now - window.since < self._window
            }
            for key in over:
                del self._askers[key]
            begun = [window.since for window in self._askers.values()]
            self._due = min(begun) + self._window if begun else None
        for (_, asker), window in over.items():
            if window.counted:
                books.record(event=_count(window, asker, now))


def _count(window: _Asker, asker: str, now: datetime) -> AuditEvent:
    last = window.last
    facts: Mapping[str, object] = {
        "actor": asker,
        "repeated": window.counted,
        "since": window.since.isoformat(),
    }
    return AuditEvent(last.kind, last.actor, last.about, now, facts)

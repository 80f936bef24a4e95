"""Events, and the outbox from which the log takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, or_, select, update

from hub.errors import Conflict
from hub.events import AuditEvent
from hub.records import LoggedEvent
from hub.storage.books.desk import Desk
from hub.storage.books.schema import events


class Events(Desk):
    """What happened, in order. Nothing here changes or removes an event: a trigger refuses it."""

    def record(self, *, event: AuditEvent) -> None:
        """Record an event that comes with no other change."""
        with self._write(event):
            pass

    def events(
        self,
        kind: str | None = None,
        about: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[LoggedEvent]:
        """Events after a sequence, oldest first, of one kind or about one thing if asked."""
        query = _query().where(events.c.sequence > after).limit(limit)
        if kind is not None:
            query = query.where(events.c.kind == str(kind))
        if about is not None:
            query = query.where(events.c.about == about)
        with self._read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def event_at(self, index: int) -> LoggedEvent | None:
        """The event at a place of the log."""
        with self._read() as connection:
            row = connection.execute(_query().where(events.c.log_index == index)).first()
        return None if row is None else _event(row)

    def event_count(self) -> int:
        """How many events there are, placed or not."""
        with self._read() as connection:
            return connection.execute(select(func.count()).select_from(events)).scalar_one()

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        """Events the log has not taken in, in the order they happened."""
        query = _query().where(events.c.log_index.is_(None)).limit(limit)
        with self._read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def place_events(self, placed: Sequence[tuple[int, int]]) -> None:
        """Note where the log put events: pairs of sequence and index.

        Saying the same again is fine, for a log that recovers from a crash. A `Conflict` where
        an event already has another place, or a place another event; nothing is then placed.
        """
        if not placed:
            return
        place = (
            update(events)
            .where(events.c.sequence == bindparam("seq"))
            .where(or_(events.c.log_index.is_(None), events.c.log_index == bindparam("idx")))
            .values(log_index=bindparam("idx"))
        )
        with self._change() as connection:
            done = connection.execute(place, [{"seq": s, "idx": i} for s, i in placed])
            if done.rowcount != len(placed):
                raise Conflict(
                    "event-placed-elsewhere",
                    fr="Le journal place autrement un événement déjà placé ; vérifiez le journal.",
                    en="The log places a placed event elsewhere; verify the log.",
                    who="operator",
                )


def _query() -> Select[Any]:
    columns = (events.c.sequence, events.c.body, events.c.salt, events.c.log_index)
    return select(*columns).order_by(events.c.sequence)


def _event(row: Row[Any]) -> LoggedEvent:
    return LoggedEvent(row.sequence, row.body, row.salt, row.log_index)

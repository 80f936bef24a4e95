"""Events, and the outbox from which the log takes them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, func, insert, select

from hub.errors import Conflict
from hub.events import AuditEvent, Kind
from hub.records import LoggedEvent, Withdrawal
from hub.storage.books import records
from hub.storage.books.desk import Desk
from hub.storage.books.grants import withdrawal_of, withdrawal_query
from hub.storage.books.records import Marked
from hub.storage.books.schema import (
    event_bodies,
    event_places,
    event_topics,
    events,
    grants,
    jobs,
    quarantine,
    withdrawals,
)


@dataclass(frozen=True, slots=True)
class Search:
    """What events are looked for: of these kinds, from `since` (included) to `until` (not).

    `topics` name what they are about, see `records.topics`; all must fit, and of `any_of`, if there
    are some, one.
    """

    kinds: tuple[str, ...] | None = None
    topics: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


class Events(Desk):
    """What happened, in order. Nothing changes or removes an event: the database refuses it."""

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

    def search(self, search: Search, after: int = 0, limit: int = 100) -> list[LoggedEvent]:
        """Events that fit every part of a search, oldest first, after a sequence."""
        query = _query().where(events.c.sequence > after).limit(limit)
        if search.kinds is not None:
            query = query.where(events.c.kind.in_(search.kinds))
        if search.since is not None:
            query = query.where(events.c.at >= search.since)
        if search.until is not None:
            query = query.where(events.c.at < search.until)
        for topic in search.topics:
            theirs = select(event_topics.c.event).where(event_topics.c.topic == topic)
            query = query.where(events.c.sequence.in_(theirs))
        if search.any_of:
            theirs = select(event_topics.c.event).where(event_topics.c.topic.in_(search.any_of))
            query = query.where(events.c.sequence.in_(theirs))
        with self._read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def marks(self, table: str) -> Iterator[Marked]:
        """Every row of an audited table (`records.AUDITED`), named, with its mark as it is now."""
        with self._read() as connection:
            yield from records.marks(connection, table)

    def set_aside_counts(self) -> dict[tuple[str, str], int]:
        """How many rows are in quarantine, by push and reason."""
        by = (quarantine.c.push, quarantine.c.code)
        with self._read() as connection:
            rows = connection.execute(select(*by, func.count()).group_by(*by).order_by(*by))
            return {(push, code): count for push, code, count in rows}

    def promised(self) -> set[tuple[str, str]]:
        """Jobs not done yet, as kind and what they are about."""
        with self._read() as connection:
            return {(row.kind, row.about) for row in connection.execute(select(jobs))}

    def grant_counts(self) -> dict[tuple[str, str, str], int]:
        """How many grants stand, by partner, purpose and state: numbers only."""
        by = (grants.c.partner, grants.c.purpose, grants.c.state)
        with self._read() as connection:
            rows = connection.execute(select(*by, func.count()).group_by(*by).order_by(*by))
            return {(partner, purpose, state): n for partner, purpose, state, n in rows}

    def withdrawals(self, limit: int = 100) -> list[Withdrawal]:
        """Withdrawals, newest first."""
        query = withdrawal_query().order_by(
            withdrawals.c.requested_at.desc(), withdrawals.c.id.desc()
        )
        with self._read() as connection:
            return [withdrawal_of(row) for row in connection.execute(query.limit(limit))]

    def event_at(self, index: int) -> LoggedEvent | None:
        """The event at a place of the log."""
        query = _query().where(event_places.c.log_index == index)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _event(row)

    def last_of(self, kinds: Iterable[Kind]) -> int:
        """Sequence of the newest event of some kinds, 0 before the first."""
        query = select(func.max(events.c.sequence)).where(
            events.c.kind.in_([str(kind) for kind in kinds])
        )
        with self._read() as connection:
            return connection.execute(query).scalar() or 0

    def event_count(self) -> int:
        """How many events there are, placed or not."""
        with self._read() as connection:
            return connection.execute(select(func.count()).select_from(events)).scalar_one()

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        """Events the log has not taken in, in the order they happened.

        One writer at a time numbers events and the log takes them in that order, so that all up
        to the last one it took are in it.
        """
        query = _query().where(events.c.sequence > _LAST_PLACED.scalar_subquery()).limit(limit)
        with self._read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def last_event(self) -> int:
        """Sequence of the newest event, 0 before the first."""
        with self._read() as connection:
            return connection.execute(select(func.max(events.c.sequence))).scalar() or 0

    def are_placed(self, upto: int) -> bool:
        """Whether the log has taken in every event up to a sequence."""
        with self._read() as connection:
            return int(connection.execute(_LAST_PLACED).scalar_one()) >= upto

    def place_events(self, placed: Sequence[tuple[int, int]]) -> None:
        """Note where the log put events: pairs of sequence and index.

        Saying the same again is fine, for a log that recovers from a crash. A `Conflict` where
        an event already has another place, or a place another event; nothing is then placed.
        """
        if not placed:
            return
        sequences = [sequence for sequence, _ in placed]
        between = event_places.c.event.between(min(sequences), max(sequences))
        columns = (event_places.c.event, event_places.c.log_index)
        try:
            with self._change() as connection:
                # In the transaction: one who lost the log's lease may say the same just now.
                known = {tuple(row) for row in connection.execute(select(*columns).where(between))}
                new = [{"event": s, "log_index": i} for s, i in placed if (s, i) not in known]
                if new:
                    connection.execute(insert(event_places), new)
        except Conflict as error:
            raise Conflict(
                "event-placed-elsewhere",
                fr="Le journal place autrement un événement déjà placé ; vérifiez le journal.",
                en="The log places a placed event elsewhere; verify the log.",
                who="operator",
            ) from error


_LAST_PLACED: Final = select(func.coalesce(func.max(event_places.c.event), 0))


def _query() -> Select[Any]:
    said = (event_bodies.c.body, event_bodies.c.salt)
    query = select(events.c.sequence, *said, event_places.c.log_index).select_from(events)
    return query.outerjoin(event_bodies).outerjoin(event_places).order_by(events.c.sequence)


def _event(row: Row[Any]) -> LoggedEvent:
    # SQLite gives back text where someone put text: it is then found not to fit, not a fault.
    values = (row.body or b"", row.salt or b"")
    body, salt = (v.encode() if isinstance(v, str) else v for v in values)
    return LoggedEvent(row.sequence, body, salt, row.log_index)

"""Upkeep: rewrites of tables that are begun, how far withdrawals are, bodies of events that end.

A rewrite is announced before it and recorded after it. One that a crash cut off is found by its
announcement, and recorded then: the commits of a table have an event each, whatever happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from hub.events import AuditEvent, Kind
from hub.records import ERASURES, Erasure, LoggedEvent, Withdrawal
from hub.storage.books import postgres
from hub.storage.books.desk import Desk
from hub.storage.books.grants import withdrawal_of, withdrawal_query
from hub.storage.books.schema import (
    erasures,
    event_bodies,
    event_places,
    event_topics,
    events,
    rewrites,
    withdrawals,
)

_AT_ONCE: Final = 1_000


class Upkeep(Desk):
    """What the worker is in the middle of."""

    def intend_rewrite(self, table: str, version: int) -> None:
        """Announce that a version of a table is about to be made by a rewrite."""
        with self._change() as connection:
            connection.execute(delete(rewrites).where(rewrites.c.name == table))
            connection.execute(insert(rewrites).values(name=table, version=version))

    def intended_rewrites(self) -> Mapping[str, int]:
        """Rewrites announced and not recorded, as table and the version they were to make."""
        with self._read() as connection:
            return {row.name: row.version for row in connection.execute(select(rewrites))}

    def forget_rewrite(self, table: str) -> None:
        """Take an announcement back: nothing was rewritten."""
        with self._change() as connection:
            connection.execute(delete(rewrites).where(rewrites.c.name == table))

    def record_rewrite(self, table: str, *, event: AuditEvent) -> None:
        """Record a rewrite that was announced."""
        with self._write(event) as (connection, _):
            connection.execute(delete(rewrites).where(rewrites.c.name == table))

    def pending_withdrawals(self, limit: int) -> list[Withdrawal]:
        """Withdrawals whose rows are not known to be gone, oldest first."""
        query = withdrawal_query().where(withdrawals.c.completed_at.is_(None))
        query = query.order_by(withdrawals.c.requested_at, withdrawals.c.id).limit(limit)
        with self._read() as connection:
            return [withdrawal_of(row) for row in connection.execute(query)]

    def advance_withdrawals(self, ids: Sequence[str], state: Erasure) -> None:
        """Say how far withdrawals are; those that cannot follow their state stay as they are."""
        before = [str(one) for one, then in ERASURES.items() if state in then]
        with self._change() as connection:
            for start in range(0, len(ids), _AT_ONCE):
                connection.execute(
                    update(erasures)
                    .where(erasures.c.withdrawal.in_(ids[start : start + _AT_ONCE]))
                    .where(erasures.c.state.in_(before))
                    .values(state=str(state))
                )

    def readable_events(self, before: datetime, limit: int) -> list[LoggedEvent]:
        """Events of before a time that are in the log and not erased, oldest first."""
        query = (
            select(
                events.c.sequence,
                event_bodies.c.body,
                event_bodies.c.salt,
                event_places.c.log_index,
            )
            .select_from(events)
            .join(event_bodies)
            .join(event_places)
            # Who says what was erased is never erased: nobody could tell then from tampering.
            .where(events.c.at < before, events.c.kind != str(Kind.EVENT_ERASED))
            .order_by(events.c.sequence)
            .limit(limit)
        )
        with self._read() as connection:
            return [LoggedEvent(*row) for row in connection.execute(query)]

    def erase_events(self, sequences: Sequence[int], *, event: AuditEvent) -> None:
        """Destroy body, salt and topics of events; `event` names their places in the log.

        The entries stay in the tree and stand for nothing any more. Call `compact` afterwards.
        """
        with self._write(event) as (connection, _):
            erase(connection, sequences)


def erase(connection: Connection, sequences: Sequence[int]) -> None:
    """Let go what events say, where the newest event is the one that tells of it."""
    for start in range(0, len(sequences), _AT_ONCE):
        some = sequences[start : start + _AT_ONCE]
        if connection.dialect.name == "postgresql":
            postgres.erase_events(connection, some)
            continue
        for table in (event_topics, event_bodies):
            connection.execute(delete(table).where(table.c.event.in_(some)))

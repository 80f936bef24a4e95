"""Releases: intended, then published or blocked. The intention is logged before the act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from hub.errors import Conflict
from hub.events import AuditEvent
from hub.records import Release
from hub.storage.books.desk import Desk
from hub.storage.books.schema import event_places, release_intents, releases


@dataclass(frozen=True, slots=True)
class Intent:
    """A release that was announced and is neither published nor blocked yet."""

    digest: str
    facts: Mapping[str, Any]
    at: datetime


class Releases(Desk):
    """What left, what was about to, and what was kept from leaving."""

    def intend_release(self, digest: str, facts: Mapping[str, Any], *, event: AuditEvent) -> None:
        """Announce that the table of this digest is about to be published."""
        with self._write(event) as (connection, sequence):
            _announce(connection, digest, facts, event, sequence)

    def block_release(self, digest: str, facts: Mapping[str, Any], *, event: AuditEvent) -> None:
        """Record that the table of this digest must not leave, announced before or not."""
        with self._write(event) as (connection, sequence):
            if not _settle(connection, digest, "blocked"):
                _announce(connection, digest, facts, event, sequence, "blocked")

    def open_intents(self) -> list[Intent]:
        """Intentions without an outcome, oldest first: what a crash may have left half done."""
        query = select(release_intents).where(release_intents.c.outcome.is_(None))
        with self._read() as connection:
            rows = connection.execute(query.order_by(release_intents.c.number))
            return [Intent(row.digest, row.facts, row.at) for row in rows]

    def publish_release(self, release: Release, *, event: AuditEvent) -> Release:
        """Record a release as published.

        A `Conflict` where its digest was not announced (`release-not-intended`), or where that
        version of that measure and period is out already.
        """
        with self._write(event) as (connection, sequence):
            if not _settle(connection, release.digest, "published"):
                raise _not_intended()
            connection.execute(
                insert(releases).values(
                    id=release.id,
                    measure=release.measure,
                    period=release.period,
                    version=release.version,
                    digest=release.digest,
                    manifest=dict(release.manifest),
                    published_at=release.published_at,
                    event=sequence,
                )
            )
            row = connection.execute(_query().where(releases.c.id == release.id)).one()
        return _release(row)

    def releases(self, measure: str | None = None) -> list[Release]:
        """Published releases, oldest first."""
        query = _query().order_by(releases.c.number)
        if measure is not None:
            query = query.where(releases.c.measure == measure)
        with self._read() as connection:
            return [_release(row) for row in connection.execute(query)]

    def release(self, release_id: str) -> Release | None:
        """One release by its id."""
        with self._read() as connection:
            row = connection.execute(_query().where(releases.c.id == release_id)).first()
        return None if row is None else _release(row)

    def latest_release(self, measure: str, period: str | None = None) -> Release | None:
        """The last published release of a measure, of one period if asked."""
        query = _query().where(releases.c.measure == measure)
        if period is not None:
            query = query.where(releases.c.period == period)
        with self._read() as connection:
            row = connection.execute(query.order_by(releases.c.number.desc()).limit(1)).first()
        return None if row is None else _release(row)


def _announce(
    connection: Connection,
    digest: str,
    facts: Mapping[str, Any],
    event: AuditEvent,
    sequence: int,
    outcome: str | None = None,
) -> None:
    connection.execute(
        insert(release_intents).values(
            digest=digest, facts=dict(facts), at=event.at, outcome=outcome, event=sequence
        )
    )


def _settle(connection: Connection, digest: str, outcome: str) -> bool:
    """Close what was announced for a digest; False where nothing was."""
    announced = (release_intents.c.digest == digest) & release_intents.c.outcome.is_(None)
    done = connection.execute(update(release_intents).where(announced).values(outcome=outcome))
    return done.rowcount > 0


def _query() -> Select[Any]:
    return select(releases, event_places.c.log_index).outerjoin(
        event_places, event_places.c.event == releases.c.event
    )


def _release(row: Row[Any]) -> Release:
    return Release(
        id=row.id,
        measure=row.measure,
        period=row.period,
        version=row.version,
        digest=row.digest,
        manifest=row.manifest,
        published_at=row.published_at,
        log_index=row.log_index,
    )


def _not_intended() -> Conflict:
    return Conflict(
        "release-not-intended",
        fr="Cette publication n’a pas été annoncée au journal, ou a été bloquée entre-temps.",
        en="This release was not announced in the log, or was blocked since.",
        who="developer",
    )

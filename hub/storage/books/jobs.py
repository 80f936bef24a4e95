"""Jobs: work promised in the transaction that made it necessary, done under a lease."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, insert, or_, select, update

from hub.records import Job
from hub.storage.books.desk import Desk
from hub.storage.books.schema import jobs

PUSH = "push"
WITHDRAWAL = "withdrawal"
UPLOAD = "upload"
PULL = "pull"
STOP = "stop"
EXPIRY = "expiry"
CORRECTION = "correction"


class Jobs(Desk):
    """One queue for all workers. A job is there until it is done; a dead worker's lease ends."""

    def add_job(self, kind: str, about: str, at: datetime | None = None) -> None:
        """Promise a piece of work, not before `at`."""
        with self._share() as connection:
            promise(connection, kind, about, at)

    def lease_job(
        self, owner: str, now: datetime, ttl: timedelta, kinds: Collection[str] = ()
    ) -> Job | None:
        """Take a job for `ttl`, of one of these kinds if any are named; None where none is due.

        Never-tried jobs come first: one that kills its worker each time must not block the rest.
        """
        query = _due(now)
        if kinds:
            query = query.where(jobs.c.kind.in_(kinds))
        with self._read() as connection:
            if connection.execute(query).first() is None:
                return None  # idle workers take no write lock
        with self._share() as connection:
            # SKIP LOCKED where the database has it; SQLite has one writer and needs none.
            row = connection.execute(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            connection.execute(
                update(jobs)
                .where(jobs.c.id == row.id)
                .values(owner=owner, leased_until=now + ttl, attempts=jobs.c.attempts + 1)
            )
            return Job(row.id, row.kind, row.about, row.attempts + 1)

    def renew_job(self, job_id: int, owner: str, now: datetime, ttl: timedelta) -> bool:
        """Hold a job longer; False where it is done, or another worker has it by now."""
        with self._share() as connection:
            done = connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.owner == owner)
                .values(leased_until=now + ttl)
            )
            return done.rowcount == 1

    def finish_job(self, job_id: int) -> None:
        """Strike a job off; nothing where its last transaction did so already."""
        with self._share() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def retry_job(self, job_id: int, at: datetime, owner: str | None = None) -> None:
        """Give a job back, not to be run before `at`; if `owner` is given, only where it holds."""
        mine = [jobs.c.id == job_id] + ([jobs.c.owner == owner] if owner is not None else [])
        with self._share() as connection:
            connection.execute(
                update(jobs).where(*mine).values(owner=None, leased_until=None, due_at=at)
            )


def promise(connection: Connection, kind: str, about: str, at: datetime | None = None) -> None:
    """Add a job inside a transaction of the books."""
    connection.execute(insert(jobs).values(kind=kind, about=about, attempts=0, due_at=at))


def fulfil(connection: Connection, kind: str, *about: str) -> None:
    """Strike the jobs about things off, inside the transaction that finishes the things."""
    connection.execute(delete(jobs).where(jobs.c.kind == kind, jobs.c.about.in_(about)))


def _due(now: datetime) -> Select[tuple[int, str, str, int]]:
    waiting: ColumnElement[bool] = and_(
        or_(jobs.c.due_at.is_(None), jobs.c.due_at <= now),
        or_(jobs.c.leased_until.is_(None), jobs.c.leased_until <= now),
    )
    columns = select(jobs.c.id, jobs.c.kind, jobs.c.about, jobs.c.attempts)
    return columns.where(waiting).order_by(jobs.c.attempts, jobs.c.id).limit(1)

"""Pulls: what was last fetched from an address, and when it is due again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import insert, or_, select, update

from hub.storage.books.desk import Desk
from hub.storage.books.jobs import PULL, promise
from hub.storage.books.schema import pulls


class Pulled(NamedTuple):
    """The last fetch of a dataset: validators of HTTP, when, and what came of it."""

    dataset: str
    due_at: datetime | None
    etag: str = ""
    modified: str = ""
    fetched_at: datetime | None = None
    outcome: str = "never"


class Pulls(Desk):
    """One row per dataset that is fetched."""

    def pulled(self, dataset: str) -> Pulled:
        """What is known of a dataset's last fetch."""
        with self._read() as connection:
            row = connection.execute(select(pulls).where(pulls.c.dataset == dataset)).first()
        if row is None:
            return Pulled(dataset, None)
        return Pulled(row.dataset, row.due_at, row.etag, row.modified, row.fetched_at, row.outcome)

    def promise_pull(self, dataset: str, now: datetime, every: timedelta) -> bool:
        """Promise the job of a fetch that is due; one of several workers does, once."""
        with self._change() as connection:
            due = or_(pulls.c.due_at.is_(None), pulls.c.due_at <= now)
            mine = pulls.c.dataset == dataset
            if connection.execute(select(pulls.c.dataset).where(mine)).first() is None:
                connection.execute(
                    insert(pulls).values(dataset=dataset, etag="", modified="", outcome="never")
                )
            taken = connection.execute(update(pulls).where(mine, due).values(due_at=now + every))
            if taken.rowcount == 0:
                return False
            promise(connection, PULL, dataset)
        return True

    def note_pull(
        self, dataset: str, at: datetime, outcome: str, *, etag: str = "", modified: str = ""
    ) -> None:
        """Say what came of a fetch."""
        values = {"fetched_at": at, "outcome": outcome, "etag": etag, "modified": modified}
        with self._change() as connection:
            done = connection.execute(
                update(pulls).where(pulls.c.dataset == dataset).values(**values)
            )
            if done.rowcount == 0:
                connection.execute(insert(pulls).values(dataset=dataset, **values))

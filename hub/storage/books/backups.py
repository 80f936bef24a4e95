"""Back-ups: which exist, and until when. The withdrawal receipt reads the longest from here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.events import AuditEvent
from hub.records import Backup
from hub.storage.books.desk import Desk
from hub.storage.books.schema import backups


class Backups(Desk):
    """A back-up is recorded before its first byte is read: what it may hold, it may hold then."""

    def begin_backup(self, backup: Backup, *, event: AuditEvent) -> None:
        """Record a back-up that is about to be made."""
        with self._write(event) as (connection, _):
            connection.execute(
                insert(backups).values(
                    id=backup.id,
                    created_at=backup.created_at,
                    expires_at=backup.expires_at,
                    sha256=None,
                    size=None,
                )
            )

    def finish_backup(self, backup: Backup, *, event: AuditEvent) -> None:
        """Record that a back-up is whole, with its digest and size."""
        with self._write(event) as (connection, _):
            connection.execute(
                update(backups)
                .where(backups.c.id == backup.id)
                .values(sha256=backup.sha256, size=backup.size)
            )

    def drop_backup(self, backup_id: str, *, event: AuditEvent) -> None:
        """Record that a back-up is destroyed."""
        with self._write(event) as (connection, _):
            connection.execute(delete(backups).where(backups.c.id == backup_id))

    def backups(self) -> list[Backup]:
        """Back-ups that exist, or are being made, oldest first."""
        with self._read() as connection:
            rows = connection.execute(select(backups).order_by(backups.c.created_at, backups.c.id))
            return [_backup(row) for row in rows]

    def backups_until(self) -> datetime | None:
        """When the last of the back-ups that exist expires; None where there is none."""
        return max((backup.expires_at for backup in self.backups()), default=None)


def _backup(row: Row[Any]) -> Backup:
    return Backup(row.id, row.created_at, row.expires_at, row.sha256, row.size)

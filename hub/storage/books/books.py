"""The one face of the books: everything the hub remembers about itself."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from hub.storage.books import portable
from hub.storage.books.accounts import Accounts
from hub.storage.books.backups import Backups
from hub.storage.books.clients import Clients
from hub.storage.books.consent_proofs import ConsentProofs
from hub.storage.books.contributions import Contributions
from hub.storage.books.engine import (
    ahead,
    alembic_config,
    behind,
    connect,
    emptied,
    is_known,
    prepare,
    revision,
)
from hub.storage.books.events import Events
from hub.storage.books.faults import translated
from hub.storage.books.grants import Grants
from hub.storage.books.jobs import Jobs
from hub.storage.books.leases import Leases
from hub.storage.books.organisations import Organisations
from hub.storage.books.participation import Participation
from hub.storage.books.pulls import Pulls
from hub.storage.books.pushes import Pushes
from hub.storage.books.releases import Releases
from hub.storage.books.requests import Requests
from hub.storage.books.rights import Rights
from hub.storage.books.schema import HEAD
from hub.storage.books.upkeep import Upkeep
from hub.storage.books.uploads import Uploads

PATIENCE: Final = timedelta(seconds=30)


class Books(
    Organisations,
    Clients,
    Accounts,
    Pushes,
    Uploads,
    Pulls,
    Jobs,
    Leases,
    Grants,
    Contributions,
    ConsentProofs,
    Participation,
    Rights,
    Releases,
    Requests,
    Events,
    Upkeep,
    Backups,
):
    """Records in SQL. Every write takes its `AuditEvent` and shares a transaction with it.

    Safe for threads and processes alike. Methods raise `Conflict` where a record contradicts
    another and `Unavailable` where the database does not answer; nothing is then written.
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        patience: timedelta = PATIENCE,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Open the books at a SQLAlchemy address, creating or migrating them as needed.

        `patience` is how long a write waits for its turn; `randomness` makes the events' salts.
        Raises `Rejected` for a wrong address, `Unavailable` where they cannot be opened or a
        newer hub wrote them.
        """
        engine = connect(url, patience)
        try:
            prepare(engine, patience)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, randomness)

    def close(self) -> None:
        """Give the connections back. Books may be opened again."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise `Unavailable` where the books do not answer or are not this hub's."""
        with self._read() as connection:
            found = revision(connection)
            if found is None:
                raise emptied()
            if found != HEAD:
                raise behind() if is_known(found, alembic_config(connection)) else ahead()

    def copy_to(self, path: Path) -> None:
        """Copy the books as they are now into a new SQLite file, while others go on writing."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if self._engine.dialect.name != "sqlite":
            copied = Books.open(f"sqlite:///{path.absolute()}")
            try:
                with translated():
                    portable.copy(self._engine, copied._engine)
                copied.compact()
            finally:
                copied.close()
            return
        with translated():
            connection = self._engine.raw_connection()
            try:
                with closing(sqlite3.connect(path)) as copy:
                    connection.driver_connection.backup(copy)  # type: ignore[union-attr]
            finally:
                connection.close()

    def take_over(self, path: Path) -> None:
        """Fill these books, which are empty, from a copy. Raises `Conflict` where they are not."""
        copied = Books.open(f"sqlite:///{path.absolute()}")
        try:
            with translated():
                portable.copy(copied._engine, self._engine)
        finally:
            copied.close()

    def check_empty(self) -> None:
        """Raise `Conflict` where these books hold anything."""
        with self._read() as connection:
            portable.check_empty(connection)

    def compact(self) -> bool:
        """Make deleted content unreadable in the files, not only in the tables.

        `secure_delete` overwrites what is deleted, yet copies stay in the write-ahead log and in
        pages that were split earlier: the file is rebuilt and the log emptied. False where a
        reader kept the log from being emptied: call again. Takes time in proportion to the books.
        """
        if self._engine.dialect.name != "sqlite":
            return True  # autovacuum's work; what PostgreSQL's own log keeps is its operator's
        with translated():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute("VACUUM")
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                cursor.close()
            finally:
                connection.close()
        return not busy

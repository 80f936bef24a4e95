"""Connections to the books and the way to their current schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Final, cast

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, ProgrammingError

from hub.errors import Rejected, Unavailable
from hub.storage.books import postgres
from hub.storage.books.faults import translated
from hub.storage.books.schema import HEAD, IMMEDIATE, UNCHECKED

if TYPE_CHECKING:
    from alembic.config import Config

_PRAGMAS: Final = (
    "journal_mode = WAL",
    # FULL, not the usual NORMAL: what was acknowledged must outlive a power cut.
    "synchronous = FULL",
    "foreign_keys = ON",
    # Deleted digests are overwritten, not left in free space. `Books.compact` does the rest.
    "secure_delete = ON",
    "trusted_schema = OFF",
    "cache_size = -32768",  # KiB: an import of grants touches its indexes at random
)


PAUSE: Final = 0.002
"""Seconds between two attempts to write of the one who is first in the queue. Shorter is slower:
the books go from hand to hand more often, and each hand reads anew what another wrote."""
MILLISECOND: Final = timedelta(milliseconds=1)


def connect(url: str, patience: timedelta) -> Engine:
    """An engine for the address. `patience`: how long a write waits for another.

    Raises `Rejected` where the address cannot be used; opens nothing yet.
    """
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            return _sqlite(address, patience)
        if address.get_backend_name() == "postgresql":
            return postgres.engine(address, patience)
        raise _bad_address()
    except (ArgumentError, ImportError) as error:
        raise _bad_address() from error


def _sqlite(address: URL, patience: timedelta) -> Engine:
    if address.database in {None, "", ":memory:"}:
        raise _bad_address()  # every connection would see books of its own
    engine = create_engine(
        address,
        hide_parameters=True,
        json_serializer=_json,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": patience.total_seconds()},
        pool_size=8,
        max_overflow=32,
    )

    queue = Path(str(address.database).removeprefix("file:")).absolute().parent

    @event.listens_for(engine, "connect")
    def configure(connection: SqliteConnection, _: object) -> None:
        # The driver opens transactions late and never IMMEDIATE: begin them ourselves.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for its turn: it fails with
        # "locked" whatever the timeout. Those that will write say so at once.
        options = connection.get_execution_options()
        driver = cast("SqliteConnection", connection.connection.dbapi_connection)
        if options.get(UNCHECKED, False):
            driver.execute("PRAGMA foreign_keys = OFF").close()  # is nothing within a transaction
        if options.get(IMMEDIATE, False):
            _begin_to_write(driver, queue, patience)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_to_write(driver: SqliteConnection, queue: Path, patience: timedelta) -> None:
    """Begin a transaction that writes, once nobody else does; they take turns within `patience`.

    SQLite itself sleeps for up to a tenth of a second between two attempts: among several writers
    the books would idle for most of the time. So they queue up at a lock on `queue`, the books'
    folder, and only who is first asks. It is held while asking, never while writing: whatever a
    writer does in its transaction, nobody waits in the queue beyond the time of who is first.
    """
    deadline = time.monotonic() + patience.total_seconds()
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        if _began(driver, 0):
            return
        turn = os.open(queue, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            while not _began(driver, deadline):
                time.sleep(PAUSE)
        finally:
            os.close(turn)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience // MILLISECOND}").close()


def _began(driver: SqliteConnection, deadline: float) -> bool:
    """Whether it was our turn; at the `deadline`, if there is one, that it was not is an error."""
    try:
        driver.execute("BEGIN IMMEDIATE").close()
    except sqlite3.OperationalError as error:
        busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
        if not busy or (deadline and time.monotonic() >= deadline):
            raise
        return False
    return True


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def prepare(engine: Engine, patience: timedelta) -> None:
    """Create the books or bring their schema up to date; several processes may do so at once.

    Raises `Unavailable` `books-ahead` where a newer hub has written them.
    """
    if engine.dialect.name == "sqlite":
        _create_file(engine.url)
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            _upgrade(engine)
        except Unavailable as error:
            # SQLite does not wait its turn while another process switches a new file to WAL. On
            # PostgreSQL a migration gives way to readers after a moment, and tries again.
            if error.code != "books-busy" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _create_file(address: URL) -> None:
    path = Path(address.database or "")
    if address.query or path.exists():
        return
    try:
        # Owner only: the books hold digests and password hashes. WAL files inherit the mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unavailable(
            "books-unreachable",
            fr="Le fichier des registres ne peut être créé ; l’opérateur doit vérifier HUB_HOME.",
            en="The file of the books cannot be created; the operator must check HUB_HOME.",
            who="operator",
        ) from error


def _upgrade(engine: Engine) -> None:
    with translated(), engine.connect() as connection:
        if revision(connection) == HEAD:
            return
    from alembic import command  # loaded by those who migrate, before they hold up others

    with translated(), _migration(engine) as connection:
        current = revision(connection)
        if current == HEAD:
            return
        config = alembic_config(connection)
        if current is not None and not is_known(current, config):
            raise ahead()
        postgres.give_way(connection)
        try:
            command.upgrade(config, "head")
        except ProgrammingError as error:
            if postgres.is_forbidden(error):
                raise behind() from error
            raise


@contextmanager
def _migration(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables may be made anew, as SQLite needs to take a column away.

    So a table that others refer to may be dropped; that no reference hangs is seen at the end.
    """
    options = {IMMEDIATE: True, UNCHECKED: True}
    try:
        with engine.execution_options(**options).begin() as connection:
            yield connection
            if (
                connection.dialect.name == "sqlite"
                and connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            ):
                raise emptied()
    finally:
        engine.dispose()  # of connections that check no references


def is_known(current: str, config: Config) -> bool:
    """Whether this hub has the migration that led to a revision: else a newer hub made it."""
    from alembic.script import ScriptDirectory

    return current in {s.revision for s in ScriptDirectory.from_config(config).walk_revisions()}


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration without a file; migrations run inside the caller's transaction."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    here = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", here.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def revision(connection: Connection) -> str | None:
    """The schema's revision in this database; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def ahead() -> Unavailable:
    """The error of books this hub does not understand."""
    return Unavailable(
        "books-ahead",
        fr="Une version plus récente du hub a écrit ces registres ; installez-la.",
        en="A newer version of the hub has written these books; install it.",
        who="operator",
    )


def behind() -> Unavailable:
    """The error of books made by an older hub, where this process may not migrate them."""
    return Unavailable(
        "books-behind",
        fr=(
            "Ces registres sont d’une version antérieure et ce rôle ne peut les migrer : lancez "
            "une fois « hub doctor » avec l’adresse de leur propriétaire dans HUB_DATABASE_URL."
        ),
        en=(
            "These books are of an earlier version and this role may not migrate them: run "
            "`hub doctor` once with their owner's address in HUB_DATABASE_URL."
        ),
        who="operator",
    )


def emptied() -> Unavailable:
    """The error of books whose tables went away under a running hub."""
    return Unavailable(
        "books-damaged",
        fr="Les registres ont été vidés ou remplacés ; l’opérateur doit les restaurer.",
        en="The books were emptied or replaced; the operator must restore them.",
        who="operator",
    )


def _bad_address() -> Rejected:
    return Rejected(
        "books-address",
        fr="HUB_DATABASE_URL n’est pas une adresse utilisable (fichier SQLite ou PostgreSQL).",
        en="HUB_DATABASE_URL is not a usable address (a SQLite file, or PostgreSQL).",
        who="operator",
        where="HUB_DATABASE_URL",
    )

"""The books on PostgreSQL: what differs from SQLite, and nothing else.

One writer at a time, as on SQLite: a transaction that changes records takes one advisory lock
first. So what the code reads before it writes cannot have changed when it does, and events get
their numbers in the order they are committed. Jobs and leases are taken row by row, beside it.
Reading waits for nobody: each reader sees one state of the books (`REPEATABLE READ`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from sqlalchemy import ARRAY, BigInteger, Connection, Engine, bindparam, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from hub.storage.books.schema import IMMEDIATE, SHARED

if TYPE_CHECKING:
    import psycopg

ONE_WRITER: Final = 0x687562  # "hub": any number, the same for every process of one database
CONNECT_SECONDS: Final = 5
SILENCE_MS: Final = 15_000
"""How long a server may leave sent bytes unacknowledged before the connection counts as dead."""
GIVE_WAY_MS: Final = 3_000
_ERASE: Final = text("SELECT erase_events(:events)").bindparams(
    bindparam("events", type_=ARRAY(BigInteger))
)

STATES: Final[Mapping[str, str]] = {
    "28": "credentials",
    "3D": "missing",
    "53100": "full",
    "53": "busy",  # out of connections or memory: others have them
    "25006": "readonly",
    "42501": "forbidden",
    "42P01": "damaged",
    "3F": "damaged",
    "XX001": "damaged",
    "XX002": "damaged",
    "40": "busy",
    "55P03": "busy",
    "57014": "busy",
    "58": "io",
    "57P": "unreachable",
    "08": "unreachable",
}
"""SQLSTATE, or how it begins, to what it means here; the longest that fits counts."""

_TOLD: Final[Mapping[str, str]] = {
    # Before there is a session, the client library tells no state, only the server's words.
    "password authentication failed": "credentials",
    "no pg_hba.conf entry": "credentials",
    "no password supplied": "credentials",
    "does not exist": "missing",
    "too many clients": "busy",
    "too many connections": "busy",
}


def engine(address: URL, patience: timedelta) -> Engine:
    """An engine for a PostgreSQL address, by psycopg; `patience` is how long a lock is waited for.

    `postgresql://` is enough: the driver is ours to choose.
    """
    import psycopg  # loaded by those whose books are there

    wait = max(1, int(patience.total_seconds() * 1000))
    made = create_engine(
        address.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=32,
        json_serializer=_json,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": SILENCE_MS,
            "application_name": "hub",
            "options": f"-c lock_timeout={wait} -c timezone=UTC -c jit=off",
        },
    )

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        writes = options.get(IMMEDIATE, False)
        # The driver says both when the transaction begins: no statement of our own.
        driver = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
        driver.read_only = not writes
        driver.isolation_level = (
            psycopg.IsolationLevel.READ_COMMITTED
            if writes
            else psycopg.IsolationLevel.REPEATABLE_READ
        )
        if writes and not options.get(SHARED, False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_WRITER})")

    return made


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        import psycopg

        # The driver asks late, where SQLAlchemy no longer says whose fault it is.
        raise psycopg.DataError("no JSON") from error


def erase_events(connection: Connection, sequences: Sequence[int]) -> None:
    """Let what events say and are found by go; the function may what the role may not."""
    connection.execute(_ERASE, {"events": list(sequences)})


def give_way(connection: Connection) -> None:
    """Let the migrations of this transaction give up soon where someone holds what they need.

    A migration that waits for a table makes everybody wait who comes after it.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {GIVE_WAY_MS}")


def is_forbidden(error: DBAPIError) -> bool:
    """Whether the role lacks the privilege."""
    return getattr(error.orig, "sqlstate", None) == "42501"


def meaning(error: BaseException | None) -> str | None:
    """What an error of the driver means (a value of `STATES`); None where it says nothing known."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        fitting = [prefix for prefix in STATES if str(state).startswith(prefix)]
        return STATES[max(fitting, key=len)] if fitting else None
    if type(error).__module__.partition(".")[0] != "psycopg":
        return None
    words = str(error)
    return next((found for told, found in _TOLD.items() if told in words), "unreachable")

"""Books from one database into another: from PostgreSQL into a file for a back-up, and back.

Both have the schema of this version; what is copied is every row of every table, as one reader
sees them at one moment, in an order that references allow. Events keep their numbers, rows their
marks: the log goes on to hold.

Events come one by one, each with what it says: the database lets that in only while its event is
the newest. One that was erased comes saying nothing, and even that goes once the event that erased
it has come, which is how the database lets it go.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, func, insert, select, text

from hub.errors import Conflict
from hub.events import Kind
from hub.storage.books.schema import (
    IMMEDIATE,
    event_bodies,
    event_places,
    event_topics,
    events,
    metadata,
)
from hub.storage.books.upkeep import erase

_AT_ONCE: Final = 1000
_OF_EVENTS: Final = (event_bodies, event_places, event_topics)


def copy(source: Engine, target: Engine) -> None:
    """Copy all rows, in one transaction on either side. `Conflict` where the target has some."""
    with (
        source.connect() as reading,
        target.execution_options(**{IMMEDIATE: True}).begin() as writing,
    ):
        check_empty(writing)
        _copy_events(reading, writing)
        for table in metadata.sorted_tables:
            if table is events or table in _OF_EVENTS:
                continue
            found = reading.execution_options(yield_per=_AT_ONCE).execute(select(table))
            for some in found.mappings().partitions(_AT_ONCE):
                writing.execute(insert(table), [dict(row) for row in some])
        _number_on(writing)


def _copy_events(reading: Connection, writing: Connection) -> None:
    erased: list[int] = []
    query = select(events).order_by(events.c.sequence)
    found = reading.execution_options(yield_per=_AT_ONCE).execute(query)
    for some in found.mappings().partitions(_AT_ONCE):
        first, last = some[0]["sequence"], some[-1]["sequence"]
        parts = {table: _by_event(reading, table, first, last) for table in _OF_EVENTS}
        for row in some:
            number = row["sequence"]
            writing.execute(insert(events), dict(row))
            if number not in parts[event_bodies]:
                erased.append(number)
                nothing = {"event": number, "body": b"", "salt": b""}
                writing.execute(insert(event_bodies), nothing)
            for table in _OF_EVENTS:
                if number in parts[table]:
                    writing.execute(insert(table), parts[table][number])
            if row["kind"] == Kind.EVENT_ERASED and erased:
                _say(writing, "IMMEDIATE")
                erase(writing, erased)
                _say(writing, "DEFERRED")
                erased.clear()


def _say(connection: Connection, when: str) -> None:
    """When PostgreSQL looks whether events say something: now they do, at the end some do not."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET CONSTRAINTS events_say {when}"))


def _by_event(
    connection: Connection, table: Table, first: int, last: int
) -> dict[int, list[dict[str, Any]]]:
    made: dict[int, list[dict[str, Any]]] = defaultdict(list)
    query = select(table).where(table.c.event.between(first, last))
    for row in connection.execute(query).mappings():
        made[row["event"]].append(dict(row))
    return made


def check_empty(connection: Connection) -> None:
    """Raise `Conflict` where books hold anything: what is put in would mix with it."""
    for table in metadata.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise Conflict(
                "books-not-empty",
                fr="Cette base contient déjà des registres : une restauration demande une base "
                "vide.",
                en="There are books in this database already: a restore needs an empty one.",
                who="operator",
            )


def _number_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those copied. SQLite does so by itself.

    Drawn, not set: setting a sequence takes a privilege that drawing from it does not.
    """
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        last = connection.execute(select(func.max(column))).scalar()
        if last:
            drawn = "SELECT max(nextval(pg_get_serial_sequence(:name, :column)))"
            connection.execute(
                text(f"{drawn} FROM generate_series(1, :last)"),
                {"name": table.name, "column": column.name, "last": last},
            )

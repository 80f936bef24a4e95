"""Books from one database into another: from PostgreSQL into a file for a back-up, and back.

Both have the schema of this version; what is copied is every row of every table, as one reader
sees them at one moment, in an order that references allow. Events keep their numbers, rows their
marks: the log goes on to hold.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, insert, select, text

from hub.errors import Conflict
from hub.storage.books.schema import IMMEDIATE, metadata

_AT_ONCE = 1000


def copy(source: Engine, target: Engine) -> None:
    """Copy all rows, in one transaction on either side. `Conflict` where the target has some."""
    with (
        source.connect() as reading,
        target.execution_options(**{IMMEDIATE: True}).begin() as writing,
    ):
        check_empty(writing)
        for table in metadata.sorted_tables:
            found = reading.execution_options(yield_per=_AT_ONCE).execute(select(table))
            for some in found.mappings().partitions(_AT_ONCE):
                writing.execute(insert(table), [dict(row) for row in some])
        _number_on(writing)


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

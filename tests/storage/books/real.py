"""A PostgreSQL database of its own for each test process, emptied for each test."""

from __future__ import annotations

import os
from functools import cache
from urllib.parse import quote

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from hub.storage.books import Books
from hub.storage.books.schema import metadata
from tests.services import needed

SPEAKS = "postgresql+psycopg"


def address(role: str, database: str) -> URL:
    """Where the cluster of the tests is, as `owner` or `application`."""
    told = needed("postgres")
    password = quote(told[f"HUB_TEST_POSTGRES_{role.upper()}"])
    user = {"owner": "hub_owner", "application": "hub_app"}[role]
    return make_url(f"{SPEAKS}://{user}:{password}@{told['HUB_TEST_POSTGRES']}/{database}")


def shown(url: URL) -> str:
    """As a setting holds it."""
    return url.render_as_string(hide_password=False)


def created(database: str) -> str:
    """Create a database anew, with nothing in it; its owner's address."""
    engine = create_engine(address("owner", "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{database}"'))
    engine.dispose()
    return shown(address("owner", database))


@cache
def migrated() -> str:
    """The name of this process's database, with the schema of its owner's making."""
    # Two suites of one machine share a cluster.
    name = f"hub_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}_{os.getpid()}"
    Books.open(created(name)).close()
    return name


def emptied() -> str:
    """The application's address of this process's database, with nothing in its tables."""
    name = migrated()
    engine = create_engine(address("owner", name))
    rows = "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
    with engine.begin() as connection:
        # The triggers hold for the owner too; a superuser may set them aside. Not TRUNCATE: it
        # makes every table and index a new file, and takes twenty times as long.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(rows))
        connection.execute(text("SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'"))
    engine.dispose()
    return shown(address("application", name))

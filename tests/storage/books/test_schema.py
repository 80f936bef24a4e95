from __future__ import annotations

import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateTable

from hub.errors import Rejected, Unavailable
from hub.storage.books import Books
from hub.storage.books.engine import alembic_config
from hub.storage.books.migrations import versions
from hub.storage.books.schema import HEAD, metadata
from tests.storage.books.conftest import Start
from tests.storage.books.made import with_partner


def test_the_migrations_make_the_schema_the_code_works_with(books: Books) -> None:
    with books._engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "target_metadata": metadata}
        )
        assert compare_metadata(context, metadata) == []


def test_check_constraints_are_those_of_the_code(books: Books) -> None:
    # Alembic does not compare these.
    declared = {
        (table.name, str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    found = inspect(books._engine)
    assert declared == {
        (table, str(check["name"]))
        for table in metadata.tables
        for check in found.get_check_constraints(table)
    }


def test_each_migration_has_a_number_of_its_own_and_follows_the_last() -> None:
    files = sorted(Path(versions.__file__).parent.glob("v*.py"))
    numbers = [f"{number:04d}" for number in range(1, len(files) + 1)]
    assert [path.name[1:5] for path in files] == numbers
    assert numbers[-1] == HEAD


def test_head_is_the_newest_migration(books: Books) -> None:
    with books._engine.connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_heads() == [HEAD]


def test_migrations_go_down_to_nothing_and_up_again(books: Books) -> None:
    with books._writer.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert set(inspect(books._engine).get_table_names()) == {"alembic_version"}
    with pytest.raises(Unavailable):
        books.check()
    with books._writer.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    books.check()
    with_partner(books)


def test_a_migration_that_fails_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    raw = create_engine(url)
    with raw.begin() as connection:
        connection.execute(text("CREATE TABLE tokens (x INTEGER)"))  # the last one made
    with pytest.raises(Unavailable) as refused:
        Books.open(url)
    assert refused.value.code == "books-damaged"
    assert inspect(raw).get_table_names() == ["tokens"]
    raw.dispose()


def test_books_a_newer_hub_wrote_are_refused_by_name(books: Books, url: str) -> None:
    with books._writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable) as refused:
        Books.open(url)
    assert refused.value.code == "books-ahead"
    assert refused.value.who == "operator"
    with pytest.raises(Unavailable):
        books.check()


def test_opening_again_keeps_what_was_written(books: Books, url: str) -> None:
    again = Books.open(url)
    again.check()
    assert again.organisations() == books.organisations()
    again.close()


def test_the_file_is_its_owners_only(books: Books, tmp_path: Path) -> None:
    for path in tmp_path.glob("books.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_sqlite_is_set_to_keep_promises(books: Books) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 30_000,
    }
    with books._engine.connect() as connection:
        for pragma, value in expected.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value, pragma


def test_processes_and_threads_may_create_the_books_at_once(
    start: Start, url: str, tmp_path: Path
) -> None:
    workers = [start("create", str(tmp_path / "start")) for _ in range(3)]
    (tmp_path / "start").touch()
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    Books.open(url).close()


@pytest.mark.parametrize(
    "address", ["", "sqlite://", "sqlite:///:memory:", "nonsense", "nosuch://host/db"]
)
def test_an_address_that_cannot_work_is_refused_by_name(address: str) -> None:
    with pytest.raises(Rejected) as refused:
        Books.open(address)
    assert refused.value.code == "books-address"
    assert refused.value.who == "operator"


def test_every_table_can_be_made_on_postgresql() -> None:
    dialect = PGDialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        made = str(CreateTable(table).compile(dialect=dialect))
        assert "DATETIME" not in made
        assert table.name in made

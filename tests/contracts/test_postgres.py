"""What only PostgreSQL can get wrong: roles, migrations, several writers, a plug pulled."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from hub.errors import HubError, Unavailable
from hub.events import Kind
from hub.records import Organisation
from hub.storage.books import Books, Search
from hub.storage.books.engine import alembic_config
from hub.storage.books.schema import HEAD, metadata
from tests.faulty import Faulty
from tests.services import needed
from tests.storage.books import real
from tests.storage.books.made import NOW, event, push, with_partner

IMPATIENT = timedelta(milliseconds=200)
TTL = timedelta(minutes=1)


@pytest.fixture
def url() -> str:
    """The application's address of books with nothing in them."""
    return real.emptied()


@pytest.fixture
def books(url: str) -> Iterator[Books]:
    opened = with_partner(Books.open(url))
    yield opened
    opened.close()


@pytest.fixture
def empty() -> str:
    """The owner's address of a database with nothing in it."""
    return real.created(f"hub_scratch_{os.getpid()}")


def as_owner(url: str) -> Engine:
    return create_engine(real.address("owner", make_url(url).database or ""))


def as_application(url: str) -> str:
    return real.shown(real.address("application", make_url(url).database or ""))


def refused(url: str, patience: timedelta = IMPATIENT) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        Books.open(url, patience=patience).close()
    assert raised.value.who == "operator"
    return raised.value


# The schema -----------------------------------------------------------------------------------


def test_the_migrations_make_the_schema_the_code_works_with(empty: str) -> None:
    Books.open(empty).close()
    engine = create_engine(make_url(empty))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "target_metadata": metadata}
        )
        assert compare_metadata(context, metadata) == []
    declared = {
        (table.name, str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if type(constraint).__name__ == "CheckConstraint"
    }
    found = inspect(engine)
    assert declared == {
        (table, str(check["name"]))
        for table in metadata.tables
        for check in found.get_check_constraints(table)
    }
    engine.dispose()


def test_migrations_go_down_to_nothing_and_up_again(empty: str) -> None:
    books = Books.open(empty)
    with books._writer.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert set(inspect(books._engine).get_table_names()) == {"alembic_version"}
    with pytest.raises(Unavailable):
        books.check()
    with books._writer.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    books.check()
    with_partner(books)
    books.close()


def test_each_migration_can_be_gone_back_from(empty: str) -> None:
    books = Books.open(empty)
    for _ in range(int(HEAD)):
        with books._writer.begin() as connection:
            command.downgrade(alembic_config(connection), "-1")
    with books._writer.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    books.check()
    books.close()


def test_books_a_newer_hub_wrote_are_refused_by_name(empty: str) -> None:
    books = Books.open(empty)
    with books._writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert refused(empty).code == "books-ahead"
    assert refused(as_application(empty)).code == "books-ahead"
    with pytest.raises(Unavailable) as ahead:
        books.check()
    assert ahead.value.code == "books-ahead"
    books.close()


def test_books_one_migration_behind_are_migrated_by_their_owner_only(empty: str) -> None:
    books = Books.open(empty)
    application = Books.open(as_application(empty))
    with books._writer.begin() as connection:
        command.downgrade(alembic_config(connection), "-1")
        # What an older hub's owner had granted to read the revision by.
        connection.execute(text("GRANT SELECT ON alembic_version TO hub_app"))
    with pytest.raises(Unavailable) as behind:
        application.check()
    assert behind.value.code == "books-behind"
    application.close()
    assert refused(as_application(empty)).code == "books-behind"
    assert "owner" in behind.value.words["en"]
    Books.open(empty).close()
    again = Books.open(as_application(empty))
    again.check()
    again.close()
    books.close()


def test_a_migration_gives_way_to_a_writer_and_says_so(empty: str) -> None:
    books = Books.open(empty)
    with books._writer.begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
    reader = create_engine(make_url(empty))
    with reader.connect() as connection:
        connection.execute(text("LOCK TABLE events IN ROW EXCLUSIVE MODE"))
        assert refused(empty, patience=IMPATIENT).code == "books-busy"
    Books.open(empty).close()
    reader.dispose()
    books.close()


# The application's role -----------------------------------------------------------------------

FORBIDDEN = [
    *(
        f"{statement} {table}{values}"
        for table, column in {
            "events": "kind",
            "event_bodies": "body",
            "event_places": "log_index",
            "event_topics": "topic",
        }.items()
        for statement, values in {
            "DELETE FROM": "",
            "TRUNCATE": "",
            "UPDATE": f" SET {column} = {column}",
        }.items()
    ),
    "UPDATE alembic_version SET version_num = '0001'",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TABLE grants",
    "CREATE TABLE more (x int)",
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(books: Books, statement: str) -> None:
    before = books.events()
    with pytest.raises(DBAPIError) as raised, books._writer.begin() as connection:
        connection.execute(text(statement))
    assert getattr(raised.value.orig, "sqlstate", "") == "42501"
    assert books.events() == before


CHANGES = {
    "DELETE FROM events": "append-only",
    "UPDATE events SET about = 'other'": "append-only",
    r"UPDATE event_bodies SET body = '\x01'": "append-only",
    r"UPDATE event_bodies SET salt = ''": "append-only",
    "DELETE FROM event_bodies": "append-only",
    "UPDATE event_places SET log_index = 7": "append-only",
    "DELETE FROM event_places": "append-only",
    "DELETE FROM event_topics": "append-only",
    "TRUNCATE events CASCADE": "append-only",
    "TRUNCATE event_bodies": "append-only",
    r"INSERT INTO event_bodies VALUES (1, '\x01', '\x01')": "append-only",
    "INSERT INTO event_topics VALUES ('x', 1)": "append-only",
    # An event that says nothing.
    "INSERT INTO events (kind, about, at) VALUES ('x', 'x', now())": "append-only",
}


@pytest.mark.parametrize("statement", CHANGES)
def test_even_the_owner_changes_no_event(books: Books, url: str, statement: str) -> None:
    books.place_events([(1, 0)])
    books.record(event=event())
    owner = as_owner(url)
    with (
        pytest.raises(DBAPIError, match=CHANGES[statement]),
        owner.begin() as connection,
    ):
        connection.execute(text(statement))
    owner.dispose()


def test_body_salt_and_topics_leave_together_once_the_log_has_them(books: Books) -> None:
    (first,) = books.events()
    erased = event(Kind.EVENT_ERASED, about="erased")
    with pytest.raises(HubError):
        books.erase_events([first.sequence], event=erased)
    assert books.events() == [first]
    books.place_events([(first.sequence, 0)])
    with pytest.raises(HubError):  # only where an event says so
        books.erase_events([first.sequence], event=event())
    books.erase_events([first.sequence], event=erased)
    gone = books.event_at(0)
    assert gone is not None
    assert (gone.body, gone.salt) == (b"", b"")
    assert len(books.search(Search(topics=("about:erased",)))) == 1


def test_books_with_an_erased_event_go_to_a_file_and_back(books: Books, tmp_path: Path) -> None:
    (first,) = books.events()
    books.place_events([(first.sequence, 0)])
    books.erase_events([first.sequence], event=event(Kind.EVENT_ERASED, about="erased"))
    books.record(event=event())
    kept, gone = books.events(), books.event_at(0)
    books.copy_to(tmp_path / "copy.sqlite")
    copy = Books.open(f"sqlite:///{tmp_path / 'copy.sqlite'}")
    back = Books.open(real.emptied())
    try:
        assert copy.events() == kept
        assert copy.event_at(0) == gone
        back.take_over(tmp_path / "copy.sqlite")
        assert back.events() == kept
        assert back.event_at(0) == gone
        assert back.search(Search(topics=("about:erased",)))
        back.record(event=event())
        assert back.events()[-1].sequence == kept[-1].sequence + 1
    finally:
        copy.close()
        back.close()


def test_a_lost_privilege_has_a_name(books: Books, url: str) -> None:
    owner = as_owner(url)
    with owner.begin() as connection:
        connection.execute(text("REVOKE INSERT ON events FROM hub_app"))
    try:
        with pytest.raises(Unavailable) as raised:
            books.record(event=event())
        assert (raised.value.code, raised.value.who) == ("books-forbidden", "operator")
    finally:
        with owner.begin() as connection:
            connection.execute(text("GRANT INSERT ON events TO hub_app"))
        owner.dispose()
    books.record(event=event())


# Addresses ------------------------------------------------------------------------------------


def test_wrong_credentials_have_a_name(url: str) -> None:
    wrong = real.shown(make_url(url).set(password="another"))
    error = refused(wrong, patience=IMPATIENT)
    assert error.code == "books-credentials"
    assert "another" not in str(error.problem("en"))


def test_a_database_that_is_not_there_has_a_name(url: str) -> None:
    assert refused(real.shown(make_url(url).set(database="nowhere"))).code == "books-missing"


def test_the_drivers_name_need_not_be_told(url: str) -> None:
    Books.open(url.replace("postgresql+psycopg:", "postgresql:")).close()


# Several writers ------------------------------------------------------------------------------


def test_writers_take_turns_and_readers_do_not_wait(books: Books, url: str) -> None:
    impatient = Books.open(url, patience=IMPATIENT)
    with books._writer.begin():
        with pytest.raises(Unavailable) as raised:
            impatient.record(event=event())
        assert raised.value.code == "books-busy"
        assert impatient.event_count() == 1
        # A worker goes on taking jobs and keeping leases meanwhile.
        assert impatient.lease("log", "w", NOW, TTL)
        impatient.add_job("push", "p9")
        assert impatient.lease_job("w", NOW, TTL)
    impatient.record(event=event())
    impatient.close()


def test_a_job_that_one_worker_holds_is_skipped_not_waited_for(books: Books, url: str) -> None:
    books.add_job("push", "one")
    books.add_job("push", "two")
    owner = as_owner(url)
    with owner.begin() as connection:
        connection.execute(text("SELECT id FROM jobs WHERE about = 'one' FOR UPDATE"))
        taken = books.lease_job("w", NOW, TTL)
        assert taken is not None
        assert taken.about == "two"
        assert books.lease_job("w", NOW, TTL) is None
    owner.dispose()


def test_threads_take_each_job_and_each_lease_once(books: Books) -> None:
    for number in range(30):
        books.add_job("push", f"p{number}")
    taken: list[str] = []
    writers: list[str] = []

    def work(name: str) -> None:
        while (job := books.lease_job(name, NOW, TTL)) is not None:
            taken.append(job.about)
        if books.lease("log", name, NOW, TTL):
            writers.append(name)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"p{n}" for n in range(30))
    assert len(writers) == 1


def test_events_are_numbered_in_the_order_they_are_committed(books: Books, url: str) -> None:
    others = [Books.open(url) for _ in range(4)]

    def write(mine: Books, name: int) -> None:
        for number in range(15):
            mine.record(event=event(about=f"{name}-{number}"))

    seen: list[int] = []
    threads = [threading.Thread(target=write, args=(b, n)) for n, b in enumerate(others)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(len(books.pending_events(1000)))
        # What is seen is a beginning of what there will be: no number is filled in later.
        last = [e.sequence for e in books.pending_events(1000)]
        assert last == list(range(1, len(last) + 1))
    for thread in threads:
        thread.join()
    assert len(books.pending_events(1000)) == 61
    for each in others:
        each.close()


def test_a_reader_sees_one_state_and_may_stream_it(books: Books) -> None:
    rows = books.marks("organisations")
    first = next(rows)
    books.add_organisation(Organisation("orange", "O"), event=event())
    assert [first, *rows] != list(books.marks("organisations"))
    assert len(list(books.marks("organisations"))) == 2
    with pytest.raises(DBAPIError), books._engine.connect() as reading:
        reading.execute(text("DELETE FROM jobs"))


# A server that goes away ----------------------------------------------------------------------


def test_a_plug_pulled_and_put_back(books: Books, url: str) -> None:
    with Faulty(needed("postgres")["HUB_TEST_POSTGRES"]) as way:
        through = Books.open(real.shown(make_url(url).set(port=way.port)))
        through.accept_push(push("p1"), event=event())
        way.cut()
        for act in (
            lambda: through.accept_push(push("p2"), event=event()),
            through.check,
            lambda: through.lease_job("w", NOW, TTL),
            lambda: through.event_count(),
        ):
            with pytest.raises(Unavailable) as raised:
                act()
            assert (raised.value.code, raised.value.who) == ("books-unreachable", "operator")
        assert refused(real.shown(make_url(url).set(port=way.port))).code == "books-unreachable"
        way.mend()
        through.accept_push(push("p2"), event=event())
        assert {p.id for p in books.pushes()} == {"p1", "p2"}
        through.close()


def test_a_plug_pulled_inside_a_transaction_leaves_nothing(books: Books, url: str) -> None:
    with Faulty(needed("postgres")["HUB_TEST_POSTGRES"]) as way:
        cutting = iter([False, True])

        def randomness(size: int) -> bytes:
            if next(cutting, False):
                way.cut()
            return os.urandom(size)

        through = Books.open(real.shown(make_url(url).set(port=way.port)), randomness=randomness)
        through.record(event=event())
        with pytest.raises(HubError) as raised:
            through.accept_push(push("p1"), event=event())
        assert raised.value.code == "books-unreachable"
        assert books.event_count() == 2
        assert books.pushes() == []
        through.close()


def test_a_server_that_ends_the_session_is_come_back_to(books: Books, url: str) -> None:
    owner = as_owner(url)
    assert books.event_count() == 1
    with owner.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'hub_app' AND datname = current_database()"
            )
        )
    owner.dispose()
    assert books.event_count() == 1

from __future__ import annotations

import os
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql
from sqlalchemy.engine import Engine

from hub.errors import HubError, Unavailable
from hub.storage.books import Books
from hub.storage.books.faults import FAULTS, SAME_AS
from tests.storage.books.made import NOW, PURPOSE, digest, event, grant, push

IMPATIENT = timedelta(milliseconds=50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.sqlite"


def test_each_who_queues_up_for_a_write_that_never_ends_is_told(url: str, path: Path) -> None:
    waiting = [Books.open(url, patience=timedelta(seconds=1)) for _ in range(4)]
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as threads:
        told = [threads.submit(books.record, event=event()).exception for books in waiting]
        assert [getattr(error(), "code", None) for error in told] == ["books-busy"] * 4
    other.execute("ROLLBACK")
    other.close()
    for books in waiting:
        books.record(event=event())
        books.close()


def test_books_busy_with_another_write_say_so(books: Books, url: str, path: Path) -> None:
    impatient = Books.open(url, patience=IMPATIENT)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as refused:
        impatient.record(event=event())
    assert refused.value.code == "books-busy"
    assert impatient.event_count() == 1  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    impatient.record(event=event())
    impatient.close()


@contextmanager
def on_every_connection(pragma: str) -> Iterator[None]:
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(pragma).close()

    sql.listen(Engine, "connect", configure)
    try:
        yield
    finally:
        sql.remove(Engine, "connect", configure)


def test_a_full_disk_is_the_operators_and_nothing_is_half_written(books: Books, url: str) -> None:
    with on_every_connection("PRAGMA max_page_count = 10"):
        full = Books.open(url)
        with pytest.raises(Unavailable) as refused:
            full.give([grant(f"g{n}", f"person {n}") for n in range(5000)], event=event())
        assert refused.value.code == "books-full"
        assert refused.value.who == "operator"
        full.close()
    assert not books.standing("coachco2", PURPOSE, NOW).granted
    assert books.event_count() == 1


def test_read_only_books_can_be_read_and_refuse_a_write(books: Books, path: Path) -> None:
    readonly = Books.open(f"sqlite:///file:{path}?mode=ro&uri=true")
    readonly.check()
    assert readonly.organisations() == books.organisations()
    with pytest.raises(Unavailable) as refused:
        readonly.record(event=event())
    assert refused.value.code == "books-readonly"
    readonly.close()


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "b.sqlite").write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(Unavailable) as refused:
        Books.open(f"sqlite:///{tmp_path / 'b.sqlite'}")
    assert refused.value.code == "books-damaged"


def test_a_damaged_page_is_called_damaged(books: Books, url: str, path: Path) -> None:
    books.give([grant(f"g{n}", f"person {n}") for n in range(500)], event=event())
    assert books.compact()
    books.close()
    content = bytearray(path.read_bytes())
    for page in range(5 * 4096, len(content) - 4096, 4096):
        content[page : page + 64] = os.urandom(64)
    path.write_bytes(content)

    def use() -> None:
        damaged = Books.open(url)
        try:
            damaged.standing("coachco2", PURPOSE, NOW)
        finally:
            damaged.close()

    with pytest.raises(Unavailable) as refused:
        use()
    assert refused.value.code == "books-damaged"


def test_books_deleted_under_a_running_hub_are_noticed(books: Books, url: str, path: Path) -> None:
    books.close()
    for file in path.parent.glob("books.sqlite*"):
        file.unlink()
    with pytest.raises(Unavailable) as refused:
        books.check()
    assert refused.value.code == "books-damaged"
    with pytest.raises(Unavailable):
        books.record(event=event())


def test_a_home_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        Books.open(f"sqlite:///{tmp_path / 'none' / 'books.sqlite'}")
    assert refused.value.code == "books-unreachable"


def test_a_home_that_went_away_is_unreachable(books: Books, path: Path) -> None:
    books.close()
    shutil.rmtree(path.parent)
    with pytest.raises(Unavailable) as refused:
        books.check()
    assert refused.value.code == "books-unreachable"


WRONG: list[Callable[[Books], Any]] = [
    lambda b: b.accept_push(push(accepted_at=datetime(2026, 3, 2)), event=event()),  # noqa: DTZ001
    lambda b: b.give([grant("g", "ada", population=None)], event=event()),
    lambda b: b.accept_push(push(file_bytes=object()), event=event()),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_record_the_books_cannot_hold_is_our_fault_and_never_raw(
    books: Books, wrong: Callable[[Books], Any]
) -> None:
    before = books.event_count()
    with pytest.raises(HubError) as refused:
        wrong(books)
    assert refused.value.code == "books-fault"
    assert refused.value.who == "developer"
    assert books.event_count() == before


def test_no_error_carries_what_was_being_written(books: Books, tmp_path: Path) -> None:
    canary = "canary-0042"
    books.give([grant(canary, "ada")], event=event())
    with pytest.raises(HubError) as refused:
        books.give([grant(canary, "ada")], event=event())
    told = "".join(traceback.format_exception(refused.value))
    assert "UNIQUE" in told  # the cause is there for the operator, the values are not
    assert canary not in told
    assert repr(digest("ada")) not in told


def test_every_fault_has_a_code_of_its_own_and_two_languages() -> None:
    assert len({code for code, _, _ in FAULTS.values()}) == len(FAULTS)
    assert all(fr and en and fr != en for _, fr, en in FAULTS.values())
    assert set(SAME_AS.values()) <= set(FAULTS)

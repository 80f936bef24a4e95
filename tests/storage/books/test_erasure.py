from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hub.events import Kind
from hub.storage.books import Books
from tests.storage.books.made import digest, event, grant, push, row, stored, withdrawal


def files_with(folder: Path, needles: Sequence[bytes]) -> set[str]:
    """Names of files that hold any of the needles, raw or in hex."""
    forms = [form for needle in needles for form in (needle, needle.hex().encode())]
    return {
        path.name for path in folder.iterdir() if any(form in path.read_bytes() for form in forms)
    }


def test_after_completion_and_compaction_no_file_of_the_books_holds_the_digest(
    books: Books, tmp_path: Path
) -> None:
    # Random order splits pages again and again: that is where SQLite leaves copies behind.
    people = [f"person {n}" for n in range(3000)]
    random.Random(7).shuffle(people)
    for start in range(0, len(people), 500):
        books.give(
            [grant(f"g-{name}", name) for name in people[start : start + 500]], event=event()
        )
    books.accept_push(push(), event=event())
    gone = people[::75]
    books.finish_push(
        stored(), [row(n, name) for n, name in enumerate(gone)], event=event(Kind.PUSH_STORED)
    )
    needles = [digest(name) for name in gone]
    assert files_with(tmp_path, needles)

    for n, name in enumerate(gone):
        made = withdrawal(f"w{n}", name)
        books.withdraw(made, event=event(Kind.CONSENT_WITHDRAWN))
        books.drop_set_aside(subjects=[digest(name)], event=event(Kind.QUARANTINE_DROPPED))
        marked = replace(made, subject=digest(f"mark {n}"))
        books.complete_withdrawals([marked], event=event(Kind.WITHDRAWAL_COMPLETED))
    assert files_with(tmp_path, needles)  # deleted is not gone: this is what compact is for

    assert books.compact()
    assert files_with(tmp_path, needles) == set()
    assert files_with(tmp_path, [digest(people[1])])


def test_compaction_rebuilds_the_file(books: Books, tmp_path: Path) -> None:
    # Not only the log is emptied. Where rows of mixed size split pages, SQLite overwrites the cell
    # it deletes and not the copy the split left behind; only a rebuilt file is free of both.
    books.accept_push(push(), event=event())
    books.finish_push(stored(), [row(n, sealed=bytes(3000)) for n in range(200)], event=event())
    assert books.compact()
    before = (tmp_path / "books.sqlite").stat().st_size
    books.drop_set_aside(push="p1", event=event())
    assert books.compact()
    assert (tmp_path / "books.sqlite").stat().st_size < before - 200 * 3000
    assert (tmp_path / "books.sqlite-wal").stat().st_size == 0


def test_compaction_says_when_a_reader_keeps_the_old_pages_alive(
    books: Books, tmp_path: Path
) -> None:
    books.give([grant("g1", "ada")], event=event())
    with books._engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM grants").scalar()
        made = withdrawal("w1", "ada")
        books.withdraw(made, event=event())
        books.complete_withdrawals([replace(made, subject=digest("mark"))], event=event())
        patient = Books.open(f"sqlite:///{tmp_path / 'books.sqlite'}")
        patient.close()
        assert files_with(tmp_path, [digest("ada")])
    assert books.compact()
    assert files_with(tmp_path, [digest("ada")]) == set()

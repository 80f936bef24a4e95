from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from sqlalchemy import text

from hub.errors import Conflict
from hub.events import Kind
from hub.storage.books import Books
from tests.storage.books.made import event


def record(books: Books, count: int) -> list[int]:
    before = books.event_count()
    for n in range(count):
        books.record(event=event(Kind.RELEASE_READ, f"r{n}", n=n))
    return [e.sequence for e in books.events(limit=1000)][before:]


def test_an_event_is_kept_as_its_canonical_bytes_with_its_own_salt(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    books = Books.open(
        f"sqlite:///{tmp_path / 'b.sqlite'}", randomness=lambda n: bytes([next(numbers)]) * n
    )
    made = event(Kind.RELEASE_READ, "r1", reader="x", n=3)
    books.record(event=made)
    books.record(event=made)
    first, second = books.events()
    assert first.body == second.body == made.canonical()
    assert (first.salt, second.salt) == (b"\x01" * 32, b"\x02" * 32)
    assert first.index is None
    assert second.sequence > first.sequence
    books.close()


def test_salts_are_random_by_default(books: Books) -> None:
    record(books, 20)
    salts = {e.salt for e in books.events()}
    assert len(salts) == 21
    assert {len(salt) for salt in salts} == {32}


def test_events_are_paged_and_filtered(books: Books) -> None:
    sequences = record(books, 5)
    assert [e.sequence for e in books.events(kind=Kind.RELEASE_READ)] == sequences
    assert [e.sequence for e in books.events(about="r3")] == [sequences[3]]
    assert [e.sequence for e in books.events(after=sequences[1], limit=2)] == sequences[2:4]
    assert books.events(kind="no.such") == []
    assert books.event_count() == 6


def test_the_outbox_hands_out_what_is_not_placed_in_order(books: Books) -> None:
    sequences = record(books, 4)
    everything = [e.sequence for e in books.pending_events(100)]
    assert everything[-4:] == sequences
    assert [e.sequence for e in books.pending_events(2)] == everything[:2]
    books.place_events([(s, n) for n, s in enumerate(everything[:3])])
    assert [e.sequence for e in books.pending_events(100)] == everything[3:]
    third = books.event_at(2)
    assert third is not None
    assert (third.sequence, third.index) == (everything[2], 2)
    assert books.event_at(3) is None


def test_placing_again_is_fine_and_placing_elsewhere_a_conflict(books: Books) -> None:
    a, b, c = record(books, 3)
    books.place_events([])
    books.place_events([(a, 0), (b, 1)])
    books.place_events([(a, 0), (b, 1)])
    for wrong in ([(c, 2), (a, 5)], [(c, 1)], [(c, 2), (10_000, 3)]):
        with pytest.raises(Conflict):
            books.place_events(wrong)
        assert [e.index for e in books.events(kind=Kind.RELEASE_READ)] == [0, 1, None]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "UPDATE events SET kind = 'push.stored'",
        "DELETE FROM event_bodies",
        "UPDATE event_bodies SET body = x'00'",
        "DELETE FROM event_places",
        "UPDATE event_places SET log_index = log_index + 100",
        "DELETE FROM event_topics",
        "UPDATE event_topics SET topic = 'x'",
        # What an event says comes with it, not later.
        "INSERT INTO event_bodies SELECT sequence, x'00', x'00' FROM events LIMIT 1",
        "INSERT INTO event_topics SELECT 'x', sequence FROM events LIMIT 1",
    ],
)
def test_the_database_itself_keeps_events_append_only(books: Books, statement: str) -> None:
    sequence, _ = record(books, 2)
    books.place_events([(sequence, 0)])
    before = books.events()
    with pytest.raises(Exception, match="append-only"), books._engine.begin() as raw:
        raw.execute(text(statement))
    assert books.events() == before

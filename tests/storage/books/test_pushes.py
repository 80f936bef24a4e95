from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hub.errors import Conflict, NotFound
from hub.events import Kind
from hub.records import PushState
from hub.storage.books import Books
from tests.storage.books.made import HOUR, NOW, digest, event, push, row, stored, with_partner


def accept(books: Books, name: str = "p1", **changes: Any) -> None:
    books.accept_push(push(name, **changes), event=event(about=name))


def test_an_accepted_push_is_read_back_whole_with_its_job_and_event(books: Books) -> None:
    made = push(idempotency_key="k", file_bytes=7_000_000_000)
    assert books.accept_push(made, event=event(about="p1")) == (made, True)
    assert books.push("p1") == made
    assert books.push("p2") is None
    assert books.pending_pushes() == [made]
    job = books.lease_job("w", NOW, HOUR)
    assert job is not None
    assert (job.kind, job.about) == ("push", "p1")
    assert len(books.events(kind=Kind.PUSH_ACCEPTED, about="p1")) == 1


def test_the_same_key_and_bytes_answer_the_first_push_and_leave_no_trace(books: Books) -> None:
    accept(books, "p1", idempotency_key="k")
    before = books.event_count()
    again, new = books.accept_push(push("p2", idempotency_key="k"), event=event(about="p2"))
    assert (again.id, new) == ("p1", False)
    assert books.push("p2") is None
    assert books.event_count() == before
    assert books.lease_job("w", NOW, HOUR) is not None
    assert books.lease_job("w", NOW, HOUR) is None


def test_the_same_key_with_other_bytes_is_a_conflict(books: Books) -> None:
    accept(books, "p1", idempotency_key="k")
    with pytest.raises(Conflict) as refused:
        accept(books, "p2", content="another file", idempotency_key="k")
    assert refused.value.code == "idempotency-key-reused"
    assert refused.value.who == "partner"
    assert books.push("p2") is None


def test_a_key_belongs_to_one_dataset_of_one_partner(books: Books) -> None:
    accept(books, "p1", idempotency_key="k")
    accept(books, "p2", idempotency_key="k", dataset="measures", content="another file")
    accept(books, "p3")
    accept(books, "p4")
    assert {p.id for p in books.pushes()} == {"p1", "p2", "p3", "p4"}


def test_a_push_of_an_unknown_partner_or_with_a_taken_id_is_a_conflict(books: Books) -> None:
    with pytest.raises(Conflict, match="refers to"):
        accept(books, "p1", partner="nobody")
    accept(books, "p1")
    with pytest.raises(Conflict, match="already"):
        accept(books, "p1")


def test_finishing_records_everything_at_once(books: Books) -> None:
    accept(books)
    rows = [row(2, "ada"), row(9)]
    done = books.finish_push(stored(), rows, event=event(Kind.PUSH_STORED, "p1"))
    assert done == stored()
    assert books.push("p1") == stored()
    assert books.set_aside(push="p1") == rows
    assert books.pending_pushes() == []
    assert books.lease_job("w", NOW, HOUR) is None


def test_a_refused_push_keeps_its_problem(books: Books) -> None:
    accept(books)
    refused = push(state=PushState.REFUSED, problem={"code": "malformed", "where": "line 3"})
    books.finish_push(refused, [], event=event(Kind.PUSH_REFUSED, "p1"))
    found = books.push("p1")
    assert found is not None
    assert found.problem == {"code": "malformed", "where": "line 3"}
    assert found.finished_at == NOW


@pytest.mark.parametrize("state", list(PushState))
def test_a_finished_push_cannot_be_finished_again(books: Books, state: PushState) -> None:
    accept(books)
    books.finish_push(stored(), [], event=event(about="p1"))
    before = books.event_count()
    with pytest.raises(Conflict, match="processed already"):
        books.finish_push(stored(state=state, kept=99), [row(1)], event=event(about="p1"))
    assert books.push("p1") == stored()
    assert books.set_aside() == []
    assert books.event_count() == before


def test_finishing_to_accepted_or_an_unknown_push_is_refused(books: Books) -> None:
    accept(books)
    with pytest.raises(Conflict):
        books.finish_push(stored(state=PushState.ACCEPTED), [], event=event(about="p1"))
    with pytest.raises(NotFound):
        books.finish_push(stored("p2"), [], event=event(about="p2"))


def test_what_was_acknowledged_cannot_be_rewritten_by_finishing(books: Books) -> None:
    accept(books, idempotency_key="k")
    forged = stored(
        partner="orange", dataset="x", file_sha256="0", file_bytes=0, accepted_at=NOW + HOUR
    )
    books.finish_push(forged, [], event=event(about="p1"))
    assert books.push("p1") == stored(idempotency_key="k")


def test_the_place_in_the_log_is_that_of_the_finishing_event(books: Books) -> None:
    accept(books)
    books.finish_push(stored(), [], event=event(Kind.PUSH_STORED, "p1"))
    [accepting] = books.events(kind=Kind.PUSH_ACCEPTED)
    [finishing] = books.events(kind=Kind.PUSH_STORED)
    books.place_events([(accepting.sequence, 40)])
    assert books.push("p1") == stored()
    books.place_events([(finishing.sequence, 41)])
    assert books.push("p1") == replace(stored(), log_index=41)
    assert books.pushes()[0].log_index == 41


def test_pushes_are_listed_newest_first_by_partner_and_up_to_a_limit(books: Books) -> None:
    for n in range(4):
        accept(books, f"p{n}", accepted_at=NOW + n * HOUR)
    assert [p.id for p in books.pushes(limit=3)] == ["p3", "p2", "p1"]
    assert [p.id for p in books.pending_pushes()] == ["p0", "p1", "p2", "p3"]
    assert books.pushes(partner="orange") == []


def test_rows_set_aside_are_dropped_by_push_person_or_day(books: Books) -> None:
    accept(books, "p1")
    accept(books, "p2")
    later = NOW.date() + timedelta(days=1)
    first = [row(1, "ada"), row(2, "bob"), row(3, until=later)]
    second = [row(1, "ada", push="p2", until=later), row(2, push="p2", until=None)]
    books.finish_push(stored("p1"), first, event=event())
    books.finish_push(stored("p2"), second, event=event())
    drop = event(Kind.QUARANTINE_DROPPED, "w1", because="withdrawal")

    assert books.drop_set_aside(before=NOW.date(), event=drop) == 0
    assert books.drop_set_aside(subjects=[digest("ada")], push="p2", event=drop) == 1
    assert books.drop_set_aside(before=NOW + timedelta(days=1), event=drop) == 2
    assert [r.position for r in books.set_aside()] == [3, 2]
    assert books.drop_set_aside(push="p2", event=drop) == 1
    assert books.set_aside(partner="coachco2") == [row(3, until=later)]
    assert books.set_aside(partner="orange") == []

    bodies = [logged.body for logged in books.events(kind=Kind.QUARANTINE_DROPPED)]
    assert [b'"rows":1' in body for body in bodies] == [True, False, True]
    assert len(bodies) == 3  # nothing dropped, nothing happened, no event


def test_dropping_without_a_condition_is_a_mistake(books: Books) -> None:
    with pytest.raises(TypeError):
        books.drop_set_aside(event=event())


def test_a_row_set_aside_always_belongs_to_the_push_that_is_finished(url: str) -> None:
    books = with_partner(Books.open(url))
    accept(books, "p1")
    books.finish_push(stored("p1"), [row(1, push="someone else's")], event=event())
    assert [r.push for r in books.set_aside()] == ["p1"]
    books.close()

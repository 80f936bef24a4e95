from datetime import UTC, datetime, timedelta

from hub.events import AuditEvent, Kind
from hub.identity.refusals import MOST, WINDOW, Refusals

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Recorded:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, *, event: AuditEvent) -> None:
        self.events.append(event)


def refusal(at: datetime, name: str = "x") -> AuditEvent:
    return AuditEvent(Kind.ACCESS_DENIED, "transdev", name, at, {"actor": "c1"})


def test_the_first_are_recorded_and_the_rest_is_one_count() -> None:
    books, refusals = Recorded(), Refusals()
    names = [
        refusals.note(books, refusal(NOW + timedelta(milliseconds=n)), "c1", f"q{n}", f"d{n}")
        for n in range(1000)
    ]
    assert names == [f"d{n}" for n in range(MOST)] + [None] * (1000 - MOST)
    assert len(books.events) == MOST
    assert books.events[-1].facts["next"] == "counted"
    assert "next" not in books.events[-2].facts
    refusals.tell(books, NOW + WINDOW - timedelta(seconds=1))
    assert len(books.events) == MOST
    refusals.tell(books, NOW + WINDOW)
    refusals.tell(books, NOW + WINDOW)
    [count] = books.events[MOST:]
    assert (count.kind, count.actor, count.at) == (Kind.ACCESS_DENIED, "transdev", NOW + WINDOW)
    assert count.facts == {"actor": "c1", "repeated": 1000 - MOST, "since": NOW.isoformat()}
    assert refusals.note(books, refusal(NOW + WINDOW), "c1", "q", "next") == "next"


def test_the_same_question_again_is_the_same_refusal() -> None:
    books, refusals = Recorded(), Refusals()
    assert [refusals.note(books, refusal(NOW), "c1", "q", f"d{n}") for n in range(3)] == ["d0"] * 3
    assert len(books.events) == 1
    refusals.tell(books, NOW + WINDOW)
    assert books.events[1].facts["repeated"] == 2


def test_one_asker_leaves_room_for_others() -> None:
    books, refusals = Recorded(), Refusals()
    for _ in range(100):
        refusals.note(books, refusal(NOW), "c1")
    assert refusals.note(books, refusal(NOW), "c2", name="d") == "d"
    assert len(books.events) == MOST + 1


def test_a_clock_that_goes_back_ends_the_count() -> None:
    books, refusals = Recorded(), Refusals()
    for _ in range(MOST + 5):
        refusals.note(books, refusal(NOW), "c1")
    refusals.note(books, refusal(NOW - timedelta(hours=1)), "c1")
    assert books.events[MOST].facts["repeated"] == 5
    assert len(books.events) == MOST + 2


def test_nothing_counted_leaves_no_count() -> None:
    books, refusals = Recorded(), Refusals()
    refusals.note(books, refusal(NOW), "c1")
    refusals.tell(books, NOW + WINDOW * 5)
    assert len(books.events) == 1

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import event as sql

from consent.gate import Standing
from hub.events import AuditEvent, Kind
from hub.records import Withdrawal
from hub.storage.books import ASKED_AGAIN, EXPIRED, GIVEN, OBJECTED, Books, standing
from hub.storage.books.standing import Standings
from tests.storage.books.machine import SETTINGS, OverBooks
from tests.storage.books.made import (
    HOUR,
    NOW,
    PURPOSE,
    digest,
    event,
    grant,
    organisation,
    with_partner,
    withdrawal,
)

GIVE: Final = event(Kind.CONSENT_GIVEN)
END: Final = event(Kind.CONSENT_WITHDRAWN)
DONE: Final = event(Kind.WITHDRAWAL_COMPLETED)
PEOPLE: Final = ("ada", "bob", "eve", "max")
TIMES: Final = st.integers(-3, 6).map(lambda hours: NOW + hours * HOUR)

Sides = tuple[dict[bytes, str], set[bytes]]


def sides(told: Standing) -> Sides:
    """Who granted, in which population, and who is against: each once."""
    granted, against = told.granted.to_pylist(), told.objected.to_pylist()
    assert len({*granted, *against}) == len(granted) + len(against)
    return dict(zip(granted, told.population.to_pylist(), strict=True)), set(against)


def asked(books: Books, now: datetime = NOW, anew: Standings | None = None) -> Sides:
    """What is told by who remembers nothing, or by who is named."""
    with books._read() as connection:
        return sides((anew or Standings()).ask(connection, "coachco2", PURPOSE, now))


@contextmanager
def statements(books: Books) -> Iterator[list[str]]:
    """The statements about grants that are executed meanwhile."""
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "grants" in statement:
            said.append(statement)

    sql.listen(books._engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        sql.remove(books._engine, "before_cursor_execute", hear)


def about_everyone(said: list[str]) -> bool:
    return any("grants.subject >= " in statement for statement in said)


def test_nobody_is_asked_about_again_where_nothing_changed(books: Books) -> None:
    books.give([grant("g1", "ada")], event=GIVE)
    with statements(books) as first:
        told = books.standing("coachco2", PURPOSE, NOW)
    assert about_everyone(first)
    with statements(books) as second:
        assert books.standing("coachco2", PURPOSE, NOW + HOUR) is told
    assert len(second) == 1


def test_what_others_say_elsewhere_changes_nothing(books: Books) -> None:
    books.add_organisation(organisation("orange"), event=event(Kind.PARTNER_ADDED))
    books.give([grant("g1", "ada")], event=GIVE)
    told = books.standing("coachco2", PURPOSE, NOW)
    books.give([grant("g2", "bob", partner="orange")], event=GIVE)
    books.give([grant("g3", "bob", purpose="linking")], event=GIVE)
    with statements(books) as said:
        assert books.standing("coachco2", PURPOSE, NOW) is told
    assert not about_everyone(said)


@pytest.mark.parametrize("many", [0, 10_000])
def test_only_those_are_asked_about_of_whom_something_was_written(
    books: Books, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(standing, "_MANY", many)
    books.give([grant(f"g-{who}", who) for who in PEOPLE], event=GIVE)
    books.standing("coachco2", PURPOSE, NOW)
    books.withdraw(withdrawal("w1", "ada"), event=END)
    books.turn("g-bob", ASKED_AGAIN, event=event(Kind.CONSENT_ASKED_AGAIN))
    books.give([grant("g5", "new", population="staff")], event=GIVE)
    with statements(books) as said:
        told = sides(books.standing("coachco2", PURPOSE, NOW))
    assert about_everyone(said) == (many == 0)
    assert told == (
        {digest("eve"): "pupil", digest("max"): "pupil", digest("new"): "staff"},
        {digest("ada")},
    )


def test_a_digest_that_gave_way_to_a_mark_is_told_no_longer(books: Books) -> None:
    made = withdrawal("w1", "ada")
    books.withdraw(made, event=END)
    assert sides(books.standing("coachco2", PURPOSE, NOW)) == ({}, {digest("ada")})
    books.complete_withdrawals([replace(made, subject=b"a mark")], event=DONE)
    assert sides(books.standing("coachco2", PURPOSE, NOW)) == ({}, set())


def test_each_moment_at_which_a_grant_begins_or_ends_is_kept_to(books: Books) -> None:
    books.give([grant("g1", "ada", NOW + HOUR, expires_at=NOW + 3 * HOUR)], event=GIVE)
    ada = {digest("ada"): "pupil"}
    for hours, granted in ((0, {}), (1, ada), (2, ada), (3, {}), (2, ada), (0, {}), (1, ada)):
        assert sides(books.standing("coachco2", PURPOSE, NOW + hours * HOUR)) == (granted, set())


def test_other_books_are_asked_about_everyone(books: Books, tmp_path: Path) -> None:
    """Books put back to an earlier day go on from there with events of the same numbers."""
    others = with_partner(Books.open(f"sqlite:///{tmp_path / 'others.sqlite'}"))
    remembers = Standings()
    for some, who, at in ((books, "ada", NOW), (others, "bob", NOW + HOUR)):
        said = AuditEvent(Kind.CONSENT_GIVEN, "coachco2", "x", at)
        some.give([grant("g1", who)], event=said)
        some.give([grant("g2", "eve")], event=said)
    assert asked(books, NOW, remembers)[0].keys() == {digest("ada"), digest("eve")}
    others.give([grant("g3", "max")], event=GIVE)
    assert asked(others, NOW, remembers) == asked(others)
    assert asked(books, NOW, remembers) == asked(books)
    others.close()


def test_what_changed_is_asked_about_before_anyone_waits_for_it(books: Books) -> None:
    books.standing("coachco2", PURPOSE, NOW)
    books.give([grant("g1", "ada", expires_at=NOW + HOUR)], event=GIVE)
    books.keep_up(NOW)
    with statements(books) as said:
        assert sides(books.standing("coachco2", PURPOSE, NOW)) == ({digest("ada"): "pupil"}, set())
    assert len(said) == 1
    books.keep_up(NOW + HOUR)
    with statements(books) as said:
        assert sides(books.standing("coachco2", PURPOSE, NOW + HOUR)) == ({}, set())
    assert len(said) == 1


class AnyOrder(OverBooks):
    """What is remembered is what is told by who remembers nothing, whatever happens."""

    @initialize()
    def begin(self) -> None:
        self.open()
        self.given: list[str] = []
        self.waiting: list[Withdrawal] = []

    @rule(hours=st.integers(-2, 3))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(
        who=st.lists(st.sampled_from(PEOPLE), max_size=3),
        at=TIMES,
        lasts=st.none() | st.integers(1, 6),
        purpose=st.sampled_from([PURPOSE, PURPOSE, "linking"]),
    )
    def give(self, who: list[str], at: datetime, lasts: int | None, purpose: str) -> None:
        until = None if lasts is None else at + lasts * HOUR
        made = [
            grant(self.name(), one, at, expires_at=until, population=f"p{at.hour}", purpose=purpose)
            for one in who
        ]
        self.books.give(made, event=GIVE)
        self.given += [one.id for one in made]

    @rule(who=st.sampled_from(PEOPLE), at=TIMES)
    def object(self, who: str, at: datetime) -> None:
        made = grant(self.name(), who, at, state=OBJECTED, expires_at=None)
        self.books.give([made], event=GIVE)

    @rule(who=st.sampled_from(PEOPLE), at=TIMES)
    def withdraw(self, who: str, at: datetime) -> None:
        self.waiting.append(self.books.withdraw(withdrawal(self.name(), who, at), event=END))

    @precondition(lambda self: self.waiting)
    @rule(marked=st.booleans())
    def complete(self, marked: bool) -> None:
        done = self.waiting.pop(0)
        mark = digest(f"mark of {done.id}")[:16] if marked else done.subject
        self.books.complete_withdrawals([replace(done, subject=mark)], event=DONE)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), state=st.sampled_from([ASKED_AGAIN, EXPIRED]))
    def turn(self, data: st.DataObject, state: str) -> None:
        found = self.books.grant(data.draw(st.sampled_from(self.given)))
        assert found is not None
        if found.state == GIVEN:
            self.books.turn(found.id, state, event=event(Kind.CONSENT_EXPIRED))

    @invariant()
    def it_is_told_the_same(self) -> None:
        if hasattr(self, "books"):
            told = sides(self.books.standing("coachco2", PURPOSE, self.now))
            assert told == asked(self.books, self.now)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = SETTINGS

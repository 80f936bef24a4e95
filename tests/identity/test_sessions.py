from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import pytest

from hub.errors import Unauthenticated
from hub.events import Kind
from hub.identity import tokens
from hub.identity.people import RequestFacts
from hub.identity.sessions import Sessions
from hub.records import Account, Role
from tests.hashing import QUICK
from tests.identity.helpers import NOW, MemoryBooks

DPO = Account("acc-1", "dpo@region.test", "region", Role.DPO, QUICK.hash("pass"))


@dataclass
class Clock:
    now = NOW

    def __call__(self):  # type: ignore[no-untyped-def]
        return self.now


@pytest.fixture
def books() -> MemoryBooks:
    books = MemoryBooks()
    books.people[DPO.login] = DPO
    return books


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(books: MemoryBooks, clock: Clock) -> Sessions:
    return Sessions(books, clock)


def test_a_login_opens_a_session_that_ends(
    people: Sessions, books: MemoryBooks, clock: Clock
) -> None:
    token = people.login(DPO.login, "pass", RequestFacts("192.0.2.1"))
    assert people.who(token) == DPO
    assert list(books.begun) == [tokens.digest(token)]
    [event] = books.recorded
    assert (event.kind, event.actor, event.about) == (Kind.USER_AUTHENTICATED, "region", "acc-1")
    people.logout(token)
    people.logout(token)
    assert people.who(token) is None
    token = people.login(DPO.login, "pass")
    clock.now += timedelta(hours=8)
    assert people.who(token) is None


def refused(people: Sessions, login: str, password: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        people.login(login, password, RequestFacts("192.0.2.1"))
    return caught.value


def test_unknown_person_and_wrong_password_get_one_same_answer(
    people: Sessions, books: MemoryBooks
) -> None:
    answers = [
        refused(people, login, password).problem(language)
        for login, password in [(DPO.login, "no"), ("ghost", "pass"), ("", ""), (DPO.login, "")]
        for language in ("fr", "en")
    ]
    assert answers[0::2] == [answers[0]] * 4
    assert answers[1::2] == [answers[1]] * 4
    about = [event.about for event in books.recorded]
    assert about[::2] == about[1::2] == ["acc-1", "unknown", "unknown", "acc-1"]
    assert {event.kind for event in books.recorded} == {Kind.USER_REFUSED}


@pytest.mark.parametrize("login", ["my password!", "\x00", "\ud800", "x" * 10_000])
def test_what_was_typed_is_in_no_event(people: Sessions, books: MemoryBooks, login: str) -> None:
    error = refused(people, login, "secret-typed")
    written = b"".join(event.canonical() for event in books.recorded).decode()
    for said in (written, str(error), str(error.words), str(error.facts), error.where):
        assert login not in said
        assert "secret-typed" not in said
        assert "192.0.2.1" not in said


def test_guessing_is_limited_for_the_guesser_alone(
    people: Sessions, books: MemoryBooks, clock: Clock
) -> None:
    for _ in range(10):
        refused(people, DPO.login, "guess")
    right = refused(people, DPO.login, "pass")
    assert right.words == refused(people, "ghost", "guess").words
    assert books.recorded[-2].facts == {"limited": True}
    assert people.login(DPO.login, "pass", RequestFacts("198.51.100.7"))
    clock.now += timedelta(minutes=15)
    assert people.login(DPO.login, "pass", RequestFacts("192.0.2.1"))


def test_a_success_forgets_the_failures(people: Sessions) -> None:
    for _ in range(3):
        for _ in range(9):
            refused(people, DPO.login, "typo")
        assert people.login(DPO.login, "pass", RequestFacts("192.0.2.1"))


def test_a_restart_forgives_nothing_and_no_address_is_kept(
    people: Sessions, books: MemoryBooks, clock: Clock
) -> None:
    for _ in range(10):
        refused(people, DPO.login, "guess")
    again = Sessions(books, clock)
    refused(again, DPO.login, "pass")
    assert again.login(DPO.login, "pass", RequestFacts("198.51.100.7"))
    plain = {tokens.digest(f"192.0.2.1\n{DPO.login}"), sha256(b"address\n192.0.2.1").digest()}
    assert books.tried
    assert not plain & set(books.tried)

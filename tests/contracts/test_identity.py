"""The contract of identity: whoever vouches for people, the pages see the same.

On memory, on the embedded local accounts, and through a real OpenID provider. How somebody shows
who they are differs; what a session is does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import pytest

from hub.errors import Denied, NotFound
from hub.events import AuditEvent, Kind
from hub.identity.openid import Openid
from hub.identity.people import MemoryPeople, People, name_of
from hub.identity.provider import MemoryProvider, Provider, Told
from hub.identity.remote import Registration, RemoteProvider
from hub.identity.sessions import Sessions
from hub.records import Account, Role
from hub.settings import DEFAULT_TERRITORY, load_territory
from hub.storage.books import Books
from tests.hashing import QUICK
from tests.identity.providers import CLIENT, SECRET, keycloak, real, signed_in

PEOPLE: Final = {"dpo": (Role.DPO, "region"), "collectivity": (Role.COLLECTIVITY, "orleans")}
KINDS: Final = frozenset({Kind.USER_AUTHENTICATED, Kind.USER_REFUSED, Kind.USER_LEFT})


class Clock:
    """The real time, and what is added to it."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Door:
    """People, how somebody of them comes in, and what was recorded of it."""

    people: People
    enter: Callable[[str], str]
    recorded: Callable[[], list[Kind]]
    clock: Clock


def of(books: Books) -> list[Kind]:
    kinds = [Kind(msgspec.json.decode(event.body)["kind"]) for event in books.events()]
    return [kind for kind in kinds if kind in KINDS]


def memory(_: Path, __: ExitStack) -> Door:
    clock = Clock()
    accounts = {
        name: (name, Account(f"a-{name}", name, organisation, role, ""))
        for name, (role, organisation) in PEOPLE.items()
    }
    people = MemoryPeople(accounts, clock)
    return Door(people, lambda name: people.login(name, name), lambda: people.recorded, clock)


def embedded(home: Path, stack: ExitStack) -> Door:
    clock = Clock()
    books = Books.open(f"sqlite:///{home / 'books.sqlite'}")
    stack.callback(books.close)
    for name, (role, organisation) in PEOPLE.items():
        account = Account(f"a-{name}", name, organisation, role, QUICK.hash(name))
        books.add_account(account, event=AuditEvent(Kind.USER_ADDED, "hub", name, clock()))
    people = Sessions(books, clock)
    return Door(people, lambda name: people.login(name, name), lambda: of(books), clock)


def vouched(home: Path, stack: ExitStack) -> Door:
    """Through the memory provider."""
    provider = MemoryProvider()

    def back(address: str, name: str) -> dict[str, str]:
        role, organisation = PEOPLE.get(name, ("nobody", ""))
        claims = {"roles": [f"hub-{role}"], "organisation": organisation}
        return provider.grant(address, Told(name, claims))

    return through(provider, back, home, stack)


def provided(home: Path, stack: ExitStack) -> Door:
    """Through a small real one."""
    running = stack.enter_context(real("http://testserver"))
    return at(running.issuer, ("openid", "profile"), home, stack)


def at_keycloak(home: Path, stack: ExitStack) -> Door:
    """Through the one a region is likely to have."""
    return at(keycloak().issuer, ("openid",), home, stack)


def at(issuer: str, scopes: tuple[str, ...], home: Path, stack: ExitStack) -> Door:
    callback = "http://testserver/login/callback"
    registration = Registration(issuer, CLIENT, SECRET, callback, "http://testserver/", scopes)

    def back(address: str, name: str) -> dict[str, str]:
        # Whoever is unknown here is somebody there, whom no rule gives a role.
        return signed_in(address, name if name in PEOPLE else "visitor", callback)

    return through(RemoteProvider(registration), back, home, stack)


def through(
    provider: Provider,
    back: Callable[[str, str], dict[str, str]],
    home: Path,
    stack: ExitStack,
) -> Door:
    clock = Clock()
    books = Books.open(f"sqlite:///{home / 'books.sqlite'}")
    stack.callback(books.close)
    terms = load_territory(DEFAULT_TERRITORY).openid
    openid = Openid(books, provider, terms, clock, key=b"k" * 32)

    def enter(name: str) -> str:
        begun = openid.begin()
        return openid.finish(begun.cookie, back(begun.address, name))

    return Door(Sessions(books, clock), enter, lambda: of(books), clock)


@pytest.fixture(
    params=[memory, embedded, vouched, provided, at_keycloak], ids=lambda made: made.__name__
)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    with ExitStack() as stack:
        yield request.param(tmp_path, stack)


def test_a_session_from_its_beginning_to_its_end(door: Door) -> None:
    people = door.people
    tokens = {name: door.enter(name) for name in PEOPLE}
    seen = {name: people.who(token) for name, token in tokens.items()}
    assert {name: (one.role, one.organisation) for name, one in seen.items() if one} == PEOPLE
    assert len({one.id for one in seen.values() if one}) == 2

    # Known again: the same person, another session.
    again = door.enter("dpo")
    assert again != tokens["dpo"]
    assert people.who(again) == seen["dpo"]
    mine = people.sessions(again)
    assert len(mine) == 2
    assert [one.expires - one.begun for one in mine] == [timedelta(hours=8)] * 2
    assert {one.account for one in mine} == {seen["dpo"].id if seen["dpo"] else ""}
    assert len(people.sessions(tokens["collectivity"])) == 1

    # Each ends what is theirs, and nothing else.
    [theirs] = people.sessions(tokens["collectivity"])
    with pytest.raises(NotFound):
        people.end(again, name_of(theirs))
    people.end(again, name_of(mine[1]))
    assert people.who(tokens["dpo"]) is None
    with pytest.raises(NotFound):
        people.end(again, name_of(mine[1]))
    third = door.enter("dpo")
    people.end_others(third)
    people.end_others(third)
    assert people.who(again) is None
    assert len(people.sessions(third)) == 1
    people.logout(third)
    people.logout(third)
    assert people.who(third) is None
    assert list(people.sessions(third)) == []

    # What nobody ended, time does.
    assert people.who(tokens["collectivity"]) is not None
    door.clock.ahead = timedelta(hours=8, seconds=1)
    assert people.who(tokens["collectivity"]) is None
    assert list(people.sessions(tokens["collectivity"])) == []
    assert door.recorded() == [
        *[Kind.USER_AUTHENTICATED] * 3,
        Kind.USER_LEFT,
        Kind.USER_AUTHENTICATED,
        *[Kind.USER_LEFT] * 2,
    ]


def test_nobody_else_comes_in_and_it_is_told(door: Door) -> None:
    with pytest.raises(Denied) as raised:  # Unauthenticated is one
        door.enter("somebody else")
    assert raised.value.words["fr"]
    assert door.recorded() == [Kind.USER_REFUSED]


@pytest.mark.parametrize("token", ["", "x", "é", "\ud800", "x" * 5000])
def test_any_other_string_is_nobody(door: Door, token: str) -> None:
    people = door.people
    assert people.who(token) is None
    assert list(people.sessions(token)) == []
    people.logout(token)
    people.end_others(token)
    with pytest.raises(NotFound):
        people.end(token, "0" * 16)
    assert door.recorded() == []

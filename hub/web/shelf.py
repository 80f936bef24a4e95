"""What the pages need from the hub, as two protocols, each with its memory version beside it.

`Shelf` hands out the latest published releases; nothing else about data is reachable from a page.
`People` says who is signed in. The real ones are composed in `hub.parts` and `hub.main`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.errors import Unauthenticated
from hub.records import Account, Release
from hub.settings import Territory


@dataclass(frozen=True, slots=True)
class Shown:
    """A published release and its rows, in the columns its measure documents."""

    release: Release
    rows: list[dict[str, Any]]


class Shelf(Protocol):
    """Where published releases stand."""

    @property
    def territory(self) -> Territory:
        """The territory the hub serves: names, departments, whether it is a demonstration."""
        ...

    def latest(self, measure: str) -> Shown | None:
        """The newest published release of a measure, None before the first.

        Called on every page view: implementations keep what they read, by release digest. Raises
        `Unavailable` where the books or the store do not answer.
        """
        ...


@dataclass(slots=True)
class MemoryShelf:
    """A shelf that holds what it is given."""

    territory: Territory
    shown: dict[str, Shown] = field(default_factory=dict)

    def latest(self, measure: str) -> Shown | None:
        """The release put under that measure."""
        return self.shown.get(measure)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a login may be told about its request, for rate limits. Never logged as it is."""

    address: str


class People(Protocol):
    """Sessions of people with accounts."""

    def login(self, login: str, password: str, facts: RequestFacts, code: str, /) -> str:
        """A new session's cookie value; `code` is a second factor's.

        Raises `HubError` with words for the person.
        """
        ...

    def logout(self, cookie: str) -> None:
        """End that session, if it is one."""
        ...

    def who(self, cookie: str) -> Account | None:
        """The account of a live session."""
        ...


@dataclass(slots=True)
class MemoryPeople:
    """Accounts and sessions in a dict; for tests, passwords are compared as they are."""

    accounts: Mapping[str, tuple[str, Account]] = field(default_factory=dict)
    sessions: dict[str, Account] = field(default_factory=dict)
    asked: list[RequestFacts] = field(default_factory=list)

    def login(self, login: str, password: str, facts: RequestFacts, _code: str = "", /) -> str:
        """A random cookie value, or `Unauthenticated`."""
        self.asked.append(facts)
        kept, account = self.accounts.get(login, ("", None))
        if account is None or not secrets.compare_digest(kept.encode(), password.encode()):
            raise Unauthenticated(
                "login-refused",
                fr="Identifiant ou mot de passe incorrect.",
                en="Wrong user name or password.",
                who="person",
            )
        cookie = secrets.token_urlsafe(32)
        self.sessions[cookie] = account
        return cookie

    def logout(self, cookie: str) -> None:
        """Forget the session."""
        self.sessions.pop(cookie, None)

    def who(self, cookie: str) -> Account | None:
        """The account, while the session lives."""
        return self.sessions.get(cookie)

"""Who is signed in, whoever vouches for them: what pages rely on, and its memory version."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from hub.errors import NotFound, Unauthenticated
from hub.events import Kind
from hub.identity import tokens
from hub.records import Account, Session

LIFETIME: Final = timedelta(hours=8)
NAME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a login may be told about its request, for rate limits. Never logged as it is."""

    address: str


class People(Protocol):
    """Sessions of people with accounts. A token is what a session's cookie holds."""

    def login(self, login: str, password: str, asking: RequestFacts | None, code: str, /) -> str:
        """A new session's token; `code` is a second factor's. Raises `Unauthenticated`."""
        ...

    def who(self, token: str, /) -> Account | None:
        """The account of a live session, None for any other string."""
        ...

    def logout(self, token: str, /) -> None:
        """End a session, if it is one."""
        ...

    def sessions(self, token: str, /) -> Sequence[Session]:
        """Every live session of the same account, the newest first; none for any other string."""
        ...

    def end(self, token: str, name: str, /) -> None:
        """End the session of that name, of the same account. Raises `NotFound`."""
        ...

    def end_others(self, token: str, /) -> None:
        """End every other session of the same account."""
        ...


def name_of(session: Session) -> str:
    """How a page names a session: by the beginning of its token's digest, which opens nothing."""
    return session.mark[:NAME_BYTES].hex()


def no_session() -> NotFound:
    """What is said where a session has ended, or is somebody else's."""
    return NotFound(
        "unknown-session",
        fr="Cette session est déjà terminée.",
        en="This session has ended already.",
        who="person",
    )


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


@dataclass(slots=True)
class MemoryPeople:
    """Accounts and sessions in dicts: the specification. Passwords are compared as they are."""

    accounts: Mapping[str, tuple[str, Account]] = field(default_factory=dict)
    clock: Callable[[], datetime] = utc_now
    begun: dict[bytes, tuple[Account, Session]] = field(default_factory=dict)
    asked: list[RequestFacts | None] = field(default_factory=list)
    recorded: list[Kind] = field(default_factory=list)

    def login(
        self,
        login: str,
        password: str,
        asking: RequestFacts | None = None,
        _code: str = "",
        /,
    ) -> str:
        """See `People`."""
        self.asked.append(asking)
        kept, account = self.accounts.get(login, ("", None))
        if account is None or not secrets.compare_digest(kept.encode(), password.encode()):
            self.recorded.append(Kind.USER_REFUSED)
            raise Unauthenticated(
                "login-refused",
                fr="Identifiant ou mot de passe incorrect.",
                en="Wrong user name or password.",
                who="person",
            )
        return self.begin(account, tokens.new())

    def begin(self, account: Account, token: str) -> str:
        """Begin a session for a token; gives it back."""
        self.recorded.append(Kind.USER_AUTHENTICATED)
        mark, now = tokens.digest(token), self.clock()
        self.begun[mark] = (account, Session(mark, account.id, now, now + LIFETIME))
        return token

    def who(self, token: str, /) -> Account | None:
        """See `People`."""
        account, session = self.begun.get(tokens.digest(token), (None, None))
        return account if session is not None and self.clock() < session.expires else None

    def logout(self, token: str, /) -> None:
        """See `People`."""
        self._end(tokens.digest(token))

    def sessions(self, token: str, /) -> Sequence[Session]:
        """See `People`."""
        mine = self.who(token)
        live = [one for who, one in self.begun.values() if mine and who.id == mine.id]
        return [one for one in reversed(live) if self.clock() < one.expires]

    def end(self, token: str, name: str, /) -> None:
        """See `People`."""
        for session in self.sessions(token):
            if name_of(session) == name:
                self._end(session.mark)
                return
        raise no_session()

    def end_others(self, token: str, /) -> None:
        """See `People`."""
        for session in self.sessions(token):
            if session.mark != tokens.digest(token):
                self._end(session.mark)

    def _end(self, mark: bytes) -> None:
        if self.begun.pop(mark, None):
            self.recorded.append(Kind.USER_LEFT)

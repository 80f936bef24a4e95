"""Sessions of people with local accounts: login, the cookie's token, logout, one's other sessions.

Unknown login and wrong password get one same answer after the same work, so that nobody learns
who has an account. What was typed as a login goes into no event and no log: people type their
passwords there. What a person does with their own account is in `hub.identity.own`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

from hub.errors import Denied, NotFound, Unauthenticated
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.identity.limits import Limits, Tries
from hub.identity.people import LIFETIME, RequestFacts, name_of, no_session
from hub.identity.refusals import Refusals
from hub.identity.totp import Factors, Kept
from hub.records import Account, Session

MAX_LOGIN: Final = 200
LOCKED: Final = "!"
"""Before the hash of an account that nobody may enter for now."""
VOUCHED: Final = "openid"
"""Instead of a hash: a provider says who it is, and no password opens the account."""


class Staying(Kept, Tries, Protocol):
    """What sessions need of the books."""

    def account(self, login: str, /) -> Account | None:
        """The account of that login, None where there is none."""
        ...

    def add_session(
        self, session_hash: bytes, account_id: str, expires_at: datetime, /, *, event: AuditEvent
    ) -> object:
        """Keep the digest of a session's token."""
        ...

    def session(self, session_hash: bytes, now: datetime, /) -> Account | None:
        """Whose session it is, None where it is unknown, ended or expired."""
        ...

    def sessions(self, now: datetime, /, *, account: str) -> Sequence[Session]:
        """Live sessions of an account, the newest first."""
        ...

    def end_session(self, session_hash: bytes, /, *, event: AuditEvent) -> object:
        """End a session. Raises `NotFound` where there is none."""
        ...

    def end_sessions(self, account_id: str, kept: bytes | None, /, *, event: AuditEvent) -> object:
        """End every session of an account but `kept`."""
        ...

    def change_password(
        self, account_id: str, password_hash: str, kept: bytes | None, /, *, event: AuditEvent
    ) -> object:
        """Keep another hash, and end every session but `kept`."""
        ...

    def record(self, *, event: AuditEvent) -> object:
        """Record an event that comes with no other change."""
        ...


class Sessions:
    """Logins over the books."""

    def __init__(
        self,
        people: Staying,
        clock: Callable[[], datetime],
        *,
        random: tokens.Random = secrets.token_bytes,
        key: bytes = b"",
        open_: bool = True,
    ) -> None:
        """`key` of the keyring opens second factors: without it nobody who has one comes in.

        `open_` False: nobody signs in with a password here. Sessions go on until they end.
        """
        self._people = people
        self._clock = clock
        self._limits = Limits(people, key)
        self._factors = Factors(people, key, random)
        self._random = random
        self._refusals = Refusals()
        self._open = open_

    def login(
        self, login: str, password: str, asking: RequestFacts | None = None, code: str = "", /
    ) -> str:
        """A new session's token, for the cookie. Raises `Unauthenticated`, always the same.

        `code` is that of the person's second factor, and goes unread where there is none.
        """
        if not self._open:
            raise Denied(
                "local-login-off",
                fr="Ici, on se connecte par le fournisseur d’identité, sans mot de passe du hub.",
                en="Here one signs in through the identity provider, with no password of the hub.",
                who="person",
            )
        now = self._clock()
        self._refusals.tell(self._people, now)
        address = asking.address if asking else ""
        here = tokens.digest(f"{address}\n{login}")
        limited = not self._limits.allow(here, address, login, now)
        account = self._people.account(login) if _plausible(login) else None
        usable = account is not None and has_password(account)
        known = passwords.verify(account.password_hash if account and usable else None, password)
        passes = self._factors.passes(account, code, now)
        if account is None or not known or limited or not passes():
            if not limited:
                self._limits.failed(here, address, login, now)
            about = account.id if account else "unknown"
            event = AuditEvent(Kind.USER_REFUSED, "unknown", about, now, {"limited": limited})
            self._refusals.note(self._people, event, about)
            raise refused()
        self._limits.succeeded(here)
        token = tokens.new(self._random)
        event = AuditEvent(
            Kind.USER_AUTHENTICATED,
            account.organisation,
            account.id,
            now,
            {"role": str(account.role)},
        )
        self._people.add_session(tokens.digest(token), account.id, now + LIFETIME, event=event)
        return token

    def who(self, token: str, /) -> Account | None:
        """See `People`."""
        return self._people.session(tokens.digest(token), self._clock())

    def logout(self, token: str, /) -> None:
        """See `People`."""
        account = self.who(token)
        if account is not None:
            self._end(account.id, tokens.digest(token))

    def sessions(self, token: str, /) -> Sequence[Session]:
        """See `People`."""
        account = self.who(token)
        return self._people.sessions(self._clock(), account=account.id) if account else ()

    def end(self, token: str, name: str, /) -> None:
        """See `People`."""
        for session in self.sessions(token):
            if name_of(session) == name:
                self._end(session.account, session.mark)
                return
        raise no_session()

    def end_others(self, token: str, /) -> None:
        """See `People`."""
        others = [one for one in self.sessions(token) if one.mark != tokens.digest(token)]
        for one in others[:1]:
            event = left(one.account, self._clock(), "person")
            self._people.end_sessions(one.account, tokens.digest(token), event=event)

    def _end(self, account_id: str, mark: bytes) -> None:
        with suppress(NotFound):  # two that ask at once have both what they asked for
            self._people.end_session(mark, event=left(account_id, self._clock(), "person"))


def has_password(account: Account) -> bool:
    """Whether a password opens an account: it is not locked, and no provider vouches for it."""
    return account.password_hash != VOUCHED and not account.password_hash.startswith(LOCKED)


def left(account_id: str, now: datetime, by: str) -> AuditEvent:
    """The event of sessions that ended before their time; `by` says through whom."""
    return AuditEvent(Kind.USER_LEFT, "person", account_id, now, {"by": by})


def refused() -> Unauthenticated:
    """The one answer to whatever is wrong with a login."""
    return Unauthenticated(
        "login-refused",
        fr="Identifiant, mot de passe ou code incorrect ; après plusieurs échecs, attendez un "
        "quart d’heure.",
        en="Wrong user name, password or code; after several failures, wait a quarter of an hour.",
        who="person",
    )


def _plausible(login: str) -> bool:
    """Whether the books need be asked: no database takes every string there is."""
    return 0 < len(login) <= MAX_LOGIN and login.isprintable()

"""Sessions of people with local accounts: login, the cookie's token, logout, and CSRF tokens.

Unknown login and wrong password get one same answer after the same work, so that nobody learns
who has an account. What was typed as a login goes into no event and no log: people type their
passwords there.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from hub.errors import Unauthenticated
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.identity.limits import Limiter, MemoryLimiter
from hub.identity.refusals import Refusals
from hub.records import Account

LIFETIME: Final = timedelta(hours=8)
MAX_LOGIN: Final = 200


class People(Protocol):
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

    def end_session(self, session_hash: bytes, /) -> object:
        """Forget a session; nothing where there is none."""
        ...

    def record(self, *, event: AuditEvent) -> object:
        """Record an event that comes with no other change."""
        ...


class Asking(Protocol):
    """What a login may be told of its request: for rate limits only, never kept or logged."""

    @property
    def address(self) -> str:
        """The network address, or ''."""
        ...


class Sessions:
    """Logins over the books."""

    def __init__(
        self,
        people: People,
        clock: Callable[[], datetime],
        *,
        limiter: Limiter | None = None,
        random: tokens.Random = secrets.token_bytes,
    ) -> None:
        self._people = people
        self._clock = clock
        self._limiter = limiter if limiter is not None else MemoryLimiter()
        self._random = random
        self._refusals = Refusals()

    def login(self, login: str, password: str, asking: Asking | None = None, /) -> str:
        """A new session's token, for the cookie. Raises `Unauthenticated`, always the same."""
        now = self._clock()
        self._refusals.tell(self._people, now)
        # By login and address together: an attacker elsewhere cannot lock a person out.
        key = tokens.digest(f"{asking.address if asking else ''}\n{login}")
        limited = not self._limiter.allows(key, now)
        account = self._people.account(login) if _plausible(login) else None
        known = passwords.verify(account.password_hash if account else None, password)
        if account is None or not known or limited:
            self._limiter.failed(key, now)
            about = account.id if account else "unknown"
            event = AuditEvent(Kind.USER_REFUSED, "unknown", about, now, {"limited": limited})
            self._refusals.note(self._people, event, about)
            raise Unauthenticated(
                "login-refused",
                fr="Identifiant ou mot de passe incorrect ; après plusieurs échecs, attendez un "
                "quart d’heure.",
                en="Wrong user name or password; after several failures, wait a quarter of an "
                "hour.",
                who="person",
            )
        self._limiter.forget(key)
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
        """The account of a live session, None for any other string."""
        return self._people.session(tokens.digest(token), self._clock())

    def logout(self, token: str, /) -> None:
        """End a session, if it is one."""
        self._people.end_session(tokens.digest(token))


def csrf(key: bytes, token: str) -> str:
    """The CSRF token of a session: HMAC of its token, so that nothing more need be kept."""
    raw = hmac.digest(key, b"csrf\n" + tokens.digest(token), "sha256")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def csrf_holds(key: bytes, token: str, presented: str) -> bool:
    """Whether a form presents the CSRF token of this session."""
    return tokens.same(csrf(key, token), presented)


def _plausible(login: str) -> bool:
    """Whether the books need be asked: no database takes every string there is."""
    return 0 < len(login) <= MAX_LOGIN and login.isprintable()

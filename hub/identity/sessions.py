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

from hub.errors import Rejected, Unauthenticated
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.identity.limits import Limiter, Limits
from hub.identity.refusals import Refusals
from hub.identity.totp import Factors, Kept
from hub.records import Account

LIFETIME: Final = timedelta(hours=8)
MAX_LOGIN: Final = 200


LOCKED: Final = "!"
"""Before the hash of an account that nobody may enter for now."""
SHORTEST: Final = 12
"""Characters of a password a person chooses (NIST SP 800-63B asks for length, no more)."""


class People(Kept, Protocol):
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

    def change_password(
        self, account_id: str, password_hash: str, kept: bytes | None, /, *, event: AuditEvent
    ) -> object:
        """Keep another hash, and end every session but `kept`."""
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
        key: bytes = b"",
    ) -> None:
        """`key` of the keyring opens second factors: without it nobody who has one comes in."""
        self._people = people
        self._clock = clock
        self._limits = Limits(limiter)
        self._factors = Factors(people, key, random)
        self._random = random
        self._refusals = Refusals()

    def login(
        self, login: str, password: str, asking: Asking | None = None, code: str = "", /
    ) -> str:
        """A new session's token, for the cookie. Raises `Unauthenticated`, always the same.

        `code` is that of the person's second factor, and goes unread where there is none.
        """
        now = self._clock()
        self._refusals.tell(self._people, now)
        address = asking.address if asking else ""
        here = tokens.digest(f"{address}\n{login}")
        limited = not self._limits.allow(here, address, login, now)
        account = self._people.account(login) if _plausible(login) else None
        usable = account is not None and not account.password_hash.startswith(LOCKED)
        known = passwords.verify(account.password_hash if account and usable else None, password)
        passes = self._factors.passes(account.id if account else "", code, now)
        if account is None or not known or limited or not passes():
            if not limited:
                self._limits.failed(here, address, login, now)
            about = account.id if account else "unknown"
            event = AuditEvent(Kind.USER_REFUSED, "unknown", about, now, {"limited": limited})
            self._refusals.note(self._people, event, about)
            raise _refused()
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

    def change_password(self, token: str, former: str, password: str, /) -> None:
        """Replace one's own password; every other session of the account ends at once.

        Raises `Unauthenticated` without a session or with a wrong former password, as a login
        does and limited like one; `Rejected` for a password that is too short.
        """
        now = self._clock()
        account = self.who(token)
        key = tokens.digest(f"password\n{account.id if account else ''}")
        limited = not self._limits.allow(key, "", "", now)
        known = passwords.verify(account.password_hash if account else None, former)
        if account is None or not known or limited:
            if not limited:
                self._limits.failed(key, "", "", now)
            raise _refused()
        if len(password) < SHORTEST:
            raise Rejected(
                "password-short",
                fr=f"Un mot de passe a au moins {SHORTEST} caractères.",
                en=f"A password has at least {SHORTEST} characters.",
                who="person",
            )
        facts = {"change": "password"}
        self._people.change_password(
            account.id,
            passwords.hash(password),
            tokens.digest(token),
            event=AuditEvent(Kind.USER_CHANGED, account.organisation, account.id, now, facts),
        )

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


def _refused() -> Unauthenticated:
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

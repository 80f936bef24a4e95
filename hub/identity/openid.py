"""Logging in with a provider of identities: from its word to a session of the hub.

1. `begin`: a random value goes into a cookie of this browser; state, nonce and PKCE verifier are
   made from it under a key of the hub, so that nothing need be kept, and none is of use alone.
2. `finish` refuses before it asks anybody: a cookie that is old or not this state's, a state that
   was used. Then the provider vouches (`hub.identity.provider`).
3. The rules of the territory file say which role and organisation that is: the first that fits.
   Where none does, nobody comes in, and whatever sessions that person had end.
4. The session begins as one of a local account does. Of the person the books keep a keyed digest
   of issuer and subject, the role and the organisation: no name, no address, no claim.

Every login, refusal and end is an event. No event, log line or answer repeats a claim or a token.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.errors import Denied, HubError, NotFound, Unavailable
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.identity.people import LIFETIME
from hub.identity.provider import Provider, Told, refused
from hub.identity.refusals import Refusals
from hub.identity.sessions import LOCKED, VOUCHED, left
from hub.records import Account, Role, Session, Vouched
from hub.settings import OpenidTerms

CALLBACK: Final = "/login/callback"
"""Where the provider sends people back to, below the hub's own address."""
PATIENCE: Final = timedelta(minutes=10)
"""From `begin` to `finish`: for as long somebody may look for their second factor."""
ID_BYTES: Final = 16
LONGEST: Final = 100
_NONCE: Final = 12


class Entering(Protocol):
    """What logins need of the books."""

    def account(self, login: str, /) -> Account | None:
        """The account of that login, None where there is none."""
        ...

    def enter(
        self, account: Account, session: Session, vouched: Vouched, /, *, event: AuditEvent
    ) -> object:
        """Make or renew the account, and begin the session."""
        ...

    def vouched(self, session_hash: bytes, /) -> Vouched | None:
        """What the provider said of a session."""
        ...

    def sessions(
        self, now: datetime, /, *, account: str | None = None, sid: bytes | None = None
    ) -> Sequence[Session]:
        """Live sessions of an account, or of a session at the provider."""
        ...

    def end_session(self, session_hash: bytes, /, *, event: AuditEvent) -> object:
        """End a session. Raises `NotFound` where there is none."""
        ...

    def use_assertion(self, jti: str, client_id: str, expires_at: datetime, /) -> bool:
        """Use an id up until it expires; False where it was used."""
        ...

    def record(self, *, event: AuditEvent) -> object:
        """Record an event that comes with no other change."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A login begun: where the browser goes, and what its cookie holds meanwhile."""

    address: str
    cookie: str


class Openid:
    """Logins over the books by a provider's word. Safe to share between threads."""

    def __init__(
        self,
        books: Entering,
        provider: Provider,
        terms: OpenidTerms,
        clock: Callable[[], datetime],
        *,
        key: bytes,
        random: tokens.Random = secrets.token_bytes,
    ) -> None:
        """`key`: 32 bytes of the keyring. Another key knows nobody again."""
        self._books = books
        self._provider = provider
        self._terms = terms
        self._clock = clock
        self._key = HKDF(SHA256(), 32, None, b"hub openid").derive(key)
        self._random = random
        self._refusals = Refusals()

    @property
    def name(self) -> str:
        """What people call the provider."""
        return self._terms.name or urlsplit(self._provider.issuer).hostname or ""

    def begin(self) -> Begun:
        """Send a browser to the provider. Raises `Unavailable` where that does not answer."""
        cookie = f"{int(self._clock().timestamp())}.{tokens.new(self._random)}"
        made = (self._made(what, cookie) for what in ("state", "nonce", "verifier"))
        return Begun(self._provider.address(*made), cookie)

    def finish(self, cookie: str, answer: Mapping[str, str]) -> str:
        """A new session's token for whom the provider vouches for.

        Raises `Unauthenticated` or `Denied`, which are events, and `Unavailable`.
        """
        now = self._clock()
        self._refusals.tell(self._books, now)
        who = "unknown"
        try:
            self._match(cookie, answer.get("state", ""), now)
            nonce, verifier = self._made("nonce", cookie), self._made("verifier", cookie)
            told = self._provider.vouch(answer, nonce, verifier, now)
            who = self._id("person", told.subject)
            return self._enter(who, told, now)
        except Unavailable:
            raise
        except HubError as error:
            facts = {"by": "provider", "reason": error.code}
            event = AuditEvent(Kind.USER_REFUSED, "unknown", who, now, facts)
            self._refusals.note(self._books, event, who)
            raise

    def leaving(self, token: str) -> str:
        """Where a browser goes to sign out at the provider too; '' where there is nothing to do.

        A provider that is away keeps nobody from signing out here.
        """
        vouched = self._books.vouched(tokens.digest(token))
        if vouched is None:
            return ""
        with suppress(Unavailable):
            return self._provider.leaving(self._opened(token, vouched.hint))
        return ""

    def ended(self, logout_token: str) -> int:
        """End what the provider says has ended, and say how many sessions that was.

        Raises `Unauthenticated` for a token that is not the provider's, or was used.
        """
        now = self._clock()
        ended = self._provider.ended(logout_token, now)
        if not self._books.use_assertion(ended.id, "openid logout", now + timedelta(days=1)):
            raise refused("logout-token")
        if ended.sid:
            found = self._books.sessions(now, sid=self._digest("session", ended.sid))
        else:
            found = self._books.sessions(now, account=self._id("person", ended.subject))
        return self._end(found, now, "provider")

    # Steps ----------------------------------------------------------------------------------

    def _match(self, cookie: str, state: str, now: datetime) -> None:
        """Raise unless this browser began this login, lately, and has not finished it."""
        begun, _, _ = cookie.partition(".")
        if not tokens.same(self._made("state", cookie), state) or not begun.isdecimal():
            raise refused("state")
        # Whoever changes the time in the cookie has another state.
        since = now - datetime.fromtimestamp(int(begun), UTC)
        if not -timedelta(seconds=1) <= since <= PATIENCE:
            raise refused("state")
        if not self._books.use_assertion(state, "openid login", now + PATIENCE):
            raise refused("code")

    def _enter(self, who: str, told: Told, now: datetime) -> str:
        account = self._account(who, told)
        if account is None:
            self._end(self._books.sessions(now, account=who), now, "provider")
            raise Denied(
                "no-role",
                fr="Votre compte n’a aucun rôle dans ce hub. Demandez-le à son exploitant.",
                en="Your account has no role in this hub. Ask its operator for one.",
                who="operator",
            )
        known = self._books.account(who)
        if known is not None and known.password_hash.startswith(LOCKED):
            raise refused("denied")
        token = tokens.new(self._random)
        sid = self._digest("session", told.sid) if told.sid else None
        session = Session(tokens.digest(token), who, now, now + LIFETIME)
        facts = {"role": str(account.role), "by": "provider"}
        self._books.enter(
            account,
            session,
            Vouched(sid, self._sealed(token, told.hint)),
            event=AuditEvent(Kind.USER_AUTHENTICATED, account.organisation, who, now, facts),
        )
        return token

    def _account(self, who: str, told: Told) -> Account | None:
        """The role and organisation of the first rule that fits; None where none does."""
        for rule in self._terms.roles:
            if rule.value in values(told.claims, rule.claim):
                organisation = rule.organisation or self._organisation(told.claims)
                if not organisation:
                    return None
                return Account(who, who, organisation, Role(rule.role), VOUCHED)
        return None

    def _organisation(self, claims: Mapping[str, Any]) -> str:
        """The one organisation the claims name, by the territory's names; '' otherwise."""
        named = values(claims, self._terms.organisation_claim)
        if len(named) != 1:
            return ""
        [name] = named
        known = self._terms.organisations
        return known.get(name, "") if known else name

    def _end(self, found: Sequence[Session], now: datetime, by: str) -> int:
        for session in found:
            with suppress(NotFound):  # its person was first
                self._books.end_session(session.mark, event=left(session.account, now, by))
        return len(found)

    # Names and seals ------------------------------------------------------------------------

    def _made(self, what: str, cookie: str) -> str:
        raw = hmac.digest(self._key, f"{what}\n{cookie}".encode("utf-8", "replace"), "sha256")
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    def _digest(self, what: str, name: str) -> bytes:
        issuer = self._provider.issuer.encode()
        # Any text may be a subject, even one that is no text.
        text = name.encode("utf-8", "surrogatepass")
        said = b"%s\n%d\n%s%s" % (what.encode(), len(issuer), issuer, text)
        return hmac.digest(self._key, said, "sha256")[:ID_BYTES]

    def _id(self, what: str, name: str) -> str:
        return f"openid-{self._digest(what, name).hex()}"

    def _sealed(self, token: str, hint: str) -> bytes | None:
        if not hint:
            return None
        nonce = self._random(_NONCE)
        return nonce + _seal(token).encrypt(nonce, hint.encode(), None)

    def _opened(self, token: str, hint: bytes | None) -> str:
        if hint is None:
            return ""
        try:
            return _seal(token).decrypt(hint[:_NONCE], hint[_NONCE:], None).decode()
        except InvalidTag:
            return ""


def values(claims: Mapping[str, Any], path: str) -> list[str]:
    """The texts at a claim, whose path may lead inwards (`realm_access.roles`); never many words.

    A claim of exactly that name comes first: some have dots in them.
    """
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else [found]
    return [
        one
        for one in listed
        if isinstance(one, str) and 0 < len(one) <= LONGEST and one.isprintable()
    ]


def _seal(token: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"hub openid hint").derive(token.encode()))

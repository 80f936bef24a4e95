"""What a person does with their own local account, signed in: the password, the second factor.

Whoever only has the session, or only looks over a shoulder, can do none of it: each act asks for
the password, limited like a login, and what weakens a second factor asks for a code as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.errors import Rejected
from hub.events import AuditEvent, Kind
from hub.identity import passwords, tokens
from hub.identity.limits import Limits
from hub.identity.sessions import Staying, has_password, refused
from hub.identity.totp import Factors
from hub.records import Account

SHORTEST: Final = 12
"""Characters of a password a person chooses (NIST SP 800-63B asks for length, no more)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account is protected: by a password of ours, a second factor, codes that are left.

    `pending`: a second factor was begun and not confirmed.
    """

    password: bool
    factor: bool
    pending: bool
    recovery: int


class Own:
    """One's own account over the books."""

    def __init__(
        self,
        people: Staying,
        clock: Callable[[], datetime],
        *,
        issuer: str,
        key: bytes = b"",
        random: tokens.Random = secrets.token_bytes,
    ) -> None:
        """`issuer` is how an authenticator names the hub; `key` as for `Sessions`."""
        self._people = people
        self._clock = clock
        self._issuer = issuer
        self._limits = Limits(people, key)
        self._factors = Factors(people, key, random)

    def standing(self, token: str, /) -> Standing:
        """How the account of a session is protected. Raises `Unauthenticated` for anyone."""
        account = self._account(token)
        factor = self._factors.of(account.id)
        confirmed = factor is not None and factor.confirmed
        pending = factor is not None and not confirmed
        left = self._factors.left(account.id)
        return Standing(has_password(account), confirmed, pending, left)

    def change_password(self, token: str, former: str, password: str, /) -> None:
        """Replace one's own password; every other session of the account ends at once.

        Raises `Unauthenticated` without a session or with a wrong former password; `Rejected` for
        a password that is too short, or is the former one.
        """
        account = self._proven(token, former)
        if len(password) < SHORTEST or password == former:
            raise Rejected(
                "password-short",
                fr=f"Choisissez un autre mot de passe, d’au moins {SHORTEST} caractères.",
                en=f"Choose another password, of at least {SHORTEST} characters.",
                who="person",
            )
        event = AuditEvent(
            Kind.USER_CHANGED,
            account.organisation,
            account.id,
            self._clock(),
            {"change": "password"},
        )
        self._people.change_password(
            account.id, passwords.hash(password), tokens.digest(token), event=event
        )

    def begin_factor(self, token: str, password: str, /) -> str:
        """Begin a second factor: the address an authenticator reads, to be shown this once."""
        return self._factors.begin(self._proven(token, password), self._issuer, self._clock())

    def confirm_factor(self, token: str, code: str, /) -> list[str]:
        """From now on a login needs a code; gives the recovery codes. Other sessions end."""
        account = self._account(token)
        return self._factors.confirm(account, code, self._clock(), tokens.digest(token))

    def drop_factor(self, token: str, password: str, code: str, /) -> None:
        """A login needs no code any more. `code` may be a recovery code."""
        self._factors.drop(self._proven(token, password, code), self._clock())

    def renew_recovery(self, token: str, password: str, code: str, /) -> list[str]:
        """Other recovery codes, to be shown this once; those before end."""
        account = self._proven(token, password, code)
        return self._factors.renew_recovery(account, self._clock())

    def _account(self, token: str) -> Account:
        account = self._people.session(tokens.digest(token), self._clock())
        if account is None:
            raise refused()
        return account

    def _proven(self, token: str, password: str, code: str | None = None) -> Account:
        """The account of a session whose person knows the password, and has a code if asked."""
        now = self._clock()
        account = self._people.session(tokens.digest(token), now)
        key = tokens.digest(f"own\n{account.id if account else ''}")
        limited = not self._limits.allow(key, "", "", now)
        usable = account is not None and has_password(account)
        known = passwords.verify(account.password_hash if account and usable else None, password)
        passes = None if code is None else self._factors.passes(account, code, now)
        if account is None or not known or limited or not (passes is None or passes()):
            if not limited:
                self._limits.failed(key, "", "", now)
            raise refused()
        return account

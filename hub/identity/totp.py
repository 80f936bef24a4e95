"""A second factor: codes of RFC 6238, from a secret the hub keeps sealed.

1. `begin` makes a secret, shown this once, and keeps it sealed: nobody is asked for it yet.
2. `confirm` takes a first code, which proves that the person's app has the secret.
3. From then on a login needs a code. A code holds for its half-minute and those beside it, and is
   used up once, with all before it: one that was looked over somebody's shoulder opens nothing.
4. Ten recovery codes, shown once when it is confirmed, stand in for the app, each of them once.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.records import Account, Factor

STEP: Final = 30
"""Seconds a code is shown."""
BESIDE: Final = 1
"""Codes before and after the present one that hold too: clocks differ."""
SECRET_BYTES: Final = 20
RECOVERY: Final = 10
RECOVERY_BYTES: Final = 10
"""80 random bits each: nothing to guess, so that a plain digest is enough to keep."""
_NONCE: Final = 12
NOBODYS: Final = base64.b32encode(b"\0" * SECRET_BYTES).decode()


class Kept(Protocol):
    """What second factors need of the books."""

    def factor(self, account_id: str, /) -> Factor | None:
        """A person's second factor, None where there is none."""
        ...

    def use_step(self, account_id: str, step: int, /) -> bool:
        """Use a code up; False where it was."""
        ...

    def begin_factor(self, account_id: str, sealed: bytes, /, *, event: AuditEvent) -> object:
        """Keep one that is to be confirmed. A `Conflict` where one is confirmed."""
        ...

    def confirm_factor(
        self,
        account_id: str,
        recovery: Collection[bytes],
        kept: bytes | None,
        /,
        *,
        event: AuditEvent,
    ) -> object:
        """Ask for it from now on, or for one of `recovery`; end every session but `kept`."""
        ...

    def replace_recovery(
        self, account_id: str, recovery: Collection[bytes], /, *, event: AuditEvent
    ) -> object:
        """Other digests of recovery codes; those before end."""
        ...

    def recovery_left(self, account_id: str, /) -> int:
        """How many can still be used."""
        ...

    def use_recovery(self, account_id: str, digest: bytes, /, *, event: AuditEvent) -> object:
        """Use one up. Raises `NotFound` where there is none."""
        ...

    def drop_factor(self, account_id: str, /, *, event: AuditEvent) -> object:
        """Ask for it no longer."""
        ...


class Factors:
    """Second factors over the books. `key`: 32 bytes of the keyring, for everybody's secrets.

    `told`: what makes of each event the one that is kept, such as with the decision that lets an
    operator act.
    """

    def __init__(
        self,
        kept: Kept,
        key: bytes,
        random: tokens.Random = secrets.token_bytes,
        told: Callable[[AuditEvent], AuditEvent] = lambda event: event,
    ) -> None:
        self._kept = kept
        self._seal = AESGCM(HKDF(SHA256(), 32, None, b"hub second factors").derive(key))
        self._random = random
        self._told = told

    def begin(self, account: Account, issuer: str, now: datetime) -> str:
        """A new secret, as the `otpauth:` address an app reads. `Conflict` where one is confirmed.

        The address is the secret: show it once, keep it nowhere.
        """
        secret = base64.b32encode(self._random(SECRET_BYTES)).decode()
        nonce = self._random(_NONCE)
        sealed = nonce + self._seal.encrypt(nonce, secret.encode(), account.id.encode())
        self._kept.begin_factor(account.id, sealed, event=self._said(account, now, "factor_begun"))
        return pyotp.TOTP(secret, name=account.login, issuer=issuer).provisioning_uri()

    def confirm(
        self, account: Account, code: str, now: datetime, kept: bytes | None = None
    ) -> list[str]:
        """From now on a login needs a code; gives the recovery codes, to be shown this once.

        Every session of the account but `kept` ends. Raises `Rejected` where the code does not
        hold.
        """
        factor = self._kept.factor(account.id)
        if factor is None or factor.confirmed or not self._holds(factor, code, now):
            raise Rejected(
                "code-wrong",
                fr="Ce code ne correspond pas, ou il n’y a rien à confirmer. Attendez le suivant.",
                en="This code does not match, or there is nothing to confirm. Wait for the next.",
                who="person",
            )
        codes, digests = self._recovery()
        event = self._said(account, now, "factor_confirmed")
        self._kept.confirm_factor(account.id, digests, kept, event=event)
        return codes

    def renew_recovery(self, account: Account, now: datetime) -> list[str]:
        """Other recovery codes, to be shown this once; those before end."""
        codes, digests = self._recovery()
        event = self._said(account, now, "recovery_replaced")
        self._kept.replace_recovery(account.id, digests, event=event)
        return codes

    def of(self, account_id: str) -> Factor | None:
        """The second factor of an account; a login needs a code once it is confirmed."""
        return self._kept.factor(account_id)

    def left(self, account_id: str) -> int:
        """How many recovery codes can still be used."""
        return self._kept.recovery_left(account_id)

    def drop(self, account: Account, now: datetime) -> None:
        """Ask for no code any more."""
        self._kept.drop_factor(account.id, event=self._said(account, now, "factor_dropped"))

    def passes(self, account: Account | None, code: str, now: datetime) -> Callable[[], bool]:
        """Whether a code lets this account in: work of the same length whoever it is.

        To be called in the end, when everything else held: a code is used up only then.
        """
        factor = self._kept.factor(account.id if account else "")
        step = self._step(factor, code, now)
        if account is None or factor is None or not factor.confirmed:
            return lambda: True
        if step is None:
            return lambda: self._recovers(account, code, now)
        return lambda: self._kept.use_step(account.id, step)

    def _recovers(self, account: Account, code: str, now: datetime) -> bool:
        with suppress(NotFound):
            event = self._said(account, now, "recovery_used")
            self._kept.use_recovery(account.id, _recovery_digest(code), event=event)
            return True
        return False

    def _said(self, account: Account, now: datetime, change: str) -> AuditEvent:
        facts = {"change": change}
        event = AuditEvent(Kind.USER_CHANGED, account.organisation, account.id, now, facts)
        return self._told(event)

    def _recovery(self) -> tuple[list[str], list[bytes]]:
        plain = [base64.b32encode(self._random(RECOVERY_BYTES)).decode() for _ in range(RECOVERY)]
        codes = ["-".join(one[at : at + 4] for at in range(0, len(one), 4)) for one in plain]
        return codes, [_recovery_digest(code) for code in codes]

    def _holds(self, factor: Factor, code: str, now: datetime) -> bool:
        step = self._step(factor, code, now)
        return step is not None and self._kept.use_step(factor.account, step)

    def _step(self, factor: Factor | None, code: str, now: datetime) -> int | None:
        """The half-minute whose code this is, None where it is nobody's or was used up."""
        secret = self._opened(factor) if factor else None
        made = pyotp.TOTP(secret or NOBODYS)
        present = int(now.timestamp()) // STEP
        said = "".join(code.split())
        found = None
        for step in range(present - BESIDE, present + BESIDE + 1):
            if tokens.same(made.generate_otp(step), said):
                found = step
        if factor is None or secret is None or found is None or found <= factor.last_step:
            return None
        return found

    def _opened(self, factor: Factor) -> str | None:
        """The secret; None where the key has changed: then no code holds."""
        nonce, sealed = factor.sealed[:_NONCE], factor.sealed[_NONCE:]
        try:
            return self._seal.decrypt(nonce, sealed, factor.account.encode()).decode()
        except InvalidTag:
            return None


def _recovery_digest(code: str) -> bytes:
    """What is kept of a recovery code, however it was typed."""
    return tokens.digest("".join(code.upper().replace("-", " ").split()))

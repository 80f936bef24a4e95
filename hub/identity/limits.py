"""How often a secret may be guessed: failures counted by key in a sliding window."""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

FAILURES: Final = 10
SPREAD: Final = 100
"""Failures at one account from everywhere, or from one address at all accounts."""
WINDOW: Final = timedelta(minutes=15)
MOST_PLACES: Final = 10_000


class Tries(Protocol):
    """What counting needs of the books."""

    def tries(self, key: bytes, now: datetime, /) -> int:
        """How many are kept under a key that have not expired."""
        ...

    def add_try(self, key: bytes, expires_at: datetime, /) -> None:
        """Keep one until then."""
        ...

    def forget_tries(self, key: bytes, /) -> None:
        """Keep none under a key."""
        ...


class Limiter:
    """Counts failures in the books: for every web process together, whatever is restarted.

    Keys are digests: it never holds what somebody typed. `kind` and the hub's own `secret` are in
    each key it keeps, so that nobody who reads the books finds an address or a login by trying all
    there are.
    """

    def __init__(
        self,
        kept: Tries,
        secret: bytes,
        kind: str,
        failures: int = FAILURES,
        window: timedelta = WINDOW,
    ) -> None:
        self._kept, self._secret, self._kind = kept, secret, kind.encode()
        self._failures, self._window = failures, window

    def allows(self, key: bytes, now: datetime) -> bool:
        """Whether one more attempt may be made."""
        return self._kept.tries(self._name(key), now) < self._failures

    def failed(self, key: bytes, now: datetime) -> None:
        """Count one failure."""
        self._kept.add_try(self._name(key), now + self._window)

    def forget(self, key: bytes) -> None:
        """Start anew after a success."""
        self._kept.forget_tries(self._name(key))

    def _name(self, key: bytes) -> bytes:
        return hmac.digest(self._secret, self._kind + b"\n" + key, "sha256")


class Limits:
    """How often a login may fail: from one place at one account, and each of the two alone.

    An attacker with a thousand addresses meets the account's limit, and one who tries one password
    on a thousand accounts meets the address's. A place the account's owner came in from before is
    asked only about itself: nobody elsewhere can keep a person out of their usual place, and out of
    others for longer than the window.
    """

    def __init__(self, kept: Tries, secret: bytes) -> None:
        self._here = Limiter(kept, secret, "here")
        self._account = Limiter(kept, secret, "account", SPREAD)
        self._address = Limiter(kept, secret, "address", SPREAD)
        # Of this process: after a restart everybody comes from a new place, and is let in as such.
        self._usual: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, here: bytes, address: str, login: str, now: datetime) -> bool:
        """Whether one more attempt may be made; `here` is the place and account together."""
        with self._lock:
            usual = here in self._usual
        spread = self._account.allows(_of("account", login), now) and self._address.allows(
            _of("address", address), now
        )
        return self._here.allows(here, now) and (usual or spread)

    def failed(self, here: bytes, address: str, login: str, now: datetime) -> None:
        """Count one failure. What was refused for their number is none: that would never end."""
        self._here.failed(here, now)
        for limiter, key in (
            (self._account, _of("account", login)),
            (self._address, _of("address", address)),
        ):
            if key:
                limiter.failed(key, now)

    def succeeded(self, here: bytes) -> None:
        """Start anew here, and remember the place."""
        self._here.forget(here)
        with self._lock:
            self._usual[here] = None
            self._usual.move_to_end(here)
            while len(self._usual) > MOST_PLACES:
                self._usual.popitem(last=False)


def _of(what: str, name: str) -> bytes:
    """The key of an account or address; empty where there is none to count."""
    return sha256(f"{what}\n{name}".encode("utf-8", "surrogatepass")).digest() if name else b""

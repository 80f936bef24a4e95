"""How often a secret may be guessed: failures counted by key in a sliding window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

FAILURES: Final = 10
SPREAD: Final = 100
"""Failures at one account from everywhere, or from one address at all accounts."""
WINDOW: Final = timedelta(minutes=15)
MOST_KEYS: Final = 10_000


class Limiter(Protocol):
    """Counts failures. Keys are digests: it never holds what somebody typed."""

    def allows(self, key: bytes, now: datetime) -> bool:
        """Whether one more attempt may be made."""
        ...

    def failed(self, key: bytes, now: datetime) -> None:
        """Count one failure."""
        ...

    def forget(self, key: bytes) -> None:
        """Start anew after a success."""
        ...


class MemoryLimiter:
    """Counts within one process; a restart forgets, which costs an attacker more than us."""

    def __init__(self, failures: int = FAILURES, window: timedelta = WINDOW) -> None:
        self._failures = failures
        self._window = window
        self._times: OrderedDict[bytes, list[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, key: bytes, now: datetime) -> bool:
        """See `Limiter`."""
        with self._lock:
            return len(self._recent(key, now)) < self._failures

    def failed(self, key: bytes, now: datetime) -> None:
        """See `Limiter`."""
        with self._lock:
            # Enough are kept to refuse; more would only cost memory.
            self._times[key] = [*self._recent(key, now), now][-self._failures :]
            self._times.move_to_end(key)
            while len(self._times) > MOST_KEYS:
                self._times.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """See `Limiter`."""
        with self._lock:
            self._times.pop(key, None)

    def _recent(self, key: bytes, now: datetime) -> list[datetime]:
        return [at for at in self._times.get(key, []) if now - at < self._window]


class Limits:
    """How often a login may fail: from one place at one account, and each of the two alone.

    An attacker with a thousand addresses meets the account's limit, and one who tries one password
    on a thousand accounts meets the address's. A place the account's owner came in from before is
    asked only about itself: nobody elsewhere can keep a person out of their usual place, and out of
    others for longer than the window.
    """

    def __init__(self, here: Limiter | None = None) -> None:
        self._here = here if here is not None else MemoryLimiter()
        self._account = MemoryLimiter(SPREAD)
        self._address = MemoryLimiter(SPREAD)
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
            while len(self._usual) > MOST_KEYS:
                self._usual.popitem(last=False)


def _of(what: str, name: str) -> bytes:
    """The key of an account or address; empty where there is none to count."""
    return sha256(f"{what}\n{name}".encode("utf-8", "surrogatepass")).digest() if name else b""

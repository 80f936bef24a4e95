"""How often a secret may be guessed: failures counted by key in a sliding window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, Protocol

FAILURES: Final = 10
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

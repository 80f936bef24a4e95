"""Logs to test with: seeded, in memory, and stores that fail on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Signer
from hub.audit.store import LockedStore, LogStore, MemoryStore
from hub.errors import Unavailable

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
VECTORS = Path(__file__).parents[2] / "../shared/data/vectors"


def vectors(name: str) -> Path:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"published vectors absent: {name}")
    return path


def signer(name: str = "hub.test/log", seed: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def record(outbox: MemoryOutbox, count: int) -> None:
    for _ in range(count):
        n = len(outbox.events)
        outbox.add(b'{"n":%d}' % n, hashlib.sha256(b"salt %d" % n).digest())


def grown(store: LogStore, *batches: int) -> tuple[Log, MemoryOutbox]:
    """A log that took these batches, one checkpoint after each."""
    outbox = MemoryOutbox()
    log = Log(store, signer(), outbox)
    for count in batches:
        record(outbox, count)
        log.sequence(NOW)
    return log, outbox


class FailingStore(LockedStore):
    """A store that fails at its n-th effect, before it or just after it."""

    def __init__(self, inner: MemoryStore, fail_at: int, after: bool) -> None:
        self.inner, self.left, self.after = inner, fail_at, after

    def _effect(self) -> bool:
        self.left -= 1
        return self.left == 0

    def read(self, name: str) -> bytes | None:
        return self.inner.read(name)

    def write(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            failing = self._effect()
            if not failing or self.after:
                self.inner.write({name: data})
            if failing:
                raise out_of_order()

    def _alone(self) -> AbstractContextManager[object]:
        return nullcontext()

    def names(self, prefix: str = "") -> Iterator[str]:
        return self.inner.names(prefix)

    def drop(self, name: str) -> None:
        failing = self._effect()
        if not failing or self.after:
            self.inner.drop(name)
        if failing:
            raise out_of_order()


def out_of_order() -> Unavailable:
    return Unavailable("test", fr="en panne", en="out of order", who="operator")

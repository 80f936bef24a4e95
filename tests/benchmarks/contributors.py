"""The contributors of a release: a tree of a million, and a receipt with all it embeds."""

from __future__ import annotations

import os
import random
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pymerkle import InmemoryTree

from consent import contributors
from hub.audit import contributions, notes, proofs, receipts
from hub.audit.entries import opening_of
from hub.audit.log import Log, MemoryOutbox
from hub.audit.merkle import HASH_BYTES
from hub.audit.store import MemoryStore
from hub.events import AuditEvent, Kind
from tests.audit.helpers import NOW, signer
from tests.benchmarks.runner import Row, limited, paired

MILLION: Final = 1_000_000
PEER: Final = 20_000
RELEASES: Final = 50
LEAVES: Final = 2**16
GOAL: Final = 100_000
"""Leaves a second."""


def building(_: Path) -> Row:
    """From a million secrets to the root: positions, order, tree; ten seconds are the goal."""
    secrets, nonce = _made(1, MILLION), bytes(contributors.NONCE_BYTES)

    def build() -> bytes:
        real = (contributors.position(secret, nonce) for secret in secrets)
        return contributors.build(contributors.padded(real, MILLION, os.urandom)).root

    return limited(f"tree of {MILLION:,} grants, {GOAL:,} leaves/s", build, MILLION / GOAL)


def hashing(_: Path) -> Row:
    """A tree beside the hashes alone that any tree of as many leaves needs."""
    positions = sorted(_made(2, MILLION // 10))

    def bare() -> None:
        for one in positions:
            sha256(b"\x10" + one).digest()
            sha256(b"\x11" + one + one).digest()

    return paired(
        f"tree of {len(positions):,} grants",
        "its leaf and node hashes alone",
        lambda: contributors.build(positions).root,
        bare,
    )


def beside_pymerkle(_: Path) -> Row:
    """A sparse tree with proofs of absence beside an ordinary tree in memory."""
    positions = sorted(_made(3, PEER))

    def peer() -> bytes:
        tree = InmemoryTree()
        tree.append_entries(positions)
        found: bytes = tree.get_state()
        return found

    return paired(
        f"tree of {PEER:,} grants, root",
        "pymerkle in memory (no absence)",
        lambda: contributors.build(positions).root,
        peer,
    )


def verifying(_: Path) -> Row:
    """A completed receipt over fifty releases, everything it embeds verified, in 50 ms."""
    receipt, keys = completed(RELEASES)

    def verify() -> None:
        facts = receipts.verified(receipt, keys).facts
        assert len(contributions.check(facts, keys)["not_used_in"]) == RELEASES

    return limited(f"a receipt over {RELEASES} releases verifies", verify, 0.050)


def completed(releases: int) -> tuple[bytes, list[notes.VerifierKey]]:
    """A receipt as `hub.usage` makes it, in memory."""
    rng = random.Random(4)
    secret, outbox = rng.randbytes(32), MemoryOutbox()
    log = Log(MemoryStore(), signer(), outbox)
    consent = {"id": "g", "partner": "p", "purpose": "q", "expires_at": None, "contribution": {
        "secret": secret.hex(), "commitment": contributors.commitment(secret).hex()}}  # fmt: skip
    ended = {"partner": "p", "completed_at": NOW.isoformat(),
             "ended": {"q": [contributors.commitment(secret).hex()]}}  # fmt: skip
    tree = contributors.build(contributors.padded([], LEAVES, rng.randbytes))
    made: list[tuple[str, dict[str, Any]]] = [("consent", consent), ("withdrawal", ended)]
    found = []
    for number in range(releases):
        nonce = rng.randbytes(HASH_BYTES)
        declared = {"root": tree.root.hex(), "nonce": nonce.hex(), "asked_at": NOW.isoformat()}
        made.append(("release", {"id": f"r{number}", "contribution": declared}))
        found.append(contributions.shown(tree.prove(contributors.position(secret, nonce))))
    for kind, facts in made:
        said = {"receipt": receipts.digest(kind, facts)}
        event = AuditEvent(Kind.RELEASE_PUBLISHED, "hub", kind, NOW, said)
        outbox.add(event.canonical(), rng.randbytes(32))
    log.sequence(NOW)
    texts = []
    for index, (kind, facts) in enumerate(made):
        proof = proofs.make(log, index, opening_of(outbox.events[index]))
        texts.append(receipts.issue(kind, facts, signer(), proof).decode())
    whole = {
        "consent": texts[0],
        "withdrawal": texts[1],
        "releases": [
            {"receipt": text, "used": False, "proof": proof}
            for text, proof in zip(texts[2:], found, strict=True)
        ],
    }
    return receipts.issue(contributions.KIND, whole, signer()), [signer().verifier]


def _made(seed: int, count: int) -> list[bytes]:
    data = random.Random(seed).randbytes(32 * count)
    return [data[at : at + 32] for at in range(0, len(data), 32)]

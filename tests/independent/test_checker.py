"""A checker that shares no line with the hub accepts true receipts and no changed bit of them."""

from __future__ import annotations

import ast
import functools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent import contributors
from hub import consents, release, usage, withdraw, worker
from hub.audit import contributions, receipts
from hub.audit.notes import Signer
from hub.errors import Rejected
from hub.parts import OPERATOR, Parts
from tests.flows import world
from tests.independent import checker, ed25519

LEAVES = 16
REFUSES = (ValueError, KeyError, TypeError, IndexError, AttributeError)
PEOPLE = [f"acc-{n:03d}" for n in range(40)]


key_of = functools.lru_cache(Ed25519PublicKey.from_public_bytes)


@functools.lru_cache
def fast(public: bytes, signature: bytes, message: bytes) -> bool:
    """The same answer as `ed25519.verify`, forty times as fast: bits are many."""
    try:
        key_of(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Held:
    """What a person ends up with: the completed receipt, and the receipts inside it."""

    whole: bytes
    inside: dict[str, str]
    key: str
    signer: Signer


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    parts: Parts = world.hub_in(tmp_path_factory.mktemp("independent") / "var")
    leaves = {"contributor_leaves": len(PEOPLE) + LEAVES}
    parts = replace(parts, territory=parts.territory.model_copy(update=leaves))
    world.reference_data(parts)
    world.agree(parts, *PEOPLE)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE, days=2, modes=("CAR", "BUS")))
    parts.sequence()
    release.build(parts, "modal-split")
    digest = consents.digest_of(parts, "coachco2", PEOPLE[0])
    (grant,) = parts.books.grants_of(digest)
    consent = consents.receipt(parts, grant)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    # Another leaves with them: their receipts hang under one event.
    other = consents.digest_of(parts, "transdev", "CARD-9")
    withdraw.withdraw(parts, OPERATOR, "transdev", other, via="cli")
    worker.drain(parts)
    release.build(parts, "carbon-balance")
    whole = usage.complete(parts, consent)
    facts = receipts.verify(whole, parts.log.keys)
    inside = {
        "consent": facts["consent"],
        "withdrawal": facts["withdrawal"],
        "release": facts["releases"][0]["receipt"],
    }
    yield Held(whole, inside, str(parts.log.signer.verifier), parts.log.signer)
    parts.books.close()


def refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except REFUSES:
        return True
    return False


def flips(data: bytes) -> Iterator[bytes]:
    """Every single-bit change."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_it_accepts_a_true_receipt_with_the_standard_library_alone(held: Held) -> None:
    used = checker.check(held.whole, held.key, ed25519.verify)
    assert sorted(used.values()) == [False, True]
    for kind, text in held.inside.items():
        assert checker.receipt(text, kind, held.key, ed25519.verify)["kind"] == kind


def test_it_says_what_the_hub_says(held: Held) -> None:
    keys = [held.signer.verifier]
    said = contributions.check(receipts.verified(held.whole, keys).facts, keys)
    used = checker.check(held.whole, held.key, fast)
    assert said["used_in"] == [name for name, yes in used.items() if yes]
    assert said["not_used_in"] == [name for name, yes in used.items() if not yes]


def test_it_rejects_every_single_bit_change_of_the_whole(held: Held) -> None:
    accepted = [
        changed
        for changed in flips(held.whole)
        if not refused(lambda: checker.check(changed, held.key, fast.__wrapped__))  # noqa: B023
    ]
    assert accepted == []


@pytest.mark.parametrize("kind", ["consent", "withdrawal", "release"])
def test_it_rejects_every_single_bit_change_of_what_is_inside(held: Held, kind: str) -> None:
    """As if the outer signature were the forger's own: each part holds by itself."""
    accepted = [
        changed
        for changed in flips(held.inside[kind].encode())
        if not refused(
            lambda: checker.receipt(changed.decode(), kind, held.key, fast)  # noqa: B023
        )
    ]
    assert accepted == []


def test_it_rejects_every_bit_of_a_tree_proof_under_a_signature_that_holds(held: Held) -> None:
    """Signed anew by the hub itself: only the tree's root stands against it."""
    facts: dict[str, Any] = dict(receipts.verify(held.whole, [held.signer.verifier]))
    kind = facts.pop("kind")
    secret = bytes.fromhex(checker.receipt(held.inside["consent"], "consent", held.key, fast)
                           ["contribution"]["secret"])  # fmt: skip
    wrong = 0
    for number, one in enumerate(facts["releases"]):
        said = checker.receipt(one["receipt"], "release", held.key, fast)["contribution"]
        position = contributors.position(secret, bytes.fromhex(said["nonce"]))
        assert checker.used(one["proof"], position, said["root"]) == one["used"]
        for other in changed_json(one["proof"]):
            try:
                assert checker.used(other, position, said["root"]) != one["used"]
            except REFUSES:
                wrong += 1
            if wrong % 20 == 0:  # as a receipt: signing each takes longer than all else here
                lying = [*facts["releases"]]
                lying[number] = one | {"proof": other}
                made = receipts.issue(kind, facts | {"releases": lying}, held.signer)
                assert refused(lambda: checker.check(made, held.key, fast))  # noqa: B023
    assert wrong > 1000


def changed_json(proof: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every single-bit change of a proof's text that is another proof, and can be read."""
    for changed in flips(msgspec.json.encode(proof)):
        try:
            other = msgspec.json.decode(changed)
        except (msgspec.DecodeError, ValueError):
            continue
        if not _same(other, proof):
            yield other


def _same(one: Any, two: Any) -> bool:
    """Hexadecimal letters have two cases: the same bytes, written otherwise."""
    return bool(str(one).lower() == str(two).lower())


def test_nor_does_the_hub_accept_a_changed_byte(held: Held) -> None:
    keys = [held.signer.verifier]
    for at in range(0, len(held.whole), 5):
        changed = held.whole[:at] + bytes([held.whole[at] ^ 1]) + held.whole[at + 1 :]
        with pytest.raises(Rejected):
            contributions.check(receipts.verified(changed, keys).facts, keys)


def test_another_key_accepts_nothing(held: Held) -> None:
    other = Signer(held.signer.name, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert refused(lambda: checker.check(held.whole, str(other.verifier), ed25519.verify))
    stranger = Signer("another/hub", held.signer.key)
    assert refused(lambda: checker.check(held.whole, str(stranger.verifier), ed25519.verify))


def test_a_leaf_out_of_its_place_proves_no_absence() -> None:
    astray, other = b"\xff" * 32, b"\xfe" * 32
    left, right = (checker.sha(b"\x10", one) for one in (astray, other))
    root, proof = checker.sha(b"\x11", left, right), {"leaf": astray.hex(), "path": [right.hex()]}
    assert refused(lambda: checker.used(proof, bytes(32), root.hex()))
    honest = {"leaf": other.hex(), "path": [left.hex()]}
    assert checker.used(honest, other, root.hex())


RFC_8032 = [
    # Section 7.1: public key, message, signature of tests 1 to 3.
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
     "b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
     "1d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
     "c6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_its_signatures_are_those_of_the_published_vectors(
    public: str, message: str, signature: str
) -> None:
    key, text, signed = (bytes.fromhex(one) for one in (public, message, signature))
    assert ed25519.verify(key, signed, text)
    assert not ed25519.verify(key, signed, text + b"\0")
    order = ed25519.ORDER + int.from_bytes(signed[32:], "little")
    assert not ed25519.verify(key, signed[:32] + order.to_bytes(32, "little"), text)


def test_the_quick_signature_check_agrees_with_the_written_one() -> None:
    rng = random.Random(8032)
    for _ in range(30):
        key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        message = rng.randbytes(20)
        public, signature = key.public_key().public_bytes_raw(), bytearray(key.sign(message))
        assert ed25519.verify(public, bytes(signature), message)
        signature[rng.randrange(64)] ^= 1 << rng.randrange(8)
        agreed = fast(public, bytes(signature), message)
        assert ed25519.verify(public, bytes(signature), message) is agreed is False


def test_it_is_sixty_lines_and_imports_the_standard_library_only() -> None:
    for module, most in ((checker, 60), (ed25519, 60)):
        source = Path(str(module.__file__)).read_text("utf-8")
        body = ast.parse(source).body
        imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in imports:
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            assert {str(name) for name in names} <= sys.stdlib_module_names
        lines = [line for line in source.splitlines() if line.strip()]
        assert len(lines) - len(imports) - 1 <= most

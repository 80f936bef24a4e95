"""The contributor tree against its definition, and against whoever forges a proof."""

from __future__ import annotations

import hashlib
import hmac
import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import contributors
from consent.contributors import EMPTY, Proof, ProofInvalid, Tree, build, padded, present

SECRET, NONCE = bytes(range(32)), bytes(range(32, 64))
POSITIONS = st.sets(st.binary(min_size=32, max_size=32), max_size=40)
# Positions that share long prefixes: random ones never reach the depths a forger would use.
CLOSE = st.sets(
    st.tuples(st.integers(0, 3), st.integers(0, 255)).map(
        lambda at: (at[0] << 254 | 1 << at[1]).to_bytes(32, "big")
    ),
    max_size=40,
)


def defined(positions: set[bytes], depth: int = 0) -> bytes:
    """The root, straight from the definition."""
    if not positions:
        return hashlib.sha256(b"\x12").digest()
    if len(positions) == 1:
        return hashlib.sha256(b"\x10" + next(iter(positions))).digest()
    right = {p for p in positions if p[depth // 8] >> (7 - depth % 8) & 1}
    left = positions - right
    return hashlib.sha256(b"\x11" + defined(left, depth + 1) + defined(right, depth + 1)).digest()


@given(st.one_of(POSITIONS, CLOSE))
def test_the_root_is_what_the_definition_says(positions: set[bytes]) -> None:
    tree = build(sorted(positions))
    assert tree.root == defined(positions)
    assert Tree(tree.data).root == tree.root


@given(st.one_of(POSITIONS, CLOSE), st.binary(min_size=32, max_size=32))
def test_every_position_is_proved_present_or_absent(positions: set[bytes], other: bytes) -> None:
    tree = Tree(build(sorted(positions)).data)
    for position in {*positions, other}:
        proof = tree.prove(position)
        assert present(proof, position, tree.root) is (position in positions)


@given(CLOSE, st.integers(0, 255))
def test_an_absence_ends_in_nothing_or_in_another_leaf(positions: set[bytes], at: int) -> None:
    sought = (1 << at | 1 << 253).to_bytes(32, "big")
    others = positions - {sought}
    tree = build(sorted(others))
    proof = tree.prove(sought)
    assert proof.leaf is None or proof.leaf in others
    assert not present(proof, sought, tree.root)


def test_two_neighbours_are_told_apart_at_the_last_bit() -> None:
    low, high = bytes(32), bytes(31) + b"\x01"
    tree = build([low, high])
    assert [len(tree.prove(p).path) for p in (low, high)] == [256, 256]
    assert present(tree.prove(high), high, tree.root)


def forgeries(proof: Proof, other: Proof) -> Iterator[Proof]:
    """What someone may try who has two true proofs."""
    for at, one in enumerate(proof.path):
        for bit in range(0, 256, 37):
            changed = (int.from_bytes(one, "big") ^ 1 << bit).to_bytes(32, "big")
            yield replace(proof, path=(*proof.path[:at], changed, *proof.path[at + 1 :]))
        yield replace(proof, path=(*proof.path[:at], *proof.path[at + 1 :]))
        yield replace(proof, path=(*proof.path[:at], one[:31], *proof.path[at + 1 :]))
        yield replace(proof, path=proof.path[:at])
    yield replace(proof, path=(*proof.path, EMPTY))
    yield replace(proof, path=(EMPTY,) * 257)
    yield replace(proof, leaf=None)
    yield replace(proof, leaf=other.leaf)
    yield replace(proof, leaf=(proof.leaf or bytes(32))[:31])
    yield replace(proof, leaf=(proof.leaf or bytes(32)) + b"\0")
    yield replace(proof, path=other.path)


def test_no_forged_proof_holds_or_says_the_opposite() -> None:
    positions = sorted(os.urandom(32) for _ in range(300))
    tree = build(positions)
    for sought in (positions[7], os.urandom(32), os.urandom(32), positions[8]):
        proof = tree.prove(sought)
        for forged in forgeries(proof, tree.prove(positions[200])):
            if forged != proof:
                with pytest.raises(ProofInvalid):
                    present(forged, sought, tree.root)


def test_a_leaf_out_of_its_place_proves_no_absence() -> None:
    """A dishonest tree: on the left, a leaf whose first bit says right."""
    astray, other, sought = b"\xff" * 32, b"\xfe" * 32, bytes(32)
    left, right = (hashlib.sha256(b"\x10" + one).digest() for one in (astray, other))
    root = hashlib.sha256(b"\x11" + left + right).digest()
    with pytest.raises(ProofInvalid, match="not on the path"):
        present(Proof(astray, (right,)), sought, root)


def test_a_proof_is_for_one_position_and_one_root() -> None:
    positions = sorted(os.urandom(32) for _ in range(50))
    tree, other = build(positions), build(positions[1:])
    with pytest.raises(ProofInvalid):
        present(tree.prove(positions[3]), positions[3], other.root)
    for bit in range(256):
        moved = (int.from_bytes(positions[3], "big") ^ 1 << bit).to_bytes(32, "big")
        try:  # deep bits do not change the path: the leaf then belongs to another, which is true
            assert present(tree.prove(positions[3]), moved, tree.root) is False
        except ProofInvalid:
            assert bit >= 256 - len(tree.prove(positions[3]).path)


@pytest.mark.parametrize("at", [0, 31, 40, *range(32, 32 * 65, 64), -1])
def test_a_damaged_tree_proves_nothing_wrong(at: int) -> None:
    rng = random.Random(at)
    positions = sorted(rng.randbytes(32) for _ in range(64))
    whole = build(positions)
    data = bytearray(whole.data)
    data[at] ^= 1
    assert whole.sound()
    if at >= 32:  # with another length it cannot even be read
        assert not Tree(bytes(data)).sound()
    for sought in positions:
        try:
            proof = Tree(bytes(data)).prove(sought)
        except ProofInvalid:
            continue
        assert present(proof, sought, Tree(bytes(data)).root)
    with pytest.raises(ProofInvalid):
        Tree(whole.data[:-1])
    with pytest.raises(ProofInvalid):
        Tree(b"")


def test_a_position_is_there_once() -> None:
    with pytest.raises(ProofInvalid, match="share a position"):
        build([SECRET, SECRET])
    tree = build([SECRET])
    assert [*Tree(tree.data).positions] == [SECRET]


def test_a_position_is_an_hmac_of_the_nonce_under_the_secret() -> None:
    wanted = hmac.digest(SECRET, b"hub/contributors/v1 position\n" + NONCE, "sha256")
    assert contributors.position(SECRET, NONCE) == wanted
    assert (
        contributors.commitment(SECRET)
        == hashlib.sha256(b"hub/contributors/v1 commitment\n" + SECRET).digest()
    )


@given(st.binary(max_size=40).filter(lambda b: len(b) != 32))
def test_secrets_nonces_and_positions_have_one_length(wrong: bytes) -> None:
    for call in (
        lambda: contributors.commitment(wrong),
        lambda: contributors.position(wrong, NONCE),
        lambda: contributors.position(SECRET, wrong),
        lambda: build([SECRET]).prove(wrong),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            call()
    with pytest.raises(ProofInvalid):
        present(Proof(None, ()), wrong, EMPTY)
    with pytest.raises(ProofInvalid):
        present(Proof(wrong, ()), SECRET, EMPTY)


@settings(max_examples=20)
@given(POSITIONS, st.integers(40, 90))
def test_padding_reaches_one_size_whoever_is_in_it(real: set[bytes], leaves: int) -> None:
    made = padded(real, leaves, os.urandom)
    assert len(made) == leaves
    assert made == sorted(set(made))
    assert real <= set(made)


def test_a_decoy_that_falls_on_a_leaf_is_drawn_again() -> None:
    drawn = iter([SECRET, SECRET, NONCE])
    assert padded([SECRET], 2, lambda _: next(drawn)) == [SECRET, NONCE]


def test_more_people_than_leaves_fail_closed() -> None:
    with pytest.raises(contributors.TooManyContributors):
        padded([SECRET, NONCE], 1, os.urandom)

r"""Whose data a release used, as a tree that shows each person their own part and nobody else's.

A grant gets a random secret of 32 bytes. It is in its person's receipt; its commitment is in the
log. A release has a random nonce, and each grant that contributed has one leaf, at

    position = HMAC-SHA-256(secret, "hub/contributors/v1 position\n" ‖ nonce)      256 bits

The other leaves are decoys at random positions, up to a fixed total. The tree is a sparse Merkle
tree of depth 256 in which a subtree of one leaf is that leaf (Dahlberg, Pulls and Peeters,
"Efficient sparse Merkle trees", 2016; the "Jellyfish" trees of later ledgers):

    leaf  = SHA-256(0x10 ‖ position)
    node  = SHA-256(0x11 ‖ left ‖ right)      the bit of the position decides, the first at the top
    empty = SHA-256(0x12)

A proof is the path from the root to where a position leads: to its own leaf (present), to nothing,
or to the leaf of another position that shares the bits of the path (absent). Why that is enough:

- Nobody proves both. The path of a position is fixed by its bits. Where the leaf is at one depth
  and something else at another, or two ends at the same depth, two inputs of different first byte
  or content have one SHA-256.
- The hub cannot move a leaf afterwards: the commitment fixed the secret before the nonce was
  drawn, and the root stands in the log.
- A stranger's leaf says nothing. Without the secret a position is a random number like a decoy's,
  and two positions of one person, under two nonces, are unrelated: HMAC-SHA-256 is a
  pseudorandom function. No leaf holds a value.
- Nobody counts. The tree depends on the set of positions only, and that is the same number of
  random numbers however many are people's. All proofs together, or the whole tree, show that
  number, which is declared.

What it cannot show: that the release was computed from the declared grants. That is attested.
"""

from __future__ import annotations

import hmac
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, overload

SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 32
POSITION_BYTES: Final = 32
DEPTH: Final = 8 * POSITION_BYTES
EMPTY: Final = sha256(b"\x12").digest()

_COMMITMENT: Final = b"hub/contributors/v1 commitment\n"
_POSITION: Final = b"hub/contributors/v1 position\n"
_BELOW: Final = 4
"""Levels under the kept hashes: a proof hashes about 2^4 leaves anew."""


class TooManyContributors(ValueError):
    """More grants contributed than the tree has leaves: padding would no longer hide how many."""


class ProofInvalid(ValueError):
    """A proof that does not lead from the position to the root, or a damaged tree."""


def commitment(secret: bytes) -> bytes:
    """What the log holds of a secret (32 bytes). Raises `ValueError` for another length."""
    _check(secret, SECRET_BYTES, "a secret")
    return sha256(_COMMITMENT + secret).digest()


def position(secret: bytes, nonce: bytes) -> bytes:
    """Where the grant of this secret is in the tree of the release with this nonce (32 bytes)."""
    _check(secret, SECRET_BYTES, "a secret")
    _check(nonce, NONCE_BYTES, "a nonce")
    return hmac.digest(secret, _POSITION + nonce, "sha256")


def padded(real: Iterable[bytes], leaves: int, random: Callable[[int], bytes]) -> list[bytes]:
    """These positions among decoys, `leaves` in all, sorted.

    Raises `TooManyContributors` where there are more: the tree must never grow with its people.
    """
    positions = set(real)
    if len(positions) > leaves:
        raise TooManyContributors("more contributors than the tree has leaves")
    while missing := leaves - len(positions):
        drawn = random(missing * POSITION_BYTES)
        positions.update(
            drawn[at : at + POSITION_BYTES] for at in range(0, len(drawn), POSITION_BYTES)
        )
    return sorted(positions)


@dataclass(frozen=True, slots=True)
class Proof:
    """The way from the root to where a position leads.

    `leaf` is the position of the leaf it ends in, None where it ends in nothing; `path` holds the
    hash beside each step, from the root downwards.
    """

    leaf: bytes | None
    path: tuple[bytes, ...]


def present(proof: Proof, position: bytes, root: bytes) -> bool:
    """Whether the tree under `root` has a leaf at `position`, as `proof` shows.

    Raises `ProofInvalid` where it shows neither.
    """
    if len(proof.path) > DEPTH or any(len(h) != 32 for h in (position, root, *proof.path)):
        raise ProofInvalid("a hash is not 32 bytes long, or the path is too long")
    bits = int.from_bytes(position, "big")
    node = EMPTY
    if proof.leaf is not None:
        other = int.from_bytes(proof.leaf, "big")
        if len(proof.leaf) != POSITION_BYTES or (bits ^ other) >> (DEPTH - len(proof.path)):
            raise ProofInvalid("the leaf is not on the path of the position")
        node = _leaf(proof.leaf)
    for depth in reversed(range(len(proof.path))):
        beside = proof.path[depth]
        node = _node(beside, node) if bits >> (DEPTH - 1 - depth) & 1 else _node(node, beside)
    if node != root:
        raise ProofInvalid("the proof leads to another root")
    return proof.leaf == position


class Tree:
    """The tree of a release, as bytes: its positions in order, then the hashes near its root.

    The bytes hold nothing of which leaves are people's.
    """

    def __init__(self, data: bytes) -> None:
        """Read what `build` made. Raises `ProofInvalid` where it has another length."""
        self.data = data
        count = int.from_bytes(data[:32], "big")
        self._kept = _kept(count)
        self.positions: Sequence[bytes] = _Positions(data, count)
        if len(data) != _size(count):
            raise ProofInvalid("the tree is cut, or longer than it says")

    @property
    def root(self) -> bytes:
        """What the release declares (32 bytes)."""
        return self._hash(0, 0)

    def sound(self) -> bool:
        """Whether its hashes are those of its positions, all of them."""
        positions = self.positions[:]
        return positions == sorted(set(positions)) and build(positions).data == self.data

    def prove(self, position: bytes) -> Proof:
        """Where a position leads. Raises `ProofInvalid` where the stored tree is damaged."""
        _check(position, POSITION_BYTES, "a position")
        bits = int.from_bytes(position, "big")
        low, high, prefix = 0, len(self.positions), 0
        path: list[bytes] = []
        while high - low > 1 and len(path) < DEPTH:
            depth = len(path) + 1
            middle = bisect_left(self.positions, _first(2 * prefix + 1, depth), low, high)
            right = bits >> (DEPTH - depth) & 1
            beside = (low, middle) if right else (middle, high)
            path.append(self._subtree(depth, 2 * prefix + 1 - right, *beside))
            low, high, prefix = (
                (middle, high, 2 * prefix + 1) if right else (low, middle, 2 * prefix)
            )
        proof = Proof(self.positions[low] if high > low else None, tuple(path))
        present(proof, position, self.root)
        return proof

    def _subtree(self, depth: int, prefix: int, low: int, high: int) -> bytes:
        if depth <= self._kept:
            return self._hash(depth, prefix)
        return _build(self.positions[low:high], depth, prefix, {}, -1)

    def _hash(self, depth: int, prefix: int) -> bytes:
        at = 32 * (len(self.positions) + (1 << depth) + prefix)
        return self.data[at : at + 32]


def build(positions: Sequence[bytes]) -> Tree:
    """The tree of these positions (sorted, 32 bytes each). Raises `ProofInvalid` for a double."""
    kept = _kept(len(positions))
    hashes: dict[tuple[int, int], bytes] = {}
    _build(positions, 0, 0, hashes, kept)
    near = [hashes.get((d, p), EMPTY) for d in range(kept + 1) for p in range(1 << d)]
    return Tree(b"".join([len(positions).to_bytes(32, "big"), *positions, *near]))


def _build(
    positions: Sequence[bytes],
    depth: int,
    prefix: int,
    hashes: dict[tuple[int, int], bytes],
    keep: int,
) -> bytes:
    """The hash of the subtree of these positions, which share `depth` bits: `prefix`."""

    def over(low: int, high: int, depth: int, prefix: int) -> bytes:
        if high - low > 1:
            if depth == DEPTH:
                raise ProofInvalid("two leaves share a position, or are out of order")
            middle = bisect_left(positions, _first(2 * prefix + 1, depth + 1), low, high)
            node = _node(
                over(low, middle, depth + 1, 2 * prefix),
                over(middle, high, depth + 1, 2 * prefix + 1),
            )
        else:
            node = _leaf(positions[low]) if high > low else EMPTY
        if depth <= keep:
            hashes[depth, prefix] = node
        return node

    return over(0, len(positions), depth, prefix)


class _Positions(Sequence[bytes]):
    """The positions inside a tree's bytes."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count = data, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self._count))]
        if not 0 <= at < self._count:
            raise IndexError(at)
        return self._data[32 * at + 32 : 32 * at + 64]


def _first(prefix: int, depth: int) -> bytes:
    """The first position whose `depth` leading bits are `prefix`."""
    return (prefix << (DEPTH - depth)).to_bytes(POSITION_BYTES, "big")


def _leaf(position: bytes) -> bytes:
    return sha256(b"\x10" + position).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x11" + left + right).digest()


def _kept(leaves: int) -> int:
    """How deep hashes are kept: under them are about 2^`_BELOW` leaves each."""
    return max(0, leaves.bit_length() - 1 - _BELOW)


def _size(leaves: int) -> int:
    return 32 * (leaves + (2 << _kept(leaves)))


def _check(value: bytes, length: int, what: str) -> None:
    if len(value) != length:
        raise ValueError(f"{what} is {length} bytes long")

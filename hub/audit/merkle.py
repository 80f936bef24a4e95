"""RFC 6962 Merkle trees: hashes, inclusion and consistency proofs, and their verification.

Proofs are made over a `RangeHash`, so that the same lines serve a list of leaves in memory and
tiles on disk. Verification follows RFC 9162 §2.1.3.2 and §2.1.4.2, which define the same trees,
with plain `hashlib`; a proof that does not hold raises `Rejected`, never returns False by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from hub.errors import Rejected

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

RangeHash = Callable[[int, int], bytes]
"""`(start, end)` to the Merkle Tree Hash of leaves start to end (end not included)."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry, in a domain of its own (RFC 6962 §2.1)."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> bytes:
    """The hashes of some entries, one after the other."""
    return b"".join([sha256(b"\x00" + entry).digest() for entry in entries])


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: bytes) -> bytes:
    """Root of a perfect subtree given its 2^n concatenated bottom hashes (n ≥ 0)."""
    while len(hashes) > HASH_BYTES:
        hashes = b"".join(
            [
                sha256(b"\x01" + hashes[at : at + 64]).digest()
                for at in range(0, len(hashes), 2 * HASH_BYTES)
            ]
        )
    return hashes


def split(size: int) -> int:
    """The largest power of two below `size` (≥ 2): where RFC 6962 cuts a tree in two."""
    return 1 << (size - 1).bit_length() - 1


def range_over(leaves: Sequence[bytes]) -> RangeHash:
    """The obvious range hash over leaf hashes in memory."""

    def over(start: int, end: int) -> bytes:
        if end - start == 1:
            return leaves[start]
        middle = start + split(end - start)
        return node_hash(over(start, middle), over(middle, end))

    return over


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of a tree given its leaf hashes."""
    return range_over(leaves)(0, len(leaves)) if leaves else EMPTY_ROOT


def inclusion(index: int, size: int, over: RangeHash) -> list[bytes]:
    """Proof that leaf `index` is in the tree of `size` leaves, from the leaf's sibling upwards.

    Raises `Rejected` where the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise no_such_proof(f"leaf {index}", size)
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(over(middle, end))
            end = middle
        else:
            path.append(over(start, middle))
            start = middle
    return path[::-1]


def consistency(old: int, new: int, over: RangeHash) -> list[bytes]:
    """Proof that the tree of `new` leaves extends the tree of `old` leaves (0 < old ≤ new).

    Raises `Rejected` for other sizes: every tree extends the empty one, so that says nothing.
    """
    if not 0 < old <= new:
        raise no_such_proof(f"size {old}", new)
    path: list[bytes] = []
    start, end = 0, new
    while old < end:
        middle = start + split(end - start)
        if old <= middle:
            path.append(over(middle, end))
            end = middle
        else:
            path.append(over(start, middle))
            start = middle
    # The old tree is the whole left edge where nothing was cut off to its left: its root is
    # known to whoever checks, and is not repeated.
    return [*([over(start, end)] if start else []), *path[::-1]]


def check_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise `Rejected` unless `proof` shows that leaf hash `leaf` is at `index` under `root`."""
    if not 0 <= index < size:
        raise _refused("the index is outside the tree")
    _check_lengths([leaf, root, *proof])
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _refused("the proof is too long")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise _refused("the proof is too short")
    if computed != root:
        raise _refused("the proof leads to another root")


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise `Rejected` unless `proof` shows that the new tree extends the old one (old ≥ 1)."""
    if not 0 < old <= new:
        raise _refused("the sizes are not those of a tree and its extension")
    if old == new:
        if proof or old_root != new_root:
            raise _refused("two trees of the same size have different roots, or need no proof")
        return
    _check_lengths([old_root, new_root, *proof])
    if not proof:
        raise _refused("the proof is too short")
    path = list(proof)
    if old & old - 1 == 0:
        path.insert(0, old_root)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    of_old = of_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _refused("the proof is too long")
        if node & 1 or node == last:
            of_old, of_new = node_hash(sibling, of_old), node_hash(sibling, of_new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            of_new = node_hash(of_new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise _refused("the proof is too short")
    if of_old != old_root:
        raise _refused("the proof leads to another old root")
    if of_new != new_root:
        raise _refused("the proof leads to another new root")


def _check_lengths(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise _refused("a hash is not 32 bytes long")


def _refused(reason: str) -> Rejected:
    return Rejected(
        "proof-invalid",
        fr=f"Cette preuve n’est pas valable ({reason}) : ne vous y fiez pas.",
        en=f"This proof does not hold ({reason}): do not rely on it.",
        who="operator",
        facts={"reason": reason},
    )


def no_such_proof(what: str, size: int) -> Rejected:
    """The error for a proof that cannot exist: `what` ("leaf 9") is not in a tree of `size`."""
    return Rejected(
        "proof-impossible",
        fr=f"Aucune preuve de ce genre : {what} dans un arbre de {size}.",
        en=f"There is no such proof: {what} in a tree of {size}.",
        who="person",
    )

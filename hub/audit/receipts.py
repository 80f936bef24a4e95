"""One receipt format for everything the hub attests: pushes, consents, withdrawals, releases.

A receipt is a signed note whose text is two lines: `<origin>/receipt/v1` and canonical JSON
(RFC 8785). The first line differs from a checkpoint's, so that neither can pass for the other
under the same key. A `.tlog-proof` may follow it, after an empty line:

    <origin>/receipt/v1
    {"kind":"push",…}

    — <origin> <signature>

    c2sp.org/tlog-proof@v1
    extra <the opening of the entry>
    index …

The event in the log commits to the receipt by the digest of its facts (see `entries`), so the
proof shows that *these facts* were logged, and shows nothing else the event may hold. It needs no
trust in the signature above it: with a remembered checkpoint no key is needed at all.

An event with many receipts (an import) commits to the root of an RFC 6962 tree of their digests,
filled up with zeros to a power of two. The extra line then holds, behind the opening, the place
in that tree (four bytes) and the path from there to its root: from the facts to the digest, the
root, the entry, the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785

from hub.audit import merkle, notes, proofs
from hub.audit.entries import entry_under
from hub.audit.merkle import HASH_BYTES
from hub.audit.notes import Checkpoint, VerifierKey
from hub.audit.proofs import Proof
from hub.errors import Rejected

FORMAT: Final = "receipt/v1"
PLACE: Final = "log_index"
"""The one fact an event cannot commit to: its own place. The proof shows it."""

PLACE_BYTES: Final = 4
_SEAM: Final = f"\n\n{proofs.HEADER}\n".encode()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as verified. `checkpoint` is the one its proof stands under, None without one.

    `signer` is None where it was verified by a remembered checkpoint alone.
    """

    facts: Mapping[str, Any]
    signer: VerifierKey | None
    checkpoint: Checkpoint | None


def digest(kind: str, facts: Mapping[str, Any]) -> str:
    """What an event holds of its receipt (`facts.receipt`): SHA-256 of the facts, in hex."""
    return sha256(_line(kind, {k: v for k, v in facts.items() if k != PLACE})).hexdigest()


def commitment(digests: Sequence[str]) -> str:
    """What an event holds of many receipts (`facts.receipt`), from their digests in order."""
    return _tree(digests)(0, _wide(digests)).hex()


def path(digests: Sequence[str], wanted: str) -> bytes:
    """What follows the opening in the proof of one of many receipts. Raises `Rejected`."""
    if wanted not in digests:
        raise _invalid("its event holds no such receipt")
    index = digests.index(wanted)
    siblings = merkle.inclusion(index, _wide(digests), _tree(digests))
    return index.to_bytes(PLACE_BYTES, "big") + b"".join(siblings)


def _wide(digests: Sequence[str]) -> int:
    return 1 << max(len(digests) - 1, 0).bit_length()


def _tree(digests: Sequence[str]) -> merkle.RangeHash:
    # Filled up, so that the length of a path says how wide the tree is: one encoding each.
    filled = [bytes.fromhex(one) for one in digests]
    filled += [bytes(HASH_BYTES)] * (_wide(digests) - len(filled))
    return merkle.range_over([merkle.leaf_hash(one) for one in filled])


def issue(kind: str, facts: Mapping[str, Any], signer: notes.Signer, proof: bytes = b"") -> bytes:
    """A signed receipt of `kind` ("push", "withdrawal"…); `facts` hold counts, digests and names.

    Raises `Rejected` for facts that JSON cannot carry exactly (NaN, an integer beyond 2^53), or
    that hold `kind` themselves.
    """
    line = _line(kind, facts).decode()
    note = notes.sign(f"{signer.name}/{FORMAT}\n{line}\n", signer)
    return note + b"\n" + proof if proof else note


def verify(receipt: bytes, keys: Sequence[VerifierKey]) -> Mapping[str, Any]:
    """The facts of a receipt, with its `kind`. Raises `Rejected` where it does not hold."""
    return verified(receipt, keys).facts


def verified(receipt: bytes, keys: Sequence[VerifierKey]) -> Receipt:
    """Verify a receipt and, where it has one, its proof. Raises `Rejected`.

    `keys` are the hub's present and former keys: a receipt outlives a rotation.
    """
    data, proof = _split(receipt)
    note = notes.verify(data, [key for key in keys if key.algorithm == notes.ED25519])
    facts, origin = _facts(note.text)
    signer = next((key for key in note.signed_by if key.name == origin), None)
    if signer is None:
        raise _invalid("it is not a receipt of the hub that signed it")
    if proof is None:
        return Receipt(facts, signer, None)
    checkpoint = notes.open_checkpoint(proof.note, origin, keys)
    _check(facts, proof, checkpoint)
    return Receipt(facts, signer, checkpoint)


def checked(receipt: bytes, remembered: bytes) -> Receipt:
    """Verify a receipt by its proof and a checkpoint one trusts, without any key.

    Raises `Rejected` where the proof stands under a checkpoint of another size: which of two
    sizes extends the other is for `hub audit verify` to see.
    """
    data, proof = _split(receipt)
    facts, origin = _facts(notes.text_of(data))
    if proof is None:
        raise _invalid("it has no proof, and no key was given")
    known = Checkpoint.parse(notes.text_of(remembered))
    theirs = Checkpoint.parse(notes.text_of(proof.note))
    if known.origin != origin or theirs.origin != origin:
        raise _invalid("the remembered checkpoint is of another log")
    if theirs.size != known.size:
        raise _invalid(f"its proof is for size {theirs.size}, the checkpoint for {known.size}")
    if theirs.root != known.root:
        raise _invalid(f"two histories of {known.size} entries: the log shows a split view")
    _check(facts, proof, known)
    return Receipt(facts, None, known)


def _check(facts: Mapping[str, Any], proof: Proof, checkpoint: Checkpoint) -> None:
    committed = {key: value for key, value in facts.items() if key != "kind"}
    opening, rest = proof.extra[:HASH_BYTES], proof.extra[HASH_BYTES:]
    if len(opening) != HASH_BYTES:  # HMAC pads its key: one with zeros behind is another file
        raise _invalid("its opening is not 32 bytes long")
    committed_to = bytes.fromhex(digest(facts["kind"], committed))
    if rest:
        committed_to = _root(committed_to, rest)
    entry = entry_under(opening, committed_to)
    proof.under(entry, checkpoint)
    if facts.get(PLACE, proof.index) != proof.index:
        raise _invalid("its proof is for another place in the log")


def _root(committed: bytes, rest: bytes) -> bytes:
    """The root of the tree of receipts that a path leads to."""
    index, siblings = int.from_bytes(rest[:PLACE_BYTES], "big"), rest[PLACE_BYTES:]
    depth, left = divmod(len(siblings), HASH_BYTES)
    if len(rest) < PLACE_BYTES or left or index >> depth:
        raise _invalid("the path to its event is malformed")
    node = merkle.leaf_hash(committed)
    for level in range(depth):
        sibling = siblings[level * HASH_BYTES : (level + 1) * HASH_BYTES]
        pair = (sibling, node) if index >> level & 1 else (node, sibling)
        node = merkle.node_hash(*pair)
    return node


def _split(receipt: bytes) -> tuple[bytes, Proof | None]:
    """The signed note and the proof behind it."""
    note, seam, rest = receipt.partition(_SEAM)
    if not seam:
        return receipt, None
    return note + b"\n", proofs.read(seam[2:] + rest)


def _facts(text: str) -> tuple[Mapping[str, Any], str]:
    """The facts of a receipt's text, and the hub it names."""
    header, _, line = text.removesuffix("\n").partition("\n")
    origin = header.removesuffix(f"/{FORMAT}")
    if origin == header:
        raise _invalid("it is not a receipt of the hub that signed it")
    try:
        facts = json.loads(line)
        canonical = isinstance(facts, dict) and rfc8785.dumps(facts) == line.encode()
    except (ValueError, RecursionError) as error:
        raise _invalid("it is not JSON") from error
    if not canonical or not isinstance(facts.get("kind"), str):
        raise _invalid("it is not canonical, or names no kind")
    result: Mapping[str, Any] = facts
    return result, origin


def _line(kind: str, facts: Mapping[str, Any]) -> bytes:
    if "kind" in facts:
        raise _invalid("the facts hold a kind of their own")
    try:
        return rfc8785.dumps({"kind": kind, **facts})
    except ValueError as error:  # rfc8785 and lone surrogates both
        raise _invalid("its facts cannot be written as canonical JSON") from error


def _invalid(reason: str) -> Rejected:
    return Rejected(
        "receipt-invalid",
        fr=f"Ce reçu n’est pas valable ({reason}) : ne vous y fiez pas.",
        en=f"This receipt does not hold ({reason}): do not rely on it.",
        who="operator",
        facts={"reason": reason},
    )

"""The log's keys, present and former: a published list that anyone follows from a key he has.

The file `keys` of a log holds one signed note for each rotation, oldest first, an empty line
between them:

    <origin>/key-rotation/v1
    <verifier key that stopped>
    <verifier key that follows it>
    <size of the log at that moment>

Both keys sign it: the old one names its heir, the new one owns up to its past. So whoever holds
any one of the keys comes to know all of them, and up to which size each counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hub.audit import notes
from hub.audit.notes import Signer, VerifierKey
from hub.errors import Rejected

FORMAT: Final = "key-rotation/v1"


@dataclass(frozen=True, slots=True)
class Rotation:
    """One change of keys, read from a note both signed."""

    old: VerifierKey
    new: VerifierKey
    size: int


def announce(old: Signer, new: Signer, size: int) -> bytes:
    """The note that `new` follows `old` in a log of `size` entries."""
    text = f"{new.name}/{FORMAT}\n{old.verifier}\n{new.verifier}\n{size}\n"
    return notes.sign(text, old, new)


def read(data: bytes) -> list[Rotation]:
    """The rotations of a `keys` file, signatures checked. Raises `Rejected`."""
    if not data:
        return []
    blocks = data.split(b"\n\n")
    if len(blocks) % 2:
        raise _malformed()
    rotations = []
    for at in range(0, len(blocks), 2):
        text, signatures = blocks[at : at + 2]
        note = text + b"\n\n" + signatures.removesuffix(b"\n") + b"\n"
        rotations.append(_rotation(note))
    return rotations


def join(former: bytes | None, note: bytes) -> bytes:
    """A `keys` file with one more rotation."""
    return former + b"\n" + note if former else note


def follow(data: bytes | None, known: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Every key of the log that follows from a known one, the present first.

    Keys that the file does not connect with a known one are ignored. Raises `Rejected` where the
    file is malformed, or two keys claim to follow the same one.
    """
    found = {(key.name, key.public): key for key in known}
    rotations = read(data or b"")
    if len({(one.old.name, one.old.public) for one in rotations}) < len(rotations):
        raise _malformed()
    for _ in rotations:  # as often as the longest chain
        for one in rotations:
            pair = [(key.name, key.public) for key in (one.old, one.new)]
            if any(key in found for key in pair):
                found[pair[0]] = replace(found.get(pair[0], one.old), until=one.size)
                found.setdefault(pair[1], one.new)
    # Present keys first, then the former, the latest first.
    return sorted(found.values(), key=lambda key: (key.until is not None, -(key.until or 0)))


def _rotation(note: bytes) -> Rotation:
    lines = notes.text_of(note).split("\n")
    if len(lines) != 5:
        raise _malformed()
    old, new = VerifierKey.parse(lines[1]), VerifierKey.parse(lines[2])
    if set(notes.verify(note, [old, new]).signed_by) != {old, new}:
        raise _malformed()
    size = lines[3]
    canonical = size.isascii() and size.isdigit() and len(size) < 20 and str(int(size)) == size
    if lines[0] != f"{new.name}/{FORMAT}" or old.name != new.name or not canonical:
        raise _malformed()
    return Rotation(old, new, int(size))


def _malformed() -> Rejected:
    return Rejected(
        "keys-invalid",
        fr="La liste des clés du journal n’est pas valable : ne vous y fiez pas.",
        en="The log's list of keys does not hold: do not rely on it.",
        who="operator",
        facts={"reason": "the list of keys does not hold"},
    )

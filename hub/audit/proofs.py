"""`.tlog-proof` files (c2sp.org/tlog-proof): that an entry is in the log, checkable offline.

c2sp.org/tlog-proof@v1
extra <base64, optional: what a receipt needs to find its entry>
index 73894
<one line for each hash of the inclusion proof>

<the checkpoint, as signed>
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.audit import merkle, notes
from hub.audit.log import Log
from hub.audit.notes import Checkpoint, VerifierKey
from hub.audit.tiles import Tree
from hub.errors import Rejected

HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


def make(log: Log, index: int, extra: bytes = b"") -> bytes:
    """The proof that entry `index` is under the log's present checkpoint.

    `extra` travels with it; nothing in the format authenticates it. Raises `Rejected` where there
    is no such entry, `Unavailable` where the log is damaged.
    """
    note = log.checkpoint()
    path = Tree(log.store, log.opened(note).size).inclusion(index)
    lines = [HEADER, *([f"extra {_text(extra)}"] if extra else []), f"index {index}"]
    return ("\n".join([*lines, *map(_text, path)]) + "\n\n").encode() + note


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as read, not yet believed: `note` is the signed checkpoint."""

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    def under(self, entry: bytes, checkpoint: Checkpoint) -> None:
        """Raise `Rejected` unless `entry` is at this place under this checkpoint."""
        leaf = merkle.leaf_hash(entry)
        merkle.check_inclusion(self.index, checkpoint.size, leaf, self.path, checkpoint.root)


def read(proof: bytes) -> Proof:
    """Read a `.tlog-proof` file. Raises `Rejected` where it is none."""
    head, blank, note = proof.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    extra = b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        extra = hash_of(lines.pop(1).removeprefix("extra "))
    index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if not blank or lines[0] != HEADER or index is None:
        raise _malformed()
    return Proof(int(index[1]), tuple(hash_of(line) for line in lines[2:]), note, extra)


def check(
    proof: bytes, entry: bytes, origin: str, keys: Sequence[VerifierKey]
) -> tuple[int, Checkpoint]:
    """Where `entry` is, and under which checkpoint of the log `origin`. Raises `Rejected`.

    An `extra` line is not looked at: nothing authenticates it here.
    """
    found = read(proof)
    checkpoint = notes.open_checkpoint(found.note, origin, keys)
    found.under(entry, checkpoint)
    return found.index, checkpoint


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def hash_of(text: str) -> bytes:
    """Standard base64 in its one spelling. Raises `Rejected`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed() from error
    if _text(raw) != text:
        raise _malformed()
    return raw


def _malformed() -> Rejected:
    return Rejected(
        "proof-malformed",
        fr="Ce fichier n’est pas une preuve « tlog-proof ».",
        en="This file is not a “tlog-proof” proof.",
        who="person",
    )

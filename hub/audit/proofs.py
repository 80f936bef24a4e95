"""`.tlog-proof` files (c2sp.org/tlog-proof): that an entry is in the log, checkable offline.

c2sp.org/tlog-proof@v1
index 73894
<one line for each hash of the inclusion proof>

<the checkpoint, as signed>
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

from hub.audit import merkle, notes
from hub.audit.log import Log
from hub.audit.notes import Checkpoint, VerifierKey
from hub.audit.tiles import Tree
from hub.errors import Rejected

HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


def make(log: Log, index: int) -> bytes:
    """The proof that entry `index` is under the log's present checkpoint.

    Raises `Rejected` where there is no such entry, `Unavailable` where the log is damaged.
    """
    note = log.checkpoint()
    key = log.signer.verifier
    size = notes.open_checkpoint(note, key.name, [key]).size
    path = Tree(log.store, size).inclusion(index)
    lines = [HEADER, f"index {index}", *(base64.b64encode(one).decode() for one in path)]
    return ("\n".join(lines) + "\n\n").encode() + note


def check(
    proof: bytes, entry: bytes, origin: str, keys: Sequence[VerifierKey]
) -> tuple[int, Checkpoint]:
    """Where `entry` is, and under which checkpoint of the log `origin`. Raises `Rejected`.

    An `extra` line is allowed and ignored: nothing authenticates it.
    """
    head, blank, note = proof.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    if len(lines) > 1 and lines[1].startswith("extra "):
        del lines[1]
    index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if not blank or lines[0] != HEADER or index is None:
        raise _malformed()
    checkpoint = notes.open_checkpoint(note, origin, keys)
    path = [_hash(line) for line in lines[2:]]
    at = int(index[1])
    merkle.check_inclusion(at, checkpoint.size, merkle.leaf_hash(entry), path, checkpoint.root)
    return at, checkpoint


def _hash(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed() from error
    if base64.b64encode(raw).decode() != line:
        raise _malformed()
    return raw


def _malformed() -> Rejected:
    return Rejected(
        "proof-malformed",
        fr="Ce fichier n’est pas une preuve « tlog-proof ».",
        en="This file is not a “tlog-proof” proof.",
        who="person",
    )

"""A witness that logs hand their checkpoints to: C2SP `add-checkpoint` (c2sp.org/tlog-witness).

    old <size the witness cosigned last>
    <one line for each hash of the consistency proof, base64>

    <the checkpoint, as signed>

It shares the memory of the witness that goes and looks (`witness.cosign`): the last checkpoint
cosigned, remembered before the cosignature leaves. Here no tile is seen, so that where two
histories part cannot be said; that they do is the proof's to show. The caller sees to it that one
runs at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hub.audit import merkle, notes, witness
from hub.audit.merkle import EMPTY_ROOT, HASH_BYTES
from hub.audit.notes import Checkpoint, VerifierKey, Witness
from hub.audit.proofs import hash_of
from hub.audit.store import TileStore
from hub.audit.tiles import CHECKPOINT
from hub.errors import Rejected

TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"
MAX_PROOF: Final = 63
MAX_BYTES: Final = 64 * 1024
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the witness answers, as HTTP has it."""

    status: int
    body: bytes = b""
    media_type: str = TEXT


def add_checkpoint(
    state: TileStore, known: Sequence[VerifierKey], who: Witness, body: bytes, now: datetime
) -> Answer:
    """Cosign a checkpoint that extends the last one, or answer why not.

    `known` are the keys of the one log this witness watches. Raises `Unavailable` where its
    memory does not answer.
    """
    try:
        old, proof, note = _read(body)
        checkpoint = Checkpoint.parse(notes.text_of(note))
    except Rejected:
        return Answer(400, b"the request is malformed\n")
    if checkpoint.origin != known[0].name:
        return Answer(404, b"this witness does not know the log\n")
    try:
        notes.open_checkpoint(note, known[0].name, known)
    except Rejected:
        return Answer(403, b"no key of the log signed it\n")
    if old > checkpoint.size:
        return Answer(400, b"the old size is larger than the new one\n")
    last = witness.remembered(state, known)
    size = last.size if last is not None else 0
    # A second history of the same size is a conflict too: there is nothing to prove.
    forked = last is not None and checkpoint.size == size and checkpoint.root != last.root
    if old != size or forked:
        return Answer(409, b"%d\n" % size, SIZE)
    try:
        _check(size, last, checkpoint, proof)
    except Rejected:
        return Answer(422, b"the proof does not lead from the old tree to the new one\n")
    text = notes.text_of(note)
    ours = "".join(notes.verify(note, known).lines)
    state.write({CHECKPOINT: f"{text}\n{ours}".encode()})
    return Answer(200, who.cosign(text, now).encode())


def _check(size: int, last: Checkpoint | None, new: Checkpoint, proof: Sequence[bytes]) -> None:
    if new.size == 0 and new.root != EMPTY_ROOT:
        raise _malformed()
    if last is None or not size:
        if proof:  # every tree extends the empty one: nothing proves it
            raise _malformed()
        return
    merkle.check_consistency(size, new.size, last.root, new.root, proof)


def _read(body: bytes) -> tuple[int, list[bytes], bytes]:
    head, blank, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    old = _OLD.fullmatch(first)
    proof = [hash_of(line) for line in lines]
    if not blank or old is None or len(proof) > MAX_PROOF:
        raise _malformed()
    if any(len(one) != HASH_BYTES for one in proof):
        raise _malformed()
    return int(old[1]), proof, note


def _malformed() -> Rejected:
    return Rejected(
        "submission-malformed",
        fr="Cette demande de contresignature ne peut être lue.",
        en="This request for a cosignature cannot be read.",
        who="operator",
    )

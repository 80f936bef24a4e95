"""`hub audit verify`: recompute a whole log from its files, and say what is wrong and where.

1. The checkpoint must bear the log's signature; without it there is nothing to compare with.
2. The tree is recomputed from the entries and compared with the tiles and the signed root
   (`walk`); partial tiles of older checkpoints must begin what stands there now.
3. With events: each body under its salt must give its entry, each entry must have its event.
4. With a remembered checkpoint: the log must extend it.

Only hashlib in plain loops, memory for one tile a level: a log of any size streams through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.audit import notes, tiles
from hub.audit.entries import entry_of
from hub.audit.merkle import EMPTY_ROOT
from hub.audit.notes import VerifierKey
from hub.audit.store import TileStore
from hub.audit.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile
from hub.audit.walk import Walk
from hub.errors import Rejected, Unavailable
from hub.records import LoggedEvent

SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict: `root` in hex as signed; each problem begins with the file it is in."""

    ok: bool
    size: int
    root: str
    problems: tuple[str, ...]


def verify(
    store: TileStore,
    keys: VerifierKey | Sequence[VerifierKey],
    events: Iterable[LoggedEvent] | None = None,
    *,
    remembered: bytes | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Report:
    """Verify the log of the first key's origin.

    `keys` are the log's present and former keys, the present first. `events`, by index, are
    checked against the entries. `remembered` is a checkpoint kept from earlier: the log must
    extend it. `progress` is told the number of entries done. Raises `Unavailable` only where the
    store itself fails.
    """
    known = [keys] if isinstance(keys, VerifierKey) else list(keys)
    note = store.read(CHECKPOINT)
    if note is None:
        return Report(False, 0, "", (f"{CHECKPOINT}: missing",))
    try:
        signed = notes.open_checkpoint(note, known[0].name, known)
    except Rejected as error:
        return Report(False, 0, "", (f"{CHECKPOINT}: {error.facts['reason']}",))
    walk = Walk(store, signed.size, signed.root)
    walk.run(progress)
    if events is not None:
        _check_events(walk, events)
    if remembered is not None:
        _check_extends(walk, remembered, known)
    return Report(not walk.problems, signed.size, signed.root.hex(), tuple(walk.problems))


def _check_events(walk: Walk, events: Iterable[LoggedEvent]) -> None:
    """Compare the books' events, in the order of their indices, with the entries."""
    expected = 0
    bundle, entries = -1, [b""]
    for event in events:
        index = event.index
        if index is None or index >= walk.size:
            walk.say("books", index, "the log has no such entry")
            continue
        if index < expected:
            walk.say("books", index, "two events claim this entry, or they are out of order")
            continue
        if index > expected:
            walk.say("books", expected, f"no event for the entries up to {index - 1}")
        expected = index + 1
        if not event.salt:  # erased: the entry stands for something nobody can read any more
            if event.body:
                walk.say("books", index, "its salt is gone but not its body: it could say anything")
            continue
        if index // WIDTH != bundle:
            bundle = index // WIDTH
            data = tiles.read(walk.store, Tile.of(ENTRIES, bundle, walk.size))
            entries = tiles.unpack(data or b"")
        if index % WIDTH < len(entries) and entries[index % WIDTH] != entry_of(event):
            walk.say("books", index, "the event is not the one that was logged")
        elif len(event.salt) != SALT_BYTES:
            # HMAC pads its key with zeros: a salt with one more at its end gives the same entry.
            walk.say("books", index, f"the salt has {len(event.salt)} bytes, {SALT_BYTES} expected")
    if expected < walk.size:
        walk.say("books", expected, f"no event for the entries up to {walk.size - 1}")


def _check_extends(walk: Walk, remembered: bytes, keys: Sequence[VerifierKey]) -> None:
    """See that the log extends a checkpoint kept from earlier: no rollback, no split view."""
    try:
        old = notes.open_checkpoint(remembered, keys[0].name, keys)
    except Rejected as error:
        walk.say("remembered checkpoint", None, str(error.facts["reason"]))
        return
    if old.size > walk.size:
        walk.say(CHECKPOINT, None, f"has {walk.size} entries; there were {old.size} before")
        return
    try:
        # From the present tiles: the old partial ones may be gone, or never have been in this log.
        root = tiles.Tree(walk.store, walk.size).over(0, old.size) if old.size else EMPTY_ROOT
    except Unavailable:
        if not walk.problems:
            raise
        return  # the file at fault is among the problems already
    if root != old.root:
        walk.say(CHECKPOINT, None, f"the first {old.size} entries are not those signed before")

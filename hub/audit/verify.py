"""`hub audit verify`: recompute a whole log from its files, and say what is wrong and where.

1. The checkpoint must bear the log's signature; without it there is nothing to compare with. A
   key that replaced one we know is followed through the log's file `keys`.
2. The tree is recomputed from the entries and compared with the tiles and the signed root
   (`walk`); partial tiles of older checkpoints must begin what stands there now.
3. With events: each body under its salt must give its entry, each entry must have its event. One
   without body and salt was erased: a later event must say so (`erasure`).
4. With a remembered checkpoint: the log must extend it, and with `only_since` what it holds
   beyond it is all that is recomputed.
5. With witnesses: each must have cosigned a checkpoint that the log extends.

Only hashlib in plain loops, memory for one tile a level: a log of any size streams through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.audit import notes, tiles
from hub.audit.entries import entry_of
from hub.audit.erasure import Emptied
from hub.audit.keys import follow
from hub.audit.merkle import EMPTY_ROOT
from hub.audit.notes import VerifierKey
from hub.audit.store import TileStore
from hub.audit.tiles import CHECKPOINT, ENTRIES, KEYS, WIDTH, WITNESSED, Tile
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
    only_since: bool = False,
    witnesses: Sequence[VerifierKey] = (),
    progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> Report:
    """Verify the log of the first key's origin.

    `keys` are keys of the log one trusts, present or former. `events`, by index, are checked
    against the entries. `remembered` is a checkpoint kept from earlier: the log must extend it;
    `only_since` then skips whole bundles before it (and their events). `progress` is told the
    number of entries done, and of all. Raises `Unavailable` only where the store itself fails.
    """
    trusted = [keys] if isinstance(keys, VerifierKey) else list(keys)
    try:
        known = follow(store.read(KEYS), trusted)
    except Rejected as error:
        return Report(False, 0, "", (f"{KEYS}: {error.facts['reason']}",))
    note = store.read(CHECKPOINT)
    if note is None:
        return Report(False, 0, "", (f"{CHECKPOINT}: missing",))
    try:
        signed = notes.open_checkpoint(note, trusted[0].name, known)
    except Rejected as error:
        return Report(False, 0, "", (f"{CHECKPOINT}: {error.facts['reason']}",))
    walk = Walk(store, signed.size, signed.root)
    start = 0
    if remembered is not None and only_since:
        # First: what is skipped is believed only because the remembered root vouches for it.
        start = _check_extends(walk, "remembered checkpoint", remembered, known)
        start -= start % WIDTH
    walk.run(progress, start)
    if events is not None:
        _check_events(walk, events, start)
    if remembered is not None and not only_since:
        _check_extends(walk, "remembered checkpoint", remembered, known)
    if witnesses:
        _check_witnessed(walk, known, witnesses)
    return Report(not walk.problems, signed.size, signed.root.hex(), tuple(walk.problems))


def _check_events(walk: Walk, events: Iterable[LoggedEvent], start: int) -> None:
    """Compare the books' events, in the order of their indices, with the entries from `start`."""
    expected = start
    bundle, entries = -1, [b""]
    emptied = Emptied()
    for event in events:
        index = event.index
        if index is None or index >= walk.size:
            walk.say("books", index, "the log has no such entry")
            continue
        if index < start:
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
            else:
                emptied.saw(index)
            continue
        emptied.heard(event)
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
    for first, last in emptied.unexplained():
        walk.say("books", first, f"emptied up to {last}, and no event says it was erased")


def _check_extends(walk: Walk, name: str, note: bytes, keys: Sequence[VerifierKey]) -> int:
    """See that the log extends an older checkpoint: no rollback, no split view.

    Gives the size up to which that checkpoint vouches for the log, 0 where it does not.
    """
    try:
        old = notes.open_checkpoint(note, keys[0].name, keys)
    except Rejected as error:
        walk.say(name, None, str(error.facts["reason"]))
        return 0
    if old.size > walk.size:
        walk.say(CHECKPOINT, None, f"has {walk.size} entries; there were {old.size} before")
        return 0
    try:
        # From the present tiles: the old partial ones may be gone, or never have been in this log.
        root = tiles.Tree(walk.store, walk.size).over(0, old.size) if old.size else EMPTY_ROOT
        same = root == old.root
    except Unavailable:
        if not walk.problems and walk.done:
            raise
        return 0  # the file at fault is among the problems already, or the walk will name it
    if not same:
        walk.say(CHECKPOINT, None, f"the first {old.size} entries are not those signed before")
    return old.size if same else 0


def _check_witnessed(
    walk: Walk, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]
) -> None:
    """See that each witness cosigned one checkpoint, and that the log extends it."""
    note = walk.store.read(WITNESSED)
    if note is None:
        walk.say(WITNESSED, None, "missing")
        return
    if not _check_extends(walk, WITNESSED, note, keys) and walk.problems:
        return
    try:
        seen = notes.verify(note, [*keys, *witnesses])
    except Rejected as error:
        walk.say(WITNESSED, None, str(error.facts["reason"]))
        return
    for witness in witnesses:
        if not seen.cosigned(witness):
            walk.say(WITNESSED, None, f"{witness.name} did not cosign it")

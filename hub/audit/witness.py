"""A witness: a second party that cosigns checkpoints, so that the log cannot show two faces.

It keeps the last checkpoint it cosigned and the log's hash tiles under it (never an entry). For a
new checkpoint:

1. it must bear a key of the log; a key that follows one we know is followed, never believed;
2. it must not be smaller than ours, nor differ from it at the same size;
3. a consistency proof made from the log's tiles must lead from our root to the new one;
   where it does not, the tiles we kept say at which entry history was rewritten;
4. the new tiles are kept, each checked against the level above it, and the checkpoint is
   remembered — *before* the cosignature leaves: a crash may lose one, never allow two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from hub.audit import keys, merkle, notes, tiles
from hub.audit.edge import TILE_BYTES
from hub.audit.merkle import HASH_BYTES
from hub.audit.notes import Checkpoint, VerifierKey, Witness
from hub.audit.publish import AT_ONCE, changed
from hub.audit.store import TileStore
from hub.audit.tiles import CHECKPOINT, KEYS, WIDTH, Reader, Tile, Tree
from hub.errors import Conflict, Rejected, Unavailable

ROLLBACK: Final = "log-rolled-back"
SPLIT: Final = "log-split-view"
REWRITTEN: Final = "log-rewritten"
TILES: Final = "log-tiles-differ"


def cosign(
    log: Reader,
    state: TileStore,
    known: Sequence[VerifierKey],
    witness: Witness,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> bytes:
    """Check the log's checkpoint against what `state` remembers; give it with our cosignature.

    `known` are keys of the log one trusts. Raises `Rejected` where the checkpoint is not the
    log's, `Conflict` (`ROLLBACK`, `SPLIT`, `REWRITTEN`, `TILES`) where it must not be cosigned,
    `Unavailable` where the log does not answer. The caller sees to it that one runs at a time.
    """
    note = log.read(CHECKPOINT)
    if note is None:
        raise Unavailable(
            "log-unreachable",
            fr="Le journal n’a pas de point de contrôle à cette adresse.",
            en="The log has no checkpoint at this address.",
            who="operator",
        )
    every = keys.follow(log.read(KEYS), known)
    new = notes.open_checkpoint(note, known[0].name, every)
    old = remembered(state, every)
    _check(log, state, old, new)
    _keep(log, state, old.size if old is not None else 0, new, progress)
    ours = "".join(notes.verify(note, every).lines)
    text = notes.text_of(note)
    state.write({CHECKPOINT: f"{text}\n{ours}".encode()})
    return f"{text}\n{ours}{witness.cosign(text, now)}".encode()


def remembered(state: TileStore, known: Sequence[VerifierKey]) -> Checkpoint | None:
    """The checkpoint cosigned last, None where there is none yet. Raises `Rejected`."""
    note = state.read(CHECKPOINT)
    if note is None:
        return None
    checkpoint = Checkpoint.parse(notes.verify(note, known).text)
    if checkpoint.origin != known[0].name:
        raise Rejected(
            "witness-state",
            fr=f"Ce dossier garde la mémoire d’un autre journal : {checkpoint.origin}.",
            en=f"This folder remembers another log: {checkpoint.origin}.",
            who="operator",
        )
    return checkpoint


def _check(log: Reader, state: TileStore, old: Checkpoint | None, new: Checkpoint) -> None:
    """Refuse whatever is not the old tree, extended."""
    if old is None or old.size == 0:
        return
    if new.size < old.size:
        raise _refused(ROLLBACK, f"it has {new.size} entries; there were {old.size} before")
    tree = Tree(log, new.size)
    if new.size == old.size and new.root != old.root:
        raise _refused(SPLIT, f"two histories of {old.size} entries{_where(state, old, tree)}")
    if new.size == old.size:
        return
    try:
        proof = tree.consistency(old.size)
        merkle.check_consistency(old.size, new.size, old.root, new.root, proof)
    except Rejected as error:
        if tree.root() != new.root:
            raise _refused(TILES, "the tiles it shows do not lead to the root it signed") from error
        raise _refused(
            REWRITTEN, f"the first {old.size} entries changed{_where(state, old, tree)}"
        ) from error


def _where(state: TileStore, old: Checkpoint, now: Tree) -> str:
    """At which index two histories part, as far as the tiles at hand can say."""
    try:
        index = first_difference(Tree(state, old.size), now)
    except Unavailable as error:
        return f"; where cannot be said ({error.where} is missing)"
    return "; its tiles show no difference" if index is None else f", from index {index} on"


def first_difference(old: Tree, new: Tree) -> int | None:
    """The first entry in which the tree `new` is not `old` extended, None where it is.

    Goes down from the highest tile; where that says nothing, every lowest tile is compared.
    """
    level = max((old.size.bit_length() - 1) // 8, 0)
    index = 0
    while level >= 0:
        index = _first(old, new, level, index)
        level -= 1
    if index < old.size:
        return index
    for tile in range((old.size - 1) // WIDTH + 1):
        index = _first(old, new, 0, tile)
        if index < min(old.size, (tile + 1) * WIDTH):
            return index
    return None


def _first(old: Tree, new: Tree, level: int, index: int) -> int:
    """The first hash of a tile that differs, counted over its level; else the first it lacks."""
    tile = Tile.of(level, index, old.size)
    if not tile.width:
        return index * WIDTH
    one, other = old.hashes(level, index), new.hashes(level, index)
    for at in range(tile.width):
        place = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
        if one[place] != other[place]:
            return index * WIDTH + at
    return index * WIDTH + tile.width


def _keep(
    log: Reader,
    state: TileStore,
    old: int,
    new: Checkpoint,
    progress: Callable[[int, int], None],
) -> None:
    """Keep the hash tiles the tree got by growing, once they are known to lead to its root."""
    tree = Tree(log, new.size)
    if tree.root() != new.root:
        raise _refused(TILES, "the tiles it shows do not lead to the root it signed")
    batch: dict[str, bytes] = {}
    for tile in changed(old, new.size, lowest=0):
        hashes = Tree(log, new.size).hashes(tile.level, tile.index)
        if len(hashes) == TILE_BYTES:
            above, at = divmod(tile.index, WIDTH)
            parent = tree.hashes(tile.level + 1, above)[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            if merkle.perfect_root(hashes) != parent:
                raise _refused(TILES, f"{tile.name} does not lead to the tile above it")
        batch[tile.name] = hashes
        if len(batch) == AT_ONCE:
            state.write(batch)
            batch = {}
        if tile.level == 0:
            progress(tile.index * WIDTH + tile.width, new.size)
    if batch:
        state.write(batch)
    for tile in changed(old, new.size, lowest=0):
        if tile.width == WIDTH:
            for name in list(state.names(tile.full_name + ".p")):
                state.drop(name)


def _refused(code: str, reason: str) -> Conflict:
    return Conflict(
        code,
        fr=f"Le témoin refuse ce point de contrôle ({reason}). Gardez les deux et alertez.",
        en=f"The witness refuses this checkpoint ({reason}). Keep both and raise the alarm.",
        who="operator",
        where=tiles.CHECKPOINT,
        facts={"reason": reason},
    )

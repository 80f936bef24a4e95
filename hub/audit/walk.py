"""The walk of `hub audit verify`: a log recomputed from its files, in one pass, level by level.

Each tile is recomputed from what is below it, down to the entries, and compared with what is
stored. Where they differ, the hash one level up says which of the two is the forged one; at the
right edge the signed root does. Where nothing is said, the entries lead to the signed root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from typing import Final

from hub.audit import merkle, tiles
from hub.audit.edge import TILE_BYTES, Edge
from hub.audit.merkle import HASH_BYTES
from hub.audit.store import TileStore
from hub.audit.tiles import CHECKPOINT, ENTRIES, WIDTH, Tile

MOST_PROBLEMS: Final = 1000
OUR_ENTRY_BYTES: Final = 32

Hashes = bytes | None
"""Concatenated hashes of a tile; None where its file is missing or torn."""


@dataclass(slots=True)
class _Level:
    """What the walk knows of a level: its current tile as recomputed, and how many came before."""

    computed: bytes = b""
    index: int = 0


@dataclass(slots=True)
class Walk:
    """One verification of the tree of `size` entries under the signed `root`."""

    store: TileStore
    size: int
    root: bytes
    problems: list[str] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)
    levels: list[_Level] = field(default_factory=list)
    parents: dict[int, tuple[int, Hashes]] = field(default_factory=dict)
    done: bool = False

    def say(self, file: str, index: int | None, what: str) -> None:
        """Note one problem, at an entry where there is one."""
        self.faulty.add(file)
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(
                f"{file}: " + (f"index {index}: " if index is not None else "") + what
            )

    def run(self, progress: Callable[[int, int], None], start: int = 0) -> None:
        """The whole walk; `progress` is told the number of entries done, and of all.

        From `start`, a multiple of 256, on: the stored hashes of what is before are taken as they
        are, so the caller has seen that they lead to a root he trusts. Gives up after
        `MOST_PROBLEMS`: a forged size must not keep it busy for ever.
        """
        while self.size >> 8 * len(self.levels):
            self.levels.append(self.before(len(self.levels), start))
        self.done = True
        for index in range(start // WIDTH, self.size // WIDTH):
            self.rise(0, self.leaves(Tile(ENTRIES, index)))
            progress((index + 1) * WIDTH, self.size)
            if len(self.problems) >= MOST_PROBLEMS:
                return
        if self.size % WIDTH:
            self.levels[0].computed = self.leaves(Tile.of(ENTRIES, self.size // WIDTH, self.size))
            progress(self.size, self.size)
        self.check_edge()
        self.check_older_partials()

    def before(self, level: int, start: int) -> _Level:
        """What the walk would know of a level had it come as far as entry `start`."""
        index, width = divmod(start >> 8 * level, WIDTH)
        if not width:
            return _Level(index=index)
        stored = tiles.read(self.store, Tile.of(level, index, self.size)) or b""
        return _Level(stored[: width * HASH_BYTES].ljust(width * HASH_BYTES, b"\0"), index)

    def rise(self, level: int, computed: bytes) -> None:
        """Settle a full tile and hand its root one level up."""
        here = self.levels[level]
        tile = Tile(level, here.index)
        here.index, here.computed = here.index + 1, b""
        settled = self.settle(tile, computed)
        above = self.levels[level + 1]
        above.computed += merkle.perfect_root(settled)
        if len(above.computed) == TILE_BYTES:
            self.rise(level + 1, above.computed)

    def settle(self, tile: Tile, computed: bytes) -> bytes:
        """Compare a full tile with what is below it; give the hashes the level above confirms."""
        stored = self.hashes(tile)
        if stored is None or stored == computed:
            return computed
        parent = self.parent(tile)
        if parent == merkle.perfect_root(computed):
            self.blame(tile, stored, computed, "is not the hash of what is below it")
            return computed
        if parent == merkle.perfect_root(stored):
            self.blame_below(tile, stored, computed)
            return stored
        self.blame(
            tile, stored, computed, "differs from what is below it, and neither is confirmed"
        )
        return computed

    def parent(self, tile: Tile) -> bytes | None:
        """The hash that the level above stores for a full tile, not yet verified itself."""
        index, at = divmod(tile.index, WIDTH)
        held = self.parents.get(tile.level)
        if held is None or held[0] != index:
            above = Tile.of(tile.level + 1, index, self.size)
            held = index, tiles.read(self.store, above)
            self.parents[tile.level] = held
        stored = held[1] or b""
        return stored[at * HASH_BYTES : (at + 1) * HASH_BYTES] or None

    def hashes(self, tile: Tile) -> Hashes:
        """A tile's stored hashes; says so where they are missing or not as many as they must."""
        stored = tiles.read(self.store, tile)
        if stored is None:
            self.say(tile.name, None, "missing")
            return None
        expected = tile.width * HASH_BYTES
        if len(stored) != expected:
            self.say(tile.name, None, f"has {len(stored)} bytes, {expected} expected")
            return None
        return stored

    def leaves(self, tile: Tile) -> bytes:
        """Leaf hashes of a bundle's entries, or, where it cannot be read, those of its tile."""
        bundle = tiles.read(self.store, tile)
        if bundle is None:
            self.say(tile.name, None, "missing")
        else:
            hashes = _leaf_hashes(bundle)
            if hashes is None or len(hashes) != tile.width * HASH_BYTES:
                whole = tiles.unpack(bundle)
                rest = len(bundle) - len(tiles.pack(whole))
                torn = min(len(whole), self.first_strange(tile, whole))
                self.say(
                    tile.name,
                    tile.index * WIDTH + torn,
                    f"{len(whole)} whole entries and {rest} bytes, {tile.width} entries expected",
                )
            else:
                return hashes
        # Both missing: zeros, which no tile confirms, so that the levels above name the place.
        stored = tiles.read(self.store, Tile(0, tile.index, tile.width)) or b""
        return stored.ljust(tile.width * HASH_BYTES, b"\x00")[: tile.width * HASH_BYTES]

    def first_strange(self, tile: Tile, entries: Sequence[bytes]) -> int:
        """Position of the first entry of a torn bundle whose hash its tile does not hold."""
        stored = tiles.read(self.store, Tile(0, tile.index, tile.width)) or b""
        for n, entry in enumerate(entries):
            if stored[n * HASH_BYTES : (n + 1) * HASH_BYTES] != merkle.leaf_hash(entry):
                return n
        return len(entries)

    def blame(self, tile: Tile, stored: bytes, right: bytes, what: str) -> None:
        """Say which hashes of a tile are wrong, by the first entry each stands for."""
        for at in _differences(stored, right):
            self.say(tile.name, tile.index * WIDTH + at << 8 * tile.level, f"hash {at} {what}")

    def blame_below(self, tile: Tile, stored: bytes, computed: bytes) -> None:
        """Say what below a confirmed tile does not lead to it: entries, or whole tiles.

        A child tile that agrees with the entries below it was let pass when it was met; here
        is where a forger who rewrote both is found.
        """
        for at in _differences(stored, computed):
            child = tile.index * WIDTH + at
            if tile.level == 0:
                bundle = Tile(ENTRIES, tile.index, tile.width)
                self.say(bundle.name, child, "the entry is not the logged one")
            else:
                self.say(
                    Tile(tile.level - 1, child).name,
                    child << 8 * tile.level,
                    f"neither it nor what is below it leads to {tile.name}",
                )

    def check_edge(self) -> None:
        """See that the partial tiles lead to the signed root, and who lies where not."""
        if not self.size:
            if self.root != merkle.EMPTY_ROOT:
                self.say(CHECKPOINT, None, "the root of an empty log is not that of no entries")
            return
        edge = [
            Tile(level, *divmod(self.size >> 8 * level, WIDTH)) for level in range(len(self.levels))
        ]
        stored = [self.hashes(tile) if tile.width else b"" for tile in edge]
        computed = [level.computed for level in self.levels]
        choices = [
            [below] if held is None or held == below else [below, held]
            for held, below in zip(stored, computed, strict=True)
        ]
        for chosen in product(*choices):
            if Edge(self.size, chosen).root() == self.root:
                break
        else:
            self.say(
                CHECKPOINT, None, "no combination of the stored tiles leads to the signed root"
            )
            chosen = tuple(computed)
        for tile, held, below, right in zip(edge, stored, computed, chosen, strict=True):
            if held is not None and held != right:
                self.blame(tile, held, right, "is not the hash of what is below it")
            elif held is not None and below != right:
                self.blame_below(tile, held, below)

    def check_older_partials(self) -> None:
        """See that every partial tile of an older checkpoint begins what stands there now.

        Files beyond the checkpoint are no part of this log: an append in progress, or its litter.
        """
        for name in self.store.names():
            tile = Tile.parse(name)
            if tile is None or tile.width == WIDTH:
                continue
            now = Tile.of(tile.level, tile.index, self.size)
            if tile.width >= now.width:
                continue
            older, newer = self.store.read(name), tiles.read(self.store, now)
            if older is None or newer is None or now.name in self.faulty:
                continue
            if tile.level == ENTRIES:
                newer = tiles.pack(tiles.unpack(newer)[: tile.width])
            beginning = newer[: len(newer) if tile.level == ENTRIES else tile.width * HASH_BYTES]
            if older != beginning:
                at = next(
                    (
                        n
                        for n, pair in enumerate(zip(older, beginning, strict=False))
                        if pair[0] != pair[1]
                    ),
                    min(len(older), len(beginning)),
                )
                self.say(name, None, f"byte {at}: is not the beginning of {now.name}")


def _leaf_hashes(bundle: bytes) -> Hashes:
    """Concatenated leaf hashes of a bundle, None where its last entry is torn."""
    step = OUR_ENTRY_BYTES + 2
    count, rest = divmod(len(bundle), step)
    if not rest and bundle[::step] == bytes(count) and bundle[1::step] == b"\x20" * count:
        return b"".join(
            [
                sha256(b"\x00" + bundle[at : at + OUR_ENTRY_BYTES]).digest()
                for at in range(2, len(bundle), step)
            ]
        )
    entries = tiles.unpack(bundle)
    if len(tiles.pack(entries)) != len(bundle):
        return None
    return merkle.leaf_hashes(entries)


def _differences(one: bytes, other: bytes) -> Iterator[int]:
    for at in range(0, max(len(one), len(other)), HASH_BYTES):
        if one[at : at + HASH_BYTES] != other[at : at + HASH_BYTES]:
            yield at // HASH_BYTES

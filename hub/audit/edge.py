"""The right edge of a growing tree: all that appending needs, a few kilobytes at any size.

An append touches the partial tiles of the edge and nothing else, so that its cost does not grow
with the log, and opening a log reads the edge only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hub.audit import merkle, tiles
from hub.audit.merkle import HASH_BYTES
from hub.audit.tiles import ENTRIES, WIDTH, Reader, Tile, Tree

TILE_BYTES: Final = WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of a tree of `size` entries.

    `levels[l]` holds the hashes of the partial tile at level l (fewer than 256, maybe none),
    `entries` those of the partial bundle.
    """

    size: int = 0
    levels: tuple[bytes, ...] = ()
    entries: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, reader: Reader, size: int) -> Edge:
        """Read the edge of a tree of `size` entries. Raises `Unavailable` where a file lacks."""
        tree = Tree(reader, size)
        levels: list[bytes] = []
        while size >> 8 * len(levels):
            index, width = divmod(size >> 8 * len(levels), WIDTH)
            levels.append(tree.hashes(len(levels), index) if width else b"")
        index, width = divmod(size, WIDTH)
        return cls(size, tuple(levels), tuple(tree.entries(index)) if width else ())

    def root(self) -> bytes:
        """The tree's root: its perfect subtrees, folded from the smallest, at the right."""
        folded: bytes | None = None
        for hashes in self.levels:
            for subtree in _subtrees(hashes):
                folded = subtree if folded is None else merkle.node_hash(subtree, folded)
        return merkle.EMPTY_ROOT if folded is None else folded

    def append(self, entries: Sequence[bytes]) -> tuple[Edge, dict[str, bytes]]:
        """The edge after these entries, and the files that differ, by name."""
        files: dict[str, bytes] = {}
        size = self.size + len(entries)
        bundles = [*self.entries, *entries]
        first = self.size // WIDTH
        for at in range(0, len(bundles), WIDTH):
            bundle = bundles[at : at + WIDTH]
            files[Tile(ENTRIES, first + at // WIDTH, len(bundle)).name] = tiles.pack(bundle)
        levels = list(self.levels)
        rising, level = merkle.leaf_hashes(entries), 0
        while rising:
            if level == len(levels):
                levels.append(b"")
            hashes, rising = levels[level] + rising, b""
            first = self.size >> 8 * (level + 1)
            for at in range(0, len(hashes), TILE_BYTES):
                tile = hashes[at : at + TILE_BYTES]
                width = len(tile) // HASH_BYTES
                files[Tile(level, first + at // TILE_BYTES, width).name] = tile
                if width == WIDTH:
                    rising += merkle.perfect_root(tile)
            levels[level] = hashes[len(hashes) - len(hashes) % TILE_BYTES :]
            level += 1
        rest = tuple(bundles[len(bundles) - len(bundles) % WIDTH :])
        return Edge(size, tuple(levels), rest), files

    def tiles(self) -> Iterator[Tile]:
        """The tiles and the bundle being filled, at their present width (0 where just begun)."""
        yield Tile(ENTRIES, self.size // WIDTH, self.size % WIDTH)
        for level in range(len(self.levels) + 1):
            index, width = divmod(self.size >> 8 * level, WIDTH)
            yield Tile(level, index, width)


def _subtrees(hashes: bytes) -> Iterator[bytes]:
    """Roots of the perfect subtrees of a partial tile, the smallest (at the right) first."""
    end, width = len(hashes), 1
    while end:
        if end // HASH_BYTES & width:
            yield _perfect(hashes[end - width * HASH_BYTES : end])
            end -= width * HASH_BYTES
        width *= 2


@lru_cache(maxsize=64)
def _perfect(hashes: bytes) -> bytes:
    """Kept: from one append to the next, only the smallest subtrees change."""
    return merkle.perfect_root(hashes)

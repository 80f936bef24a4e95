"""C2SP tlog-tiles (c2sp.org/tlog-tiles): the tree as plain files any web server can host.

    checkpoint                     the signed head
    checkpoint.witnessed           the last one that a witness cosigned (ours, not C2SP's)
    keys                           which key followed which (ours; see `keys`)
    tile/<L>/<N>[.p/<W>]           256 (or W < 256) hashes, at 8·L levels above the leaves
    tile/entries/<N>[.p/<W>]       the entries, each behind its length (big-endian uint16)

A partial tile exists for each published tree size until its full tile does. `Tree` computes any
proof from O(log n) of these files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hub.audit import merkle
from hub.audit.merkle import HASH_BYTES
from hub.errors import Unavailable

WIDTH: Final = 256
CHECKPOINT: Final = "checkpoint"
WITNESSED: Final = "checkpoint.witnessed"
KEYS: Final = "keys"
ENTRIES: Final = -1
"""The "level" of entry bundles, in the places where they are handled beside tiles."""

MAX_ENTRY_BYTES: Final = 0xFFFF
_NAME: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class Reader(Protocol):
    """Whatever can read the files of a log by name."""

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None where there is none. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile or bundle is: level (`ENTRIES` for a bundle), index, and width (1…256)."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def name(self) -> str:
        """Its file's name."""
        return self.full_name + (f".p/{self.width}" if self.width < WIDTH else "")

    @property
    def full_name(self) -> str:
        """The name it has, or will have once full."""
        rest, path = self.index // 1000, f"{self.index % 1000:03}"
        while rest:
            rest, path = rest // 1000, f"x{rest % 1000:03}/{path}"
        return f"tile/{'entries' if self.level == ENTRIES else self.level}/{path}"

    @classmethod
    def parse(cls, name: str) -> Tile | None:
        """The tile a file name means, None where it is not the one spelling of a tile's name."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        tile = cls(level, index, int(match["width"] or WIDTH))
        return tile if tile.name == name and level < 64 else None

    @classmethod
    def of(cls, level: int, index: int, size: int) -> Tile:
        """The tile as it stands in a tree of `size` entries; width 0 where it does not exist."""
        wide = size >> 8 * max(level, 0)
        return cls(level, index, max(0, min(WIDTH, wide - index * WIDTH)))


def is_name(name: str) -> bool:
    """Whether a log has files of that name: nothing else is read, written or served."""
    return name in {CHECKPOINT, WITNESSED, KEYS} or Tile.parse(name) is not None


def pack(entries: Sequence[bytes]) -> bytes:
    """An entry bundle, or the end of one."""
    if len({len(entry) for entry in entries}) == 1:
        length = len(entries[0]).to_bytes(2, "big")
        return length + length.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def unpack(bundle: bytes) -> list[bytes]:
    """The entries of a bundle, up to the first that is torn (a caller counts them)."""
    entries: list[bytes] = []
    at = 0
    while at + 2 <= len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle):
            break
        entries.append(bundle[at + 2 : end])
        at = end
    return entries


def read(reader: Reader, tile: Tile) -> bytes | None:
    """A tile's bytes, from the full one where the partial has been tidied away since."""
    data = reader.read(tile.name)
    if data is not None or tile.width == WIDTH:
        return data
    full = reader.read(tile.full_name)
    if full is None:
        return None
    if tile.level == ENTRIES:
        return pack(unpack(full)[: tile.width])
    return full[: tile.width * HASH_BYTES]


class Tree:
    """A tree of `size` entries, read from its tiles; believed only once its root is checked."""

    def __init__(self, reader: Reader, size: int) -> None:
        self.size = size
        self._reader = reader
        self._tiles: dict[tuple[int, int], bytes] = {}

    def hashes(self, level: int, index: int) -> bytes:
        """A tile's concatenated hashes. Raises `Unavailable` where it is missing or torn."""
        held = self._tiles.get((level, index))
        if held is None:
            tile = Tile.of(level, index, self.size)
            held = read(self._reader, tile)
            if held is None or len(held) != tile.width * HASH_BYTES:
                raise _damaged(tile.name)
            self._tiles[level, index] = held
        return held

    def entries(self, index: int) -> list[bytes]:
        """The entries of bundle `index`. Raises `Unavailable` where it is missing or torn."""
        tile = Tile.of(ENTRIES, index, self.size)
        bundle = read(self._reader, tile)
        entries = unpack(bundle) if bundle is not None else []
        if bundle is None or len(entries) != tile.width or len(pack(entries)) != len(bundle):
            raise _damaged(tile.name)
        return entries

    def over(self, start: int, end: int) -> bytes:
        """Merkle Tree Hash of entries start to end (end not included)."""
        width = end - start
        if width & width - 1 == 0 and start % width == 0:
            level = (width.bit_length() - 1) // 8
            at, count = start >> 8 * level, width >> 8 * level
            hashes = self.hashes(level, at // WIDTH)
            at = at % WIDTH * HASH_BYTES
            return merkle.perfect_root(hashes[at : at + count * HASH_BYTES])
        middle = start + merkle.split(width)
        return merkle.node_hash(self.over(start, middle), self.over(middle, end))

    def root(self) -> bytes:
        """The tree's root, from its right edge."""
        return self.root_at(self.size)

    def root_at(self, size: int) -> bytes:
        """The root this tree had at `size` entries, from tiles it has now."""
        return self.over(0, size) if size else merkle.EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """Proof that entry `index` is in this tree."""
        return merkle.inclusion(index, self.size, self.over)

    def consistency(self, old: int) -> list[bytes]:
        """Proof that this tree extends the one of `old` entries."""
        return merkle.consistency(old, self.size, self.over)


def _damaged(name: str) -> Unavailable:
    return Unavailable(
        "log-damaged",
        fr=f"Le fichier {name} du journal manque ou est tronqué : lancez « hub audit verify ».",
        en=f"The log's file {name} is missing or truncated: run `hub audit verify`.",
        who="operator",
        where=name,
    )

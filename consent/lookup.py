"""Finding values among many known ones, chunk after chunk.

Arrow's own look-up hashes all that is known anew at each call, which for 200,000 people costs more
than the chunk does. Here the hashes are kept in a table, and what stands where a hash leads is
compared with what is sought, word by word. Were many values to lead to one place, as they do where
somebody means them to, Arrow looks all values up from then on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

UNKNOWN: Final = -1
_STEPS: Final = 64
"""Places passed on the way to a value; with four times as many as values it is hardly ever one."""
_WIDTH: Final = 128
"""Bytes up to which values are compared word by word; references of partners are shorter."""
_WORD: Final = 8
_END: Final = b"\1"
_ODD: Final = 0x9E3779B97F4A7C15
_FACTORS: Final = [np.uint64(pow(_ODD, 2 * n + 1, 1 << 64)) for n in range(_WIDTH // _WORD + 1)]
_HALF: Final = np.uint64(32)


class Lookup:
    """Values known, texts or bytes, each at its place from 0 on.

    Of `keyed` values, HMACs of 32 bytes, the first 64 bits are as good as a hash of them.
    """

    def __init__(self, values: pa.Array, *, keyed: bool = False) -> None:
        self._keyed = keyed
        self._parts: list[pa.Array] = []
        self._count = 0
        self._words: Words = np.empty((0, 1), np.uint64)  # of a value side by side
        self._hashes: Words = np.empty(0, np.uint64)
        self._exact = False
        self._clear(0)
        self.add(values)

    def __len__(self) -> int:
        return self._count

    def add(self, values: pa.Array) -> None:
        """Know more values; the others keep their places."""
        known, self._count = self._count, self._count + len(values)
        self._parts.append(values)
        words = None if self._exact else _worded(values)
        if words is None:
            self._exact = True
            return
        lines = max(self._words.shape[1], len(words))
        both = [
            np.pad(some, ((0, 0), (0, lines - some.shape[1]))) for some in (self._words, words.T)
        ]
        self._words = np.concatenate(both)
        self._hashes = np.concatenate([self._hashes, self._hash(words)])
        if 4 * self._count > len(self._table):
            self._clear(self._count)
            known = 0
        self._exact = not self._entered(np.arange(known, self._count, dtype=np.int32))

    def places(self, values: pa.Array) -> Places:
        """The place of each value, the first of equals; `UNKNOWN` where it is not known."""
        found = None if self._exact else self._found(values)
        if found is None:
            self._exact = True
            return self._looked_up(values)
        return found

    def _looked_up(self, values: pa.Array) -> Places:
        """`places` as Arrow finds them."""
        self._parts = [pa.concat_arrays(self._parts)]
        exact = pc.fill_null(pc.index_in(values, value_set=self._parts[0]), UNKNOWN)
        return np.array(exact.to_numpy(), np.int32)

    def _clear(self, count: int) -> None:
        """A table of places by the leading bits of hashes, for so many; nobody is in it yet."""
        bits = max(4 * count, 1).bit_length()
        self._table: Places = np.full((1 << bits) + _STEPS, UNKNOWN, np.int32)
        self._shift = np.uint64(64 - bits)

    def _entered(self, places: Places) -> bool:
        """Enter these in the table, each where its hash leads or next to it; whether they were."""
        at = self._led(self._hashes[places])
        for _ in range(_STEPS):
            if not len(places):
                return True
            free = self._table[at] == UNKNOWN
            # Of several for one place the last that is written stays: the first of equals.
            self._table[at[free][::-1]] = places[free][::-1]
            passed = self._table[at] != places
            places, at = places[passed], at[passed] + 1
        return False

    def _found(self, values: pa.Array) -> Places | None:
        """The place of each value; None where that cannot be told from the table."""
        if not len(self):
            return np.full(len(values), UNKNOWN, np.int32)
        words = _worded(values)
        if words is None:
            return None
        at = self._led(self._hash(words))
        places = self._table.take(at)
        # All at once: in pieces that fit the caches each step is a turn of the interpreter more.
        left = further = np.flatnonzero((places != UNKNOWN) & ~self._are(places, words))
        places[left] = UNKNOWN
        for _ in range(_STEPS):
            if not len(left):
                return places
            at, words = at.take(further) + 1, words.take(further, axis=1)
            there = self._table.take(at)
            same = self._are(there, words)
            places[left[same]] = there[same]
            further = np.flatnonzero((there != UNKNOWN) & ~same)
            left = left.take(further)
        return None

    def _are(self, places: Places, words: Words) -> npt.NDArray[np.bool_]:
        """Whether what is known at these places is what is sought; anything where none is."""
        there = self._words.take(places, axis=0)
        same: npt.NDArray[np.bool_] = there[:, 0] == words[0]
        for line in range(1, min(len(words), there.shape[1])):
            same &= there[:, line] == words[line]
        return same

    def _led(self, hashes: Words) -> npt.NDArray[np.int64]:
        """Where in the table hashes lead."""
        return (hashes >> self._shift).view(np.int64)

    def _hash(self, words: Words) -> Words:
        """64 bits of each value."""
        first: Words = words[0]
        if self._keyed:
            return first
        made: Words = first * _FACTORS[0]
        for word, factor in zip(words[1:], _FACTORS[1:], strict=False):
            made += word * factor  # lines of zeros, as the longest fills them up, add nothing
        made ^= made >> _HALF
        made *= _FACTORS[0]  # the leading bits are those by which values are found
        return made


def _worded(values: pa.Array) -> Words | None:
    """Each value's words, line by line: its bytes, a byte that ends it, and zeros; null has no end.

    So two values that are the same in the lines that both have are the same. None where values are
    longer than what is compared so.
    """
    values = values.cast(pa.binary())
    lengths = np.asarray(pc.fill_null(pc.binary_length(values), 0), np.int32)
    longest = int(lengths.max(initial=0))
    if longest > _WIDTH:
        return None
    width = (longest // _WORD + 1) * _WORD
    if longest >= _WORD and not values.null_count and int(lengths.min()) == longest:
        words = _sides(values, longest, width)
        words[-1] |= np.uint64(1 << 8 * (longest % _WORD))
        return words
    ended = pc.fill_null(pc.binary_join_element_wise(values, _END, b""), b"")
    padded = pc.ascii_rpad(ended.view(pa.string()), width, "\0").view(pa.binary())
    return _sides(padded, width, width)


def _sides(values: pa.Array, length: int, width: int) -> Words:
    """The words of values of one length, of a word at least, filled up with zeros to a width."""
    words = np.empty((width // _WORD, len(values)), np.uint64)
    words[-1] = 0  # where values fill the words before it, nothing else does
    if len(values):
        _, offsets, data = values.buffers()
        start = int(np.frombuffer(offsets, np.int32)[values.offset])
        for line, at in enumerate(range(0, length, _WORD)):
            # The last one may begin in the one before it, which is then shifted out.
            read = min(at, length - _WORD)
            side = np.ndarray(len(values), "<u8", data, start + read, (length,))
            np.right_shift(side, np.uint64(8 * (at - read)), out=words[line])
    return words

"""Finding values among many known ones, chunk after chunk.

Arrow's own look-up hashes all that is known anew at each call, which for 200,000 people costs more
than the chunk does. Here the hashes are kept in a table, and what stands where a hash leads is
compared with what is sought, word by word. Were many values to lead to one place, as they do where
somebody means them to, Arrow looks all values up from then on.

What is computed on the way stands in arrays that are used again: the kernel clears the memory of
new ones, page by page, which costs as much as what is computed.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

UNKNOWN: Final = -1
_STEPS: Final = 64
"""Places passed on the way to a value, at most."""
_ROOM: Final = 3
"""Places in the table for each value, at least: so many that hardly any is passed."""
_WIDTH: Final = 128
"""Bytes up to which values are compared word by word; references of partners are shorter."""
_WORD: Final = 8
_END: Final = b"\1"
_ODD: Final = 0x9E3779B97F4A7C15
_FACTORS: Final = [np.uint64(pow(_ODD, 2 * n + 1, 1 << 64)) for n in range(_WIDTH // _WORD + 1)]
_HALF: Final = np.uint64(32)


class _Spare:
    """Arrays for what is computed on the way: who asks for one again gets the same memory."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def lent(self, name: str, type_: npt.DTypeLike, *shape: int) -> npt.NDArray[Any]:
        """An array of this shape, its values whatever they last were."""
        size = math.prod(shape)
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.empty(size, type_)
        return self._arrays[name][:size].reshape(shape)


class Lookup:
    """Values known, texts or bytes, each at its place from 0 on. Safe for threads: one at a time.

    Of `keyed` values, HMACs of 32 bytes, the first 64 bits are as good as a hash of them.
    """

    def __init__(self, values: pa.Array, *, keyed: bool = False) -> None:
        self._keyed = keyed
        self._lock = threading.Lock()
        self._spare = _Spare()
        self._parts = [values]
        self._count = len(values)
        self._words: Words = np.empty((0, 1), np.uint64)  # of a value side by side; room for more
        self._clear(len(values))
        words = self._worded(values)
        self._exact = words is None or self._entered(words, self._hash(words), 0) is None
        if words is not None:
            self._keep(0, words)

    def __len__(self) -> int:
        return self._count

    def places(self, values: pa.Array) -> Places:
        """The place of each value, the first of equals; `UNKNOWN` where it is not known."""
        with self._lock:
            if not len(self):
                return np.full(len(values), UNKNOWN, np.int32)
            words = None if self._exact else self._worded(values)
            found = None if words is None else self._found(words, self._hash(words))
            self._exact = found is None
            return self._looked_up(values) if found is None else found

    def learn(self, values: pa.Array) -> tuple[Places, pa.Array]:
        """The place of each value, and those that were not known: they are from now on.

        They come after all others, each once, in the order they are met in.
        """
        with self._lock:
            words = None if self._exact else self._worded(values)
            found = None if words is None else self._learned(words, self._hash(words))
            self._exact = found is None
            if found is None:
                places = self._looked_up(values)
                new = places == UNKNOWN
                encoded = pc.dictionary_encode(values.filter(pa.array(new)), null_encoding="encode")
                places[new], fresh = encoded.indices.to_numpy() + len(self), encoded.dictionary
            else:
                places, first = found
                fresh = values.take(pa.array(first))
            self._parts.append(fresh)
            self._count += len(fresh)
            return places, fresh

    def _looked_up(self, values: pa.Array) -> Places:
        """`places` as Arrow finds them."""
        self._parts = [pa.concat_arrays(self._parts)]
        exact = pc.fill_null(pc.index_in(values, value_set=self._parts[0]), UNKNOWN)
        return np.array(exact.to_numpy(), np.int32)

    def _clear(self, count: int) -> None:
        """A table of places by the leading bits of hashes, for so many; nobody is in it yet."""
        bits = max(_ROOM * count, 1).bit_length()
        self._table: Places = np.full((1 << bits) + _STEPS, UNKNOWN, np.int32)
        self._shift = np.uint64(64 - bits)

    def _keep(self, before: int, words: Words) -> None:
        """Keep the words of the values after those `before`, which are in the table."""
        lines, count = words.shape
        self._words = _with_room(self._words, before + count, lines)
        self._words[before : before + count, :lines] = words.T

    def _entered(self, words: Words, hashes: Words, before: int) -> tuple[Places, Indices] | None:
        """Enter these, at places from `before` on, where their hashes lead or next to it.

        Which of them is the first that equals each, and where in the table that one stands. None
        where too many lead to one place.
        """
        first, at_last = np.empty(len(hashes), np.int32), np.empty(len(hashes), np.intp)
        left, at = np.arange(len(hashes), dtype=np.int32), self._led(hashes)
        for _ in range(_STEPS):
            if not len(left):
                return first, at_last
            free = self._table.take(at) == UNKNOWN
            # Of several for one place the last that is written stays: the first of equals.
            self._table[at[free][::-1]] = left[free][::-1] + np.int32(before)
            there = self._table.take(at) - np.int32(before)
            same = there >= 0
            for line in words:
                same &= line.take(there, mode="clip") == line.take(left)
            first[left[same]], at_last[left[same]] = there[same], at[same]
            left, at = left[~same], at[~same] + 1
        return None

    def _learned(self, words: Words, hashes: Words) -> tuple[Places, Indices] | None:
        """The place of each value, and which are the first of those that were not known."""
        places = self._found(words, hashes)
        if places is None:
            return None
        new = np.flatnonzero(places == UNKNOWN)
        words, hashes, known = words.take(new, axis=1), hashes.take(new), len(self)
        if _ROOM * (known + len(new)) > len(self._table):
            self._clear(known + len(new))
            before = self._words[:known].T
            if self._entered(before, self._hash(before), 0) is None:
                return None
        entered = self._entered(words, hashes, known)
        if entered is None:
            return None
        first, at = entered
        fresh = np.flatnonzero(first == np.arange(len(new), dtype=np.int32))
        numbers = np.empty(len(new), np.int32)
        numbers[fresh] = np.arange(known, known + len(fresh))
        self._table[at[fresh]] = numbers[fresh]
        self._keep(known, words.take(fresh, axis=1))
        places[new] = numbers.take(first)
        return places, new[fresh]

    def _found(self, words: Words, hashes: Words) -> Places | None:
        """The place of each value; None where that cannot be told from the table."""
        places = np.full(len(hashes), UNKNOWN, np.int32)
        if not len(self):
            return places
        at = self._led(hashes)
        # All at once: in pieces that fit the caches each step is a turn of the interpreter more.
        self._table.take(at, out=places, mode="clip")
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
        """Whether what is known at these places is what is sought; anything where none is.

        Valid until the next is asked for.
        """
        count, lines = len(places), self._words.shape[1]
        at = self._spare.lent("places", np.intp, count)
        at[:] = places
        there = self._spare.lent("there", np.uint64, count, lines)
        self._words.take(at, axis=0, out=there, mode="clip")
        same, equal = (self._spare.lent(name, bool, count) for name in ("same", "equal"))
        np.equal(there[:, 0], words[0], out=same)
        for line in range(1, min(len(words), lines)):
            same &= np.equal(there[:, line], words[line], out=equal)
        return same

    def _led(self, hashes: Words) -> npt.NDArray[np.int64]:
        """Where in the table hashes lead."""
        led: Words = self._spare.lent("led", np.uint64, len(hashes))
        np.right_shift(hashes, self._shift, out=led)
        return led.view(np.int64)

    def _hash(self, words: Words) -> Words:
        """64 bits of each value."""
        if self._keyed:
            first: Words = words[0]
            return first
        made: Words = self._spare.lent("made", np.uint64, words.shape[1])
        part: Words = self._spare.lent("part", np.uint64, words.shape[1])
        np.multiply(words[0], _FACTORS[0], out=made)
        for word, factor in zip(words[1:], _FACTORS[1:], strict=False):
            # Lines of zeros, as the longest value fills them up, add nothing.
            made += np.multiply(word, factor, out=part)
        made ^= np.right_shift(made, _HALF, out=part)
        made *= _FACTORS[0]  # the leading bits are those by which values are found
        return made

    def _worded(self, values: pa.Array) -> Words | None:
        """Each value's words, line by line: its bytes, a byte that ends it, and zeros.

        Null has no end. So two values that are the same in the lines that both have are the same.
        None where values are longer than what is compared so.
        """
        values = values.cast(pa.binary())
        bounds = pc.min_max(pc.fill_null(pc.binary_length(values), 0)).as_py()
        shortest, longest = bounds["min"] or 0, bounds["max"] or 0
        if longest > _WIDTH:
            return None
        lines = longest // _WORD + 1
        words = self._spare.lent("words", np.uint64, lines, len(values))
        if longest >= _WORD and not values.null_count and shortest == longest:
            words[-1] = 0  # where values fill the words before it, nothing else does
            _laid_side_by_side(values, longest, words)
            words[-1] |= np.uint64(1 << 8 * (longest % _WORD))
            return words
        ended = pc.fill_null(pc.binary_join_element_wise(values, _END, b""), b"")
        padded = pc.ascii_rpad(ended.view(pa.string()), lines * _WORD, "\0").view(pa.binary())
        _laid_side_by_side(padded, lines * _WORD, words)
        return words


def _laid_side_by_side(values: pa.Array, length: int, words: Words) -> None:
    """Lay out the words of values of one length, of a word at least, line by line."""
    if not len(values):
        return
    _, offsets, data = values.buffers()
    start = int(np.frombuffer(offsets, np.int32)[values.offset])
    for line, at in enumerate(range(0, length, _WORD)):
        # The last one may begin in the one before it, which is then shifted out.
        read = min(at, length - _WORD)
        words[line] = np.ndarray(len(values), "<u8", data, start + read, (length,))
        if at > read:
            words[line] >>= np.uint64(8 * (at - read))


def _with_room(array: Words, rows: int, width: int) -> Words:
    """The array, or where it is too small a larger one with what it holds, and zeros."""
    if rows <= array.shape[0] and width <= array.shape[1]:
        return array
    more = np.zeros((max(rows, 2 * array.shape[0]), max(width, array.shape[1])), np.uint64)
    more[: array.shape[0], : array.shape[1]] = array
    return more

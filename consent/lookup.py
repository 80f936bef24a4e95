"""Finding values among many known ones, chunk after chunk.

Arrow's own look-up hashes all that is known anew at each call, which for 200,000 people costs more
than the chunk does. Here the hashes are kept, in order. That two values share a hash is not ruled
out, so what was found is compared with what was sought; were two ever to meet, or many to come
close, as they do where somebody means them to, Arrow looks all values up from then on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consent.pseudonyms import DIGEST_BYTES

Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

UNKNOWN: Final = -1
_LAST: Final = np.uint64(2**64 - 1)
_STEPS: Final = 64
"""Hashes passed on the way to one; with twice as many places as values it is one or two."""
_WIDTH: Final = 64
"""Leading bytes a hash is made of, whole words; references of partners are shorter."""
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)


class Lookup:
    """Values known, texts or bytes, each at its place from 0 on.

    Of `keyed` values, HMACs of 32 bytes, the first 64 bits are as good as a hash of them.
    """

    def __init__(self, values: pa.Array, *, keyed: bool = False) -> None:
        self._keyed = keyed
        self._values = values.slice(0, 0)
        # In the order of the hashes; after the last a greater one that is nobody's.
        self._hashes: Hashes = np.array([_LAST])
        self._places: Places = np.array([UNKNOWN])
        self._exact = False
        self.add(values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, values: pa.Array) -> None:
        """Know more values; the others keep their places."""
        hashes = self._hash(values)
        order = np.argsort(hashes)
        hashes = hashes[order]
        at = np.searchsorted(self._hashes, hashes)
        self._places = np.insert(self._places, at, order + len(self._values))
        self._hashes = np.insert(self._hashes, at, hashes)
        self._values = pa.concat_arrays([self._values, values])
        self._exact = self._exact or bool((self._hashes[1:] == self._hashes[:-1]).any())
        # Where in order the hashes begin that share their leading bits: hardly ever two of them.
        bits = len(self._hashes).bit_length() + 1
        self._shift = np.uint64(64 - bits)
        shared = np.bincount((self._hashes >> self._shift).astype(np.int64), minlength=1 << bits)
        self._begin = np.concatenate([[0], np.cumsum(shared[:-1])]).astype(np.int32)

    def places(self, values: pa.Array) -> Places:
        """The place of each value, the first of equals; `UNKNOWN` where it is not known."""
        if not (self._exact or values.null_count):
            places = self._probable(values)
            if places is not None and self._are(values, places):
                return places
            self._exact = True
        exact = pc.fill_null(pc.index_in(values, value_set=self._values), UNKNOWN)
        return np.array(exact.to_numpy(), np.int64)

    def _are(self, values: pa.Array, places: Places) -> bool:
        """Whether those that were found are what was sought."""
        found = places != UNKNOWN
        if not found.all():
            values, places = values.filter(pa.array(found)), places[found]
        return bool(self._values.take(pa.array(places)).equals(values))

    def _probable(self, values: pa.Array) -> Places | None:
        """The place of a value of the same hash; None where too many are too close to tell."""
        hashes = self._hash(values)
        at = self._begin.take((hashes >> self._shift).view(np.int64))
        there = self._hashes.take(at)
        places = self._places.take(at)
        places[there != hashes] = UNKNOWN
        left = np.flatnonzero(there < hashes)
        at, hashes = at[left], hashes[left]
        for _ in range(_STEPS):
            if not len(left):
                return places
            at += 1
            there = self._hashes[at]
            places[left] = np.where(there == hashes, self._places[at], UNKNOWN)
            further = there < hashes
            left, at, hashes = left[further], at[further], hashes[further]
        return None

    def _hash(self, values: pa.Array) -> Hashes:
        """64 bits of each value."""
        return _leading(values) if self._keyed else _hashed(values)


def _leading(values: pa.Array) -> Hashes:
    """The first 64 bits of each HMAC; none where it is none."""
    whole = pc.fill_null(pc.equal(pc.binary_length(values), DIGEST_BYTES), False)
    return _words(pc.if_else(whole, values, bytes(DIGEST_BYTES)), DIGEST_BYTES)[:, 0].copy()


def _hashed(values: pa.Array) -> Hashes:
    """A number of each value's length and leading bytes, word by word."""
    made = np.asarray(pc.fill_null(pc.binary_length(values), 0), np.uint64)
    longest = int(made.max(initial=1))
    width = min(-(-longest // 8) * 8, _WIDTH)
    values = pc.fill_null(values.view(pa.binary()), b"")
    if longest > width:
        values = pc.binary_slice(values, 0, width)
    padded = pc.ascii_rpad(values.view(pa.string()), width, "\0").view(pa.binary())
    for word in _words(padded, width).T:
        made = (made ^ word) * _ODD
        made ^= made >> _HALF
    return made * _ODD  # the leading bits are those by which values are found


def _words(values: pa.Array, width: int) -> Hashes:
    """Values of one width as rows of words of 64 bits."""
    fixed = values.cast(pa.binary(width))
    words = np.frombuffer(fixed.buffers()[1] or b"", np.uint64)
    each = width // 8
    return words[fixed.offset * each :][: len(fixed) * each].reshape(-1, each)

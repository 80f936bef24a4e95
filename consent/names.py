"""The pseudonyms of a push's people in a period, made once for each.

A push numbers its people (`consent.remembered`), so that nobody is looked up here: a number leads
to the bucket, and to the place among the bucket's pseudonyms, which is what rows are stored by.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consent.lookup import UNKNOWN, Places
from consent.pseudonyms import BUCKETS, PSEUDONYM_BYTES, buckets, pseudonyms
from consent.remembered import MOST

Buckets = npt.NDArray[np.uint8]

_WIDE: Final = pa.binary(PSEUDONYM_BYTES)
"""Values of one width are taken four times as quickly as others."""


class Names:
    """Pseudonyms under the key of a purpose and period."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._clear(0)

    def _clear(self, first: int) -> None:
        """Know nobody; the next numbers are from `first` on."""
        self._first = first
        # Bucket and place in one value, by number from `_first` on.
        self._where: Places = np.empty(0, np.int32)
        self._names = [pa.array([], _WIDE)] * BUCKETS

    def places(self, persons: Places, before: int, digests: pa.Array) -> tuple[Buckets, Places]:
        """The bucket of each of these people, and the place among its pseudonyms.

        `persons` are places in `digests`; `before` and that place together are a person's number.
        People who come together have numbers close to each other.
        """
        if len(persons):
            self._reach(before + int(persons.min()), before + int(persons.max()) + 1)
        at = persons + np.int32(before - self._first)
        where = self._where.take(at)
        if (where == UNKNOWN).any():
            self._learn(at, before, digests)
            where = self._where.take(at)
        return (where % BUCKETS).astype(np.uint8), where // BUCKETS

    def taken(self, buckets: Buckets, places: Places) -> Iterator[pa.Array]:
        """The pseudonyms at these places of these buckets, which are in order: an array of each."""
        for bucket, start, end in _runs(buckets):
            yield self._names[bucket].take(pa.array(places[start:end])).cast(pa.binary())

    def _reach(self, low: int, end: int) -> None:
        """Have room for numbers from `low` to before `end`."""
        if low < self._first or end - self._first > 2 * MOST:
            self._clear(low)
        more = end - self._first - len(self._where)
        if more > 0:
            self._where = np.concatenate([self._where, np.full(more, UNKNOWN, np.int32)])

    def _learn(self, at: Places, before: int, digests: pa.Array) -> None:
        """Make the pseudonyms of those who have none."""
        here = np.zeros(len(self._where), bool)
        here[at] = True
        fresh = np.flatnonzero(here & (self._where == UNKNOWN))
        made = pseudonyms(self._key, digests.take(pa.array(fresh + (self._first - before))))
        theirs = buckets(made).to_numpy().astype(np.uint8)
        order = np.argsort(theirs, kind="stable")
        made, fresh, theirs = made.cast(_WIDE).take(pa.array(order)), fresh[order], theirs[order]
        for bucket, start, end in _runs(theirs):
            known = self._names[bucket]
            self._names[bucket] = pa.concat_arrays([known, made.slice(start, end - start)])
            places = np.arange(len(known), len(known) + end - start)
            self._where[fresh[start:end]] = places * BUCKETS + bucket


def _runs(buckets: Buckets) -> Iterator[tuple[int, int, int]]:
    """Each bucket there is of some in order, where it starts and where it ends."""
    ends = np.cumsum(np.bincount(buckets, minlength=BUCKETS)).tolist()
    for bucket, (start, end) in enumerate(pairwise([0, *ends])):
        if end > start:
            yield bucket, start, end

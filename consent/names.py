"""The pseudonyms of a push's people in a period, made once for each.

A push numbers its people (`consent.remembered`), so that nobody is looked up here: a number leads
to the bucket, and to the place among the bucket's pseudonyms, which is what rows are stored by.
Whom the gate refused has neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consent.lookup import UNKNOWN, Places
from consent.pseudonyms import BUCKETS, PSEUDONYM_BYTES, buckets, pseudonyms, side_by_side
from consent.remembered import MOST

_WIDE: Final = pa.binary(PSEUDONYM_BYTES)
"""Values of one width are taken four times as quickly as others."""
_ALL: Final = 2 * BUCKETS
"""Buckets of pseudonyms, and after them as many of those who are refused."""
_BITS: Final = _ALL.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Named:
    """Rows in the order they are stored in, and under which names.

    `order` are the rows that the gate let in, in the order of their `buckets`; `pseudonyms` are
    theirs, an array for each bucket that has some. `refused` are the buckets in which others would
    have been: by the digest, since who is refused gets no pseudonym, so the same each time.
    """

    order: npt.NDArray[np.intp]
    buckets: npt.NDArray[np.int16]
    pseudonyms: list[pa.Array]
    refused: frozenset[int]


NOBODY: Final = Named(np.empty(0, np.intp), np.empty(0, np.int16), [], frozenset())
"""Of no row."""


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

    def of(self, persons: Places, before: int, asked: pa.RecordBatch) -> Named:
        """Put the rows of these people in order, each by who it is about, and name them.

        `persons` are places in `asked` (`digest`, `admitted`); `before` and that place together
        are a person's number. People who come together have numbers close to each other.
        """
        where = self._places(persons, before, asked)
        bucket = (where & (_ALL - 1)).astype(np.uint8)
        rows = np.bincount(bucket, minlength=_ALL)
        # A stable sort of so small numbers goes by digits. Who is refused comes last.
        order = np.argsort(bucket, kind="stable")[: rows[:BUCKETS].sum()]
        places = where.take(order) >> _BITS
        return Named(
            order,
            np.repeat(np.arange(BUCKETS, dtype=np.int16), rows[:BUCKETS]),
            [
                _taken(self._names[bucket], places[start:end])
                for bucket, start, end in _runs(rows[:BUCKETS])
            ],
            frozenset(np.flatnonzero(rows[BUCKETS:]).tolist()),
        )

    def _places(self, persons: Places, before: int, asked: pa.RecordBatch) -> Places:
        """Bucket and place of each."""
        if not len(persons):
            return np.empty(0, np.int32)
        self._reach(before, before + int(persons.max()) + 1)
        known = self._where[before - self._first :]
        where = known.take(persons)
        if (where == UNKNOWN).any():
            self._learn(known, persons, asked)
            where = known.take(persons)
        return where

    def _reach(self, start: int, end: int) -> None:
        """Have room for numbers from `start` to before `end`."""
        if start < self._first or end - self._first > 2 * MOST:
            self._clear(start)
        more = end - self._first - len(self._where)
        if more > 0:
            self._where = np.concatenate([self._where, np.full(more, UNKNOWN, np.int32)])

    def _learn(self, known: Places, persons: Places, asked: pa.RecordBatch) -> None:
        """Make the pseudonyms of those who have none and are not refused."""
        here = np.zeros(len(known), bool)
        here[persons] = True
        fresh = np.flatnonzero(here & (known == UNKNOWN))
        admitted = asked.column("admitted").to_numpy(zero_copy_only=False).take(fresh)
        out, fresh = fresh[~admitted], fresh[admitted]
        digests = asked.column("digest")
        leading = pc.binary_slice(digests.take(pa.array(out)), 0, PSEUDONYM_BYTES)
        known[out] = BUCKETS + buckets(leading).to_numpy()
        self._name(known, fresh, digests.take(pa.array(fresh)))

    def _name(self, known: Places, persons: npt.NDArray[np.intp], digests: pa.Array) -> None:
        made = pseudonyms(self._key, digests)
        theirs = buckets(made).to_numpy()
        order = np.argsort(theirs, kind="stable")
        made, persons = made.cast(_WIDE).take(pa.array(order)), persons[order]
        for bucket, start, end in _runs(np.bincount(theirs, minlength=BUCKETS)):
            names = self._names[bucket]
            self._names[bucket] = pa.concat_arrays([names, made.slice(start, end - start)])
            places = np.arange(len(names), len(names) + end - start)
            known[persons[start:end]] = (places << _BITS) + bucket


def _taken(names: pa.Array, places: Places) -> pa.Array:
    """The names at these places, as `binary`; they are not copied again."""
    taken = names.take(pa.array(places))
    return side_by_side(taken.buffers()[1], PSEUDONYM_BYTES)


def _runs(rows: npt.NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """Each bucket that has rows, where in their order it starts and where it ends."""
    for bucket, (start, end) in enumerate(pairwise([0, *np.cumsum(rows).tolist()])):
        if end > start:
            yield bucket, start, end

"""Asking once about each value of a stream, however often it comes.

A push names the same people in chunk after chunk. What is made of a reference (a digest, the
gate's answer, a pseudonym) is the same each time within the push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from consent.lookup import UNKNOWN, Lookup, Places

MOST: Final = 1_000_000
"""Values remembered at a time, some 100 bytes each: beyond, it begins anew."""


class Remembered:
    """What `make` makes of distinct values: a batch of as many rows, in their order.

    It must make the same of a value each time. `made` holds what it made of the values known;
    before them `forgotten` others were known, so that `forgotten` and a place in `made` together
    are a number no other value ever has.
    """

    def __init__(self, make: Callable[[pa.Array], pa.RecordBatch]) -> None:
        self._make = make
        self._known: Lookup | None = None
        self.made: pa.RecordBatch | None = None
        self.forgotten = 0

    def places(self, values: pa.Array) -> pa.Array:
        """Where in `made` each value has its row."""
        if self._known is not None and len(self._known) > MOST:
            self.forgotten += len(self._known)
            self._known = self.made = None
        known = self._learn(values) if self._known is None else self._known
        places = known.places(values)
        new = places == UNKNOWN
        if new.any():
            fresh = values.filter(pa.array(new))
            self._learn(fresh)
            places[new] = known.places(fresh)
        return pa.array(places)

    def _learn(self, values: pa.Array) -> Lookup:
        fresh = pc.unique(values)
        made = self._make(fresh)
        if self._known is None or self.made is None:
            self._known, self.made = Lookup(fresh), made
        else:
            self._known.add(fresh)
            self.made = _joined(self.made, made)
        return self._known


class Numbered:
    """What `make` makes of values that are numbered, as `Remembered` numbers them: no look-up.

    A value has one number, and values that come together have numbers close to each other.
    """

    def __init__(self, make: Callable[[pa.Array], pa.RecordBatch]) -> None:
        self._make = make
        self._first = 0
        self._places: Places = np.empty(0, np.int32)  # by number, from `_first` on
        self.made: pa.RecordBatch | None = None

    def places(self, numbers: pa.Array, values: pa.Array) -> pa.Array:
        """Where in `made` each of these numbered values has its row."""
        given = numbers.to_numpy()
        low, end = (int(given.min()), int(given.max()) + 1) if len(given) else (self._first,) * 2
        if self.made is None or low < self._first or end - self._first > 2 * MOST:
            self._first, self._places, self.made = low, np.empty(0, np.int32), None
        if (more := end - self._first - len(self._places)) > 0:
            self._places = np.concatenate([self._places, np.full(more, UNKNOWN, np.int32)])
        at = given - self._first
        places = self._places[at]
        if self.made is None or (places == UNKNOWN).any():
            self._learn(at, values)
            places = self._places[at]
        return pa.array(places)

    def _learn(self, at: Places, values: pa.Array) -> None:
        # One of the places a number was given at.
        where = np.full(len(self._places), UNKNOWN, np.int32)
        where[at] = np.arange(len(at))
        fresh = np.flatnonzero((where != UNKNOWN) & (self._places == UNKNOWN))
        made = self._make(values.take(pa.array(where[fresh])))
        known = 0 if self.made is None else self.made.num_rows
        self._places[fresh] = known + np.arange(len(fresh))
        self.made = made if self.made is None else _joined(self.made, made)


def _joined(one: pa.RecordBatch, two: pa.RecordBatch) -> pa.RecordBatch:
    return pa.Table.from_batches([one, two]).combine_chunks().to_batches()[0]

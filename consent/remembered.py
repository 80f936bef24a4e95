"""Asking once about each value of a stream, however often it comes.

A push names the same people in chunk after chunk. What is made of a reference (a digest, the
gate's answer, a pseudonym) is the same each time within the push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from consent.lookup import UNKNOWN, Lookup

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

    def places(self, values: pa.Array, of: pa.Array | None = None) -> pa.Array:
        """Where in `made` each value has its row.

        `of`, aligned with `values`, is what `make` is given in the place of a value.
        """
        if self._known is not None and len(self._known) > MOST:
            self.forgotten += len(self._known)
            self._known = self.made = None
        known = self._learn(values, of) if self._known is None else self._known
        places = known.places(values)
        new = places == UNKNOWN
        if new.any():
            unseen = pa.array(new)
            fresh = values.filter(unseen)
            self._learn(fresh, None if of is None else of.filter(unseen))
            places[new] = known.places(fresh)
        return pa.array(places)

    def _learn(self, values: pa.Array, of: pa.Array | None) -> Lookup:
        fresh = pc.unique(values)
        made = self._make(fresh if of is None else of.take(pc.index_in(fresh, value_set=values)))
        if self._known is None or self.made is None:
            self._known, self.made = Lookup(fresh), made
        else:
            self._known.add(fresh)
            self.made = pa.Table.from_batches([self.made, made]).combine_chunks().to_batches()[0]
        return self._known

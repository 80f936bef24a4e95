"""Asking once about each value of a stream, however often it comes.

A push names the same people in chunk after chunk. What is made of a reference (a digest, the
gate's answer, a pseudonym) is the same each time within the push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from consent.lookup import Lookup, Places

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

    def places(self, values: pa.Array) -> Places:
        """Where in `made` each value has its row."""
        if self._known is not None and len(self._known) > MOST:
            self.forgotten += len(self._known)
            self._known = self.made = None
        if self._known is None:
            self._known = Lookup(values.slice(0, 0))
        places, new = self._known.learn(values)
        if len(new) or self.made is None:
            made = self._make(new)
            self.made = made if self.made is None else _joined(self.made, made)
        return places


def _joined(one: pa.RecordBatch, two: pa.RecordBatch) -> pa.RecordBatch:
    return pa.Table.from_batches([one, two]).combine_chunks().to_batches()[0]

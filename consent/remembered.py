"""Asking once about each distinct value of a stream, however many chunks it appears in.

A push names the same people in chunk after chunk. What is made of a reference (a digest, the
gate's answer, a pseudonym) is the same each time within the push, and is looked up in Arrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

MOST: Final = 1_000_000
"""Values remembered at a time, some 100 bytes each: beyond, it begins anew."""


class Remembered:
    """What `make` makes of distinct values: a batch of as many rows, in their order.

    `make` is asked about values it has not been asked about, and must answer the same whenever
    it is.
    """

    def __init__(self, make: Callable[[pa.Array], pa.RecordBatch]) -> None:
        self._make = make
        self._values: pa.Array | None = None
        self._made: pa.RecordBatch | None = None

    def of(self, values: pa.Array) -> pa.RecordBatch:
        """What was made of these (distinct) values, in their order."""
        if self._values is None or self._made is None or len(self._values) > MOST:
            self._values, self._made = values, self._make(values)
            return self._made
        places = pc.index_in(values, value_set=self._values)
        if places.null_count:
            unseen = values.filter(places.is_null())
            made = pa.Table.from_batches([self._made, self._make(unseen)])
            self._values = pa.concat_arrays([self._values, unseen])
            self._made = made.combine_chunks().to_batches()[0]
            places = pc.index_in(values, value_set=self._values)
        return self._made.take(places)

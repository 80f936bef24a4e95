"""Finding values among many known ones, chunk after chunk.

Arrow's own look-up hashes all that is known anew at each call, which for 200,000 people costs more
than the chunk does. Here the hashes are kept. That two values share a hash is not ruled out, so
what was found is compared with what was sought; were two ever to meet, Arrow looks all values up
from then on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd

Places = npt.NDArray[np.int64]

UNKNOWN: Final = -1


class _Engine(threading.local):
    """DuckDB, for its hash: one for each thread, since opening one takes longer than a chunk."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})


_ENGINE: Final = _Engine()


class Lookup:
    """Values known, texts or bytes, each at its place from 0 on.

    Those added since are looked up by themselves until they are a quarter of those before: few are
    new in a chunk, and they should not cost hashing all that is known.
    """

    def __init__(self, values: pa.Array) -> None:
        self._values = values.slice(0, 0)
        self._parts: list[tuple[int, pd.Index[Any]]] = []
        self._exact = False
        self.add(values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, values: pa.Array) -> None:
        """Know more values; the others keep their places."""
        self._parts.append((len(self._values), _index(self._hash(values))))
        self._values = pa.concat_arrays([self._values, values])
        while len(self._parts) > 1 and len(self._parts[-2][1]) < 4 * len(self._parts[-1][1]):
            (start, before), (_, after) = self._parts[-2:]
            self._parts[-2:] = [(start, before.append(after))]
        self._exact = self._exact or not self._parts[-1][1].is_unique

    def places(self, values: pa.Array) -> Places:
        """The place of each value, the first of equals; `UNKNOWN` where it is not known."""
        if not (self._exact or values.null_count):
            places = self._probable(values)
            found = places != UNKNOWN
            sought = values if found.all() else values.filter(pa.array(found))
            if self._values.take(pa.array(places[found])).equals(sought):
                return places
            self._exact = True
        exact = pc.fill_null(pc.index_in(values, value_set=self._values), UNKNOWN)
        return np.array(exact.to_numpy(), np.int64)

    def _probable(self, values: pa.Array) -> Places:
        """The place of a value of the same hash."""
        hashes = self._hash(values)
        places = np.full(len(hashes), UNKNOWN, np.int64)
        for start, index in self._parts:
            if len(missing := np.flatnonzero(places == UNKNOWN)):
                at = index.get_indexer(_index(hashes[missing]))
                places[missing] = np.where(at < 0, UNKNOWN, at + start)
        return places

    def _hash(self, values: pa.Array) -> npt.NDArray[np.uint64]:
        """64 bits of each value."""
        engine = _ENGINE.connection
        engine.register("offered", pa.table({"value": values}))
        try:
            made = engine.execute("SELECT hash(value) AS h FROM offered").fetchnumpy()
        finally:
            engine.unregister("offered")
        return np.asarray(made["h"], np.uint64)


def _index(hashes: npt.NDArray[np.uint64]) -> pd.Index[Any]:
    import pandas as pd  # slow to load, and only the gate needs it

    return pd.Index(hashes)

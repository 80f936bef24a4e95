"""Where a point lies: metres in EPSG:3035, the INSPIRE 1 km cell, the nearest of a set of places.

Longitude and latitude come in degrees (WGS 84). Points outside the projection's domain become
not-a-number and are near nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from pyproj import Transformer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_EXTENT: Final = (2_000_000.0, 1_000_000.0, 7_500_000.0, 6_000_000.0)
"""Europe in EPSG:3035; beyond it metres are distorted, and no pupil lives there."""


@cache
def _transformer() -> Transformer:
    return Transformer.from_crs("EPSG:4326", "EPSG:3035", always_xy=True)


def project(lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Metres east and north in EPSG:3035; NaN outside Europe or where a coordinate is missing."""
    x, y = _transformer().transform(
        np.asarray(lon, np.float64), np.asarray(lat, np.float64), errcheck=False
    )
    x, y = np.array(x, np.float64, ndmin=1), np.array(y, np.float64, ndmin=1)
    outside = ~((x >= _EXTENT[0]) & (x <= _EXTENT[2]) & (y >= _EXTENT[1]) & (y <= _EXTENT[3]))
    x[outside] = np.nan
    y[outside] = np.nan
    return x, y


def cells(x: Floats, y: Floats) -> pa.Array:
    """INSPIRE identifiers of the 1 km cells holding points (EPSG:3035 metres); null for NaN."""
    known = np.isfinite(x) & np.isfinite(y)
    east = np.where(known, np.floor(x / 1000) * 1000, -1).astype(np.int64)
    north = np.where(known, np.floor(y / 1000) * 1000, -1).astype(np.int64)
    pairs, inverse = np.unique(np.stack([north, east], axis=1), axis=0, return_inverse=True)
    names = pa.array(
        [f"CRS3035RES1000mN{n}E{e}" if n >= 0 else None for n, e in pairs.tolist()], pa.string()
    )
    return names.take(pa.array(inverse.reshape(-1)))


class Nearest:
    """A set of points (EPSG:3035 metres) that answers which are near."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x, self.y = x, y
        self._known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        self._tree = shapely.STRtree(shapely.points(x[self._known], y[self._known]))

    def of(self, x: Floats, y: Floats) -> Ints:
        """Index of the nearest place of each point; -1 where the point or all places are NaN."""
        found = np.full(x.size, -1, np.int64)
        valid = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if self._known.size and valid.size:
            near = self._tree.nearest(shapely.points(x[valid], y[valid]))
            found[valid] = self._known[near]
        return found

    def within(self, x: Floats, y: Floats, metres: float) -> tuple[Ints, Ints]:
        """All pairs (index of point, index of place) at most `metres` apart."""
        valid = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if not (self._known.size and valid.size):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        points, places = self._tree.query(
            shapely.points(x[valid], y[valid]), predicate="dwithin", distance=metres
        )
        return valid[points], self._known[places]

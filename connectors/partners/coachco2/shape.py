"""The one shape trips come out in, and what holds for both of the app's formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from connectors.contract import Reading
from connectors.documented import documented
from connectors.jsonrows import BadRow, Warnings
from connectors.layouts import PARIS
from connectors.partners.coachco2.modes import UNKNOWN

SECTION: Final = pa.struct(
    [("mode", pa.string()), ("distance_m", pa.float64()), ("duration_s", pa.float64())]
)
INSTANT: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = documented(
    ("subject", pa.string(), "compte source du participant", "participant's source account"),
    ("trip", pa.string(), "identifiant du trajet", "identifier of the trip"),
    ("start", INSTANT, "départ", "start"),
    ("end", INSTANT, "arrivée", "end"),
    ("start_lon", pa.float64(), "longitude du départ", "longitude of the start", "degree"),
    ("start_lat", pa.float64(), "latitude du départ", "latitude of the start", "degree"),
    ("end_lon", pa.float64(), "longitude de l'arrivée", "longitude of the end", "degree"),
    ("end_lat", pa.float64(), "latitude de l'arrivée", "latitude of the end", "degree"),
    ("distance_m", pa.float64(), "distance", "distance", "m"),
    ("duration_s", pa.float64(), "durée", "duration", "s"),
    ("main_mode", pa.string(), "mode principal (plus longue distance)", "main mode (longest)"),
    ("sections", pa.list_(SECTION), "tronçons par mode", "sections by mode"),
    ("app_co2_kg", pa.float64(), "CO2 calculé par l'application", "CO2 by the app", "kg"),
    ("purpose", pa.string(), "motif", "purpose"),
    optional=("app_co2_kg", "purpose"),
)

_OLDEST: Final = datetime(2000, 1, 1, tzinfo=PARIS).timestamp()
_NEWEST: Final = datetime(2100, 1, 1, tzinfo=PARIS).timestamp()


def check_moment(epoch: float, field: str) -> float:
    """Seconds since 1970, in a century a phone may be in. Raises `BadRow`."""
    if not epoch >= _OLDEST:
        raise BadRow("date_too_old", field)
    if epoch > _NEWEST:
        raise BadRow("date_in_future", field)
    return epoch


def check_expected(epoch: float, reading: Reading, field: str, warnings: Warnings) -> None:
    """Warn of a trip before the school year the territory is in."""
    first = reading.expected_from
    if first and datetime.fromtimestamp(epoch, UTC).astimezone(PARIS).date() < first:
        warnings.append(("date_before_school_year", field))


def check_position(lon: float, lat: float, field: str) -> tuple[float, float]:
    """A position on the globe, longitude first. Raises `BadRow`."""
    if not (abs(lon) <= 180 and abs(lat) <= 90):
        raise BadRow("position_outside_world", field)
    if lon == 0 and lat == 0:
        raise BadRow("position_missing", field)
    # Where the pair stands there is sea or Somalia; turned round there is France.
    if 41 < lon < 51.5 and -5.5 < lat < 10:
        raise BadRow("position_swapped", field)
    return lon, lat


def main_mode(sections: Sequence[Mapping[str, Any]]) -> str:
    """The mode with the greatest summed distance, the first of equals; UNKNOWN without section."""
    distances: dict[str, float] = defaultdict(float)
    for section in sections:
        distances[section["mode"]] += section["distance_m"]
    return max(distances, key=distances.__getitem__, default=UNKNOWN)

"""Population density by CAMARA, as Orange's interface answers: one row per cell and period.

A dataset of its own, since its cells are geohashes and its figures people per km², not people in
a zone. `LOW_DENSITY` is kept as "withheld": somebody is there and the number is not ours to know.
It is never 0, and neither is `NO_DATA`. Periods up to two months ahead are forecasts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final

import msgspec
import pyarrow as pa

from connectors.archives import plain
from connectors.contract import Batch, Dataset, Reading
from connectors.documented import documented
from connectors.jsonrows import BadRow, Filling, Row, decode
from connectors.jsonstream import documents
from connectors.layouts import EARLIEST
from connectors.partners.orange.density_samples import EXAMPLES

AHEAD: Final = timedelta(days=62)
STATES: Final = {
    "DENSITY_ESTIMATION": "estimated",
    "LOW_DENSITY": "withheld",
    "NO_DATA": "no_data",
}
ROWS: Final = 50_000
ONCE: Final = (b'"geohash"', b'"dataType"', b'"pplDensity"')
INSTANT: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = documented(
    ("cell", pa.string(), "maille (geohash)", "cell (geohash)"),
    ("start", INSTANT, "début de la période", "start of the period"),
    ("end", INSTANT, "fin de la période", "end of the period"),
    ("state", pa.string(), "estimated, withheld (secret) ou no_data", "as named; never 0"),
    ("density", pa.int64(), "densité de population", "population density", "1/km2"),
    ("low", pa.int64(), "densité, borne basse", "density, low", "1/km2"),
    ("high", pa.int64(), "densité, borne haute", "density, high", "1/km2"),
    optional=("density", "low", "high"),
)
_GEOHASH: Final = re.compile("[0-9b-hjkmnp-z]{1,12}")


class _Cell(msgspec.Struct):
    geohash: str | None = None
    dataType: str | None = None  # noqa: N815 - CAMARA's name
    pplDensity: int | None = None  # noqa: N815 - CAMARA's name
    minPplDensity: int | None = None  # noqa: N815 - CAMARA's name
    maxPplDensity: int | None = None  # noqa: N815 - CAMARA's name


class _Period(msgspec.Struct):
    startTime: str | None = None  # noqa: N815 - CAMARA's name
    endTime: str | None = None  # noqa: N815 - CAMARA's name
    cellPopulationDensityData: list[msgspec.Raw] = []  # noqa: N815 - CAMARA's name


class _Answer(msgspec.Struct):
    timedPopulationDensityData: list[_Period] | None = None  # noqa: N815 - CAMARA's name


_CELL: Final = msgspec.json.Decoder(_Cell)


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    """Positions count cells over the whole file; an answer that cannot be read counts as one."""
    filling = Filling("density", SCHEMA, ROWS)
    position = 0
    seen: set[int] = set()
    for document in documents(plain(file, reading), reading):
        try:
            periods = decode(document, _ANSWER).timedPopulationDensityData
            if periods is None:
                raise BadRow("missing_value", "timedPopulationDensityData")
        except BadRow as bad:
            position += 1
            filling.reject(position, bad, document.data)
            continue
        for period in periods:
            for raw in period.cellPopulationDensityData:
                position += 1
                try:
                    filling.keep(position, _density(raw, period, reading, seen))
                except BadRow as bad:
                    filling.reject(position, bad, bytes(raw))
                yield from filling.full()
    yield from filling.rest()


def _density(raw: msgspec.Raw, period: _Period, reading: Reading, seen: set[int]) -> Row:
    start = _instant(period.startTime, "startTime", reading)
    end = _instant(period.endTime, "endTime", reading)
    if end <= start:
        raise BadRow("end_before_start", "endTime")
    for name in ONCE:
        if bytes(raw).count(name) > 1:
            raise BadRow("duplicate_key", name.strip(b'"').decode())
    try:
        cell = _CELL.decode(raw)
    except msgspec.DecodeError as error:
        raise BadRow("wrong_type", "cellPopulationDensityData") from error
    if not cell.geohash:
        raise BadRow("missing_value", "geohash")
    if not _GEOHASH.fullmatch(cell.geohash):
        raise BadRow("wrong_code", "geohash")
    if not cell.dataType:
        raise BadRow("missing_value", "dataType")
    if cell.dataType not in STATES:
        raise BadRow("unknown_value", "dataType")
    if (key := hash((cell.geohash, start, end))) in seen:
        raise BadRow("duplicate_row", "geohash")
    state = STATES[cell.dataType]
    density, low, high = _figures(cell) if state == "estimated" else (None, None, None)
    seen.add(key)
    return {
        "cell": cell.geohash,
        "start": start,
        "end": end,
        "state": state,
        "density": density,
        "low": low,
        "high": high,
    }


def _figures(cell: _Cell) -> tuple[int, int | None, int | None]:
    density, low, high = cell.pplDensity, cell.minPplDensity, cell.maxPplDensity
    if density is None:
        raise BadRow("missing_value", "pplDensity")
    if not all(0 <= figure < 2**31 for figure in (density, low, high) if figure is not None):
        raise BadRow("impossible_value", "pplDensity")
    if not (density if low is None else low) <= density <= (density if high is None else high):
        raise BadRow("impossible_value", "minPplDensity")
    return density, low, high


def _instant(text: str | None, field: str, reading: Reading) -> datetime:
    if not text:
        raise BadRow("missing_value", field)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise BadRow("wrong_time", field)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRow("wrong_time", field) from error
    if moment > reading.now + AHEAD:
        raise BadRow("date_in_future", field)
    if moment.date() < EARLIEST:
        raise BadRow("date_too_old", field)
    return moment


DENSITY: Final = Dataset(
    partner="orange",
    name="density",
    title={"fr": "Densité de population par maille", "en": "Population density by cell"},
    source="CAMARA Population Density Data, POST /retrieve",
    tables={"density": SCHEMA},
    read=_read,
    media_types=("application/json", "application/gzip"),
    examples=EXAMPLES,
)

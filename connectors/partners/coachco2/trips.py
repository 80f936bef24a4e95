"""CoachCO2 trips: `io.cozy.timeseries.geojson` documents or the app's export, one row per trip.

Of the line a phone recorded only its two ends, lengths and times come out of here: no point in
between is decoded at all, unless a section's own figures have to be repaired from its readings.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import datetime
from math import inf, isfinite
from typing import Annotated, Any, BinaryIO, Final

import msgspec

from connectors.archives import looked_at
from connectors.contract import Batch, Dataset, Reading
from connectors.jsonrows import BadRow, Reader, Row, Warnings, read_source
from connectors.layouts import PARIS
from connectors.partners.coachco2.export import account_of, is_export, read_export
from connectors.partners.coachco2.export_samples import EXPORT_EXAMPLES
from connectors.partners.coachco2.modes import purpose, resolve
from connectors.partners.coachco2.samples import TRIP_EXAMPLES
from connectors.partners.coachco2.shape import (
    SCHEMA,
    check_expected,
    check_moment,
    check_position,
    main_mode,
)

ABSENT: Final = msgspec.Raw(b"null")
"""What a field kept undecoded holds where the document has none."""


class _Point(msgspec.Struct, gc=False):
    coordinates: list[float] = []


class _Oid(msgspec.Struct, gc=False):
    oid: str | None = msgspec.field(default=None, name="$oid")


class _Properties(msgspec.Struct, gc=False):
    """Of a trip or of a section. Long lists stay undecoded until a repair wants them."""

    distance: float | None = None
    duration: float | None = None
    start_ts: float | None = None
    end_ts: float | None = None
    start_fmt_time: str | None = None
    end_fmt_time: str | None = None
    start_loc: _Point | None = None
    end_loc: _Point | None = None
    start_place: _Oid | None = None
    end_place: _Oid | None = None
    manual_purpose: str | None = None
    automatic_purpose: str | None = None
    manual_mode: str | None = None
    sensed_mode: str | None = None
    timestamps: msgspec.Raw = ABSENT
    distances: msgspec.Raw = ABSENT


class _Part(msgspec.Struct, gc=False):
    properties: _Properties | None = None


class _Feature(msgspec.Struct, gc=False):
    type: str = ""
    id: str | None = None
    geometry: msgspec.Raw = ABSENT
    features: list[_Part] = []


class _Serie(msgspec.Struct, gc=False):
    id: str | None = None
    properties: _Properties = msgspec.field(default_factory=_Properties)
    features: list[_Feature] = []

    def __post_init__(self) -> None:
        _COUNTED.series += 1


class _Account(str):
    """A source account: a type of its own, so that its decoding is seen."""

    __slots__ = ()


class _Metadata(msgspec.Struct, gc=False):
    sourceAccount: _Account = _Account()  # noqa: N815 - Cozy's name

    def __post_init__(self) -> None:
        _COUNTED.metadata += 1


class _Aggregation(msgspec.Struct, gc=False):
    totalCO2: float | None = None  # noqa: N815 - Cozy's name
    purpose: str | None = None


class _Timeserie(msgspec.Struct, gc=False):
    """A document; CouchDB wraps it in `doc`, Cozy's JSON:API in `attributes`."""

    id: str | None = msgspec.field(default=None, name="_id")
    startDate: str | None = None  # noqa: N815 - Cozy's name
    endDate: str | None = None  # noqa: N815 - Cozy's name
    series: Annotated[list[_Serie], msgspec.Meta(min_length=1)] = []
    cozyMetadata: _Metadata | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - Cozy's name
    aggregation: _Aggregation | None = None
    doc: _Timeserie | None = None
    attributes: _Timeserie | None = None


class _Counted(threading.local):
    """What was decoded of the document at hand, by each thread."""

    series = metadata = accounts = 0


_COUNTED: Final = _Counted()


def _account(_: type, value: object) -> _Account:
    _COUNTED.accounts += 1
    if value is None:
        return _Account()
    if not isinstance(value, str):
        raise TypeError("an account is a text")
    return _Account(value)


class _Decoder:
    """Decodes a document; of a key that stands twice msgspec would keep the last value only.

    What was decoded and is not in the result stood under a second key, or beside a wrapping.
    """

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Timeserie, dec_hook=_account)

    def decode(self, data: bytes, /) -> _Timeserie:
        _COUNTED.series = _COUNTED.metadata = _COUNTED.accounts = 0
        document = self._decoder.decode(data)
        document = document.doc or document.attributes or document
        if _COUNTED.series > len(document.series):
            raise BadRow("duplicate_key", "series")
        if _COUNTED.metadata > (document.cozyMetadata is not msgspec.UNSET):
            raise BadRow("duplicate_key", "cozyMetadata")
        if _COUNTED.accounts > 1:
            raise BadRow("duplicate_key", "sourceAccount")
        return document


def _row(document: _Timeserie, reading: Reading) -> tuple[Row, Warnings]:
    subject = document.cozyMetadata.sourceAccount.strip() if document.cozyMetadata else ""
    if not subject:
        raise BadRow("missing_identifier", "sourceAccount")
    if not document.series:
        raise BadRow("missing_value", "series")
    serie = document.series[0]
    warnings: Warnings = []
    trip = document.id or serie.id
    if not trip:
        raise BadRow("missing_value", "id")
    about = serie.properties
    start = _instant(about.start_ts, about.start_fmt_time or document.startDate, "start_fmt_time")
    end = _instant(about.end_ts, about.end_fmt_time or document.endDate, "end_fmt_time")
    if end < start:
        raise BadRow("end_before_start", "end_fmt_time")
    if end > reading.now.timestamp():
        raise BadRow("date_in_future", "end_fmt_time")
    check_expected(start, reading, "start_fmt_time", warnings)
    start_lon, start_lat = _position(about.start_loc, about.start_place, serie, "start_loc")
    end_lon, end_lat = _position(about.end_loc, about.end_place, serie, "end_loc")
    sections = _sections(serie, warnings)
    aggregation = document.aggregation or _Aggregation()
    return {
        "subject": subject,
        "trip": trip,
        "start": round(start * 1e6),
        "end": round(end * 1e6),
        "start_lon": start_lon,
        "start_lat": start_lat,
        "end_lon": end_lon,
        "end_lat": end_lat,
        "distance_m": _total(about.distance, sections, "distance_m", "distance"),
        "duration_s": _total(about.duration, sections, "duration_s", "duration"),
        "main_mode": main_mode(sections),
        "sections": sections,
        "app_co2_kg": _figure(aggregation.totalCO2),
        "purpose": purpose(about.manual_purpose, about.automatic_purpose, aggregation.purpose),
    }, warnings


def _instant(epoch: float | None, text: str | None, field: str) -> float:
    """Seconds since 1970. The epoch is unambiguous; a text without offset is French wall time."""
    if epoch is None:
        if not text:
            raise BadRow("missing_value", field)
        try:
            moment = datetime.fromisoformat(text.strip())
            epoch = moment.replace(tzinfo=moment.tzinfo or PARIS).timestamp()
        except (ValueError, OverflowError) as error:
            raise BadRow("wrong_time", field) from error
    return check_moment(epoch, field)


def _position(
    point: _Point | None, place: _Oid | None, serie: _Serie, field: str
) -> tuple[float, float]:
    """Longitude and latitude of an end: where the trip says, else its place among the features."""
    pair = point.coordinates if point else []
    if not pair and place and place.oid:
        pair = _place(place.oid, serie, field)
    if len(pair) < 2:
        raise BadRow("position_missing", field)
    return check_position(pair[0], pair[1], field)


_POINT: Final = msgspec.json.Decoder(_Point | None)
_NUMBERS: Final = msgspec.json.Decoder(list[float] | None)


def _place(oid: str, serie: _Serie, field: str) -> list[float]:
    for feature in serie.features:
        if feature.id == oid:
            try:
                point = _POINT.decode(feature.geometry)
            except msgspec.DecodeError as error:
                raise BadRow("wrong_type", field) from error
            return point.coordinates if point else []
    return []


def _sections(serie: _Serie, warnings: Warnings) -> list[dict[str, Any]]:
    sections = []
    for feature in serie.features:
        if feature.type != "FeatureCollection":
            continue
        for part in feature.features:
            about = part.properties or _Properties()
            mode, known = resolve(about.manual_mode, about.sensed_mode)
            if not known and ("unknown_mode", "sensed_mode") not in warnings:
                warnings.append(("unknown_mode", "sensed_mode"))
            if (distance := _figure(about.distance)) is None:
                distance = _repaired(about.distances, "distance", warnings)
            if (duration := _figure(about.duration)) is None:
                duration = _repaired(about.timestamps, "duration", warnings)
            sections.append(
                {
                    "mode": mode,
                    "distance_m": distance,
                    "duration_s": duration,
                }
            )
    return sections


def _repaired(readings: msgspec.Raw, field: str, warnings: Warnings) -> float:
    """What a section's readings add up to, where its own figure is missing or negative.

    `distances` are steps in metres; `timestamps` are instants in milliseconds.
    """
    try:
        numbers: list[float] = _NUMBERS.decode(readings) or []
    except msgspec.DecodeError as error:
        raise BadRow("wrong_type", field) from error
    if field == "distance":
        repaired = sum(step for step in numbers if step > 0)
    else:
        repaired = (max(numbers) - min(numbers)) / 1000 if numbers else 0.0
    if not numbers or not isfinite(repaired):
        raise BadRow("impossible_value", field)
    if ("section_repaired", field) not in warnings:
        warnings.append(("section_repaired", field))
    return repaired


def _figure(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < inf else None


def _total(figure: float | None, sections: list[dict[str, Any]], column: str, field: str) -> float:
    """The trip's own figure, which counts waiting too; else the sum of its sections."""
    if (given := _figure(figure)) is not None:
        return given
    if not sections:
        raise BadRow("impossible_value" if figure is not None else "missing_value", field)
    if not isfinite(total := float(sum(section[column] for section in sections))):
        raise BadRow("impossible_value", field)
    return total


_ACCOUNT: Final = re.compile(rb'"sourceAccount"\s*:\s*"([^"\\]{1,200})"')


def _subject(data: bytes) -> str | None:
    """The one reference in the bytes of a document, None where there is none or more."""
    found: set[bytes] = {match.strip() for match in _ACCOUNT.findall(data)} - {b""}
    if len(found) != 1:
        return None
    try:
        return found.pop().decode()
    except UnicodeDecodeError:
        return None


_READER: Final = Reader(
    table="trips",
    schema=SCHEMA,
    decoder=_Decoder(),
    row=_row,
    unique=lambda row: (row["subject"], row["trip"]),
    subject=_subject,
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    head, source = looked_at(file, reading)
    if is_export(head):
        return read_export(source, reading)
    return read_source(source, _READER, reading)


TRIPS: Final = Dataset(
    partner="coachco2",
    name="trips",
    title={"fr": "Trajets des participants", "en": "Participants' trips"},
    source="io.cozy.timeseries.geojson et export CSV des trajets, CoachCO2 0.24",
    tables={"trips": SCHEMA},
    read=_read,
    subject="subject",
    about_one=account_of,
    media_types=("application/json", "application/x-ndjson", "text/csv", "application/gzip"),
    examples=(*TRIP_EXAMPLES, *EXPORT_EXAMPLES),
)

"""CoachCO2's trip export, a CSV of its own kind: one row per section, sorted by trip.

As the app writes it: every value in quotes that are never escaped, every empty or zero value one
blank without quotes, dates as JavaScript prints them, arrays flattened with commas in one cell that
may be megabytes long. The account stands in the file's name only: it comes with the push as
`Reading.reference`, and without it no trip has a person to ask. There is no CO2 column; CO2 is
computed by `analytics` from modes and distances with the hub's own factors.

Of the coordinates only the first and the last of a trip are decoded; the rest goes nowhere. A
position here is the line of a trip's first section, and a trip with one bad section is set aside
whole: without that section it would be another trip.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Final

from connectors.archives import Source
from connectors.contract import Batch, Malformed, Reading
from connectors.csvblocks import normal
from connectors.jsonrows import BadRow, Filling, Row, Warnings
from connectors.partners.coachco2.modes import MODES, UNKNOWN, purpose
from connectors.partners.coachco2.shape import (
    SCHEMA,
    check_expected,
    check_moment,
    check_position,
    main_mode,
)

COLUMNS: Final = (
    "Trip_Id", "Trip_Start_Date", "Trip_End_Date", "Trip_Start_Display_Name",
    "Trip_Arrival_Display_Name", "Trip_Purpose", "Section_Start_Date", "Section_End_Date",
    "Section_Duration", "Section_Distance", "Section_Mode", "Section_Coordinates",
    "Section_Distances", "Section_Timestamps", "Section_Speeds",
)  # fmt: skip
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STEP: Final = 1 << 20
# A value ends at the quote before the next value, not at the next quote: names hold quotes too.
# The plain run is tried last for the reason given in `connectors.jsonstream`.
_CELL: Final = re.compile(r' |"((?:"(?!,(?:"| (?:,|$))|$)|[^"]++)*+)"')
_MOMENT: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([+-]\d{4})(?: \(.*\))?"
)
_TRIP: Final = re.compile(rb'"([^",]{1,200})",')


def is_export(head: bytes) -> bool:
    """Whether a file's first bytes are those of a trip export rather than of documents."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b' "').lower().startswith(b"trip_id")


_NAMED: Final = re.compile(r"\d{4} \d\d \d\d - D[ée]placements (\S.*)\.csv", re.IGNORECASE)


def account_of(file_name: str) -> str | None:
    """The account the app writes into the name of an export; None where it is another name."""
    found = _NAMED.fullmatch(unicodedata.normalize("NFC", file_name))
    return found[1].strip() if found else None


@dataclass(slots=True)
class _Line:
    """A line of the file; `cells` by column, or why it has none."""

    position: int
    raw: bytes
    trip: str
    cells: dict[str, str] = field(default_factory=dict)
    bad: str = ""


def read_export(source: Source, reading: Reading) -> Iterator[Batch]:
    """Read a trip export. Raises `Malformed` for the file as a whole."""
    filling = Filling("trips", SCHEMA)
    seen: set[int] = set()
    for sections in _trips(source, reading):
        trip, first = sections[0].trip, sections[0].position
        warnings: Warnings = []
        try:
            if hash(trip) in seen:
                raise BadRow("duplicate_row", "Trip_Id")
            filling.keep(first, _trip(sections, reading, warnings), warnings)
            seen.add(hash(trip))
        except BadRow as bad:
            raw = b"".join(line.raw for line in sections)
            filling.reject(first, bad, raw, _reference(reading))
        yield from filling.full()
    yield from filling.rest()


def _reference(reading: Reading) -> str | None:
    return (reading.reference or "").strip() or None


def _trips(source: Source, reading: Reading) -> Iterator[list[_Line]]:
    """The lines of each trip, which stand together."""
    held: list[_Line] = []
    size = 0
    for line in _parsed(source, reading):
        if held and line.trip != held[0].trip:
            yield held
            held, size = [], 0
        held.append(line)
        size += len(line.raw)
        if size > reading.max_record_bytes:
            raise Malformed("line_too_long", f"line {line.position}")
    if held:
        yield held


def _parsed(source: Source, reading: Reading) -> Iterator[_Line]:
    lines = _lines(source, reading)
    header = next(lines, (1, b""))[1].removeprefix(b"\xef\xbb\xbf")
    names = [normal(name.strip('" ')) for name in header.decode("latin-1").strip().split(",")]
    for column in COLUMNS:
        if names.count(normal(column)) != 1:
            missing = normal(column) not in names
            raise Malformed("missing_column" if missing else "duplicate_column", column)
    order = [names.index(normal(column)) for column in COLUMNS]
    for position, raw in lines:
        if not raw.strip():
            continue
        named = _TRIP.match(raw)
        line = _Line(position, raw, named[1].decode("latin-1") if named else f"\0{position}")
        try:
            cells = _cells(raw.rstrip(b"\r\n").decode(), len(names))
        except UnicodeDecodeError:
            line.bad = "wrong_encoding"
        except BadRow as bad:
            line.bad = bad.code
        else:
            line.cells = {c: cells[place] for c, place in zip(COLUMNS, order, strict=True)}
        yield line


def _cells(text: str, width: int) -> list[str]:
    if "\0" in text:
        raise BadRow("nul_byte")
    cells, at = [], 0
    while True:
        match = _CELL.match(text, at)
        if match is None:
            raise BadRow("unbalanced_quote" if text[at : at + 1] == '"' else "wrong_column_count")
        cells.append((match[1] or "").strip())
        at = match.end()
        if at == len(text):
            break
        if text[at] != ",":
            raise BadRow("wrong_column_count")
        at += 1
    if len(cells) != width:
        raise BadRow("wrong_column_count")
    return cells


def _lines(source: Source, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """Lines with their number, none longer than `reading.max_record_bytes`."""
    held: list[bytes] = []
    size, number = 0, 1
    while chunk := source.read(STEP):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            yield number, b"".join([*held, part, b"\n"])
            held, size, number = [], 0, number + 1
        held.append(rest)
        size += len(rest)
        if size > reading.max_record_bytes:
            raise Malformed("line_too_long", f"line {number}")
    if size:
        yield number, b"".join(held)


def _trip(lines: list[_Line], reading: Reading, warnings: Warnings) -> Row:
    """One row out of a trip's sections. Raises `BadRow`."""
    if bad := next((line.bad for line in lines if line.bad), ""):
        raise BadRow(bad)
    if (subject := _reference(reading)) is None:
        raise BadRow("missing_identifier", "reference")
    about = lines[0].cells
    start = _moment(about, "Trip_Start_Date")
    end = _moment(about, "Trip_End_Date")
    if end < start:
        raise BadRow("end_before_start", "Trip_End_Date")
    if end > reading.now.timestamp():
        raise BadRow("date_in_future", "Trip_End_Date")
    check_expected(start, reading, "Trip_Start_Date", warnings)
    ordered = sorted(lines, key=lambda line: _moment(line.cells, "Section_Start_Date"))
    sections = [_section(line.cells, warnings) for line in ordered]
    start_lon, start_lat = _end(ordered[0].cells, first=True)
    end_lon, end_lat = _end(ordered[-1].cells, first=False)
    distance = float(sum(section["distance_m"] for section in sections))
    if not isfinite(distance):
        raise BadRow("impossible_value", "Section_Distance")
    return {
        "subject": subject,
        "trip": about["Trip_Id"],
        "start": round(start * 1e6),
        "end": round(end * 1e6),
        "start_lon": start_lon,
        "start_lat": start_lat,
        "end_lon": end_lon,
        "end_lat": end_lat,
        "distance_m": distance,
        "duration_s": end - start,
        "main_mode": main_mode(sections),
        "sections": sections,
        "app_co2_kg": None,
        "purpose": purpose(about["Trip_Purpose"]),
    }


def _moment(cells: dict[str, str], column: str) -> float:
    """Seconds since 1970 of a JavaScript date; what follows the offset is a browser's language."""
    text = cells[column]
    if not text:
        raise BadRow("missing_value", column)
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise BadRow("wrong_time", column)
        month, day, year, clock, offset = match.groups()
        text = f"{year}-{MONTHS.index(month) + 1:02d}-{day}T{clock}{offset}"
        moment = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise BadRow("wrong_time", column) from None
    return check_moment(moment, column)


def _section(cells: dict[str, str], warnings: Warnings) -> dict[str, Any]:
    mode = cells["Section_Mode"].upper()
    if mode not in MODES:
        _warn(warnings, "unknown_mode", "Section_Mode")
        mode = UNKNOWN
    distances = _numbers(cells, "Section_Distances")
    moments = _numbers(cells, "Section_Timestamps")
    steps = sum(step for step in distances if step > 0)
    lasted = (max(moments) - min(moments)) / 1000 if moments else 0.0
    return {
        "mode": mode,
        "distance_m": _figure(cells, "Section_Distance", distances, steps, warnings),
        "duration_s": _figure(cells, "Section_Duration", moments, lasted, warnings),
    }


def _figure(
    cells: dict[str, str],
    column: str,
    readings: list[float],
    repaired: float,
    warnings: Warnings,
) -> float:
    """A section's figure, or what its readings add up to. The app writes a zero as a blank."""
    figure = _number(cells[column], column) if cells[column] else 0.0
    if figure >= 0:
        return figure
    if not readings or not isfinite(repaired):
        raise BadRow("impossible_value", column)
    _warn(warnings, "section_repaired", column)
    return repaired


def _end(cells: dict[str, str], *, first: bool) -> tuple[float, float]:
    """The first or last point of a line; the ones between stay text."""
    column = "Section_Coordinates"
    text = cells[column]
    if not text:
        raise BadRow("position_missing", column)
    parts = text.split(",", 2)[:2] if first else text.rsplit(",", 2)[-2:]
    if len(parts) != 2 or text.count(",") % 2 == 0:
        raise BadRow("wrong_type", column)
    return check_position(_number(parts[0], column), _number(parts[1], column), column)


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadRow("not_a_number", column) from None
    if not isfinite(number) or "_" in text:
        raise BadRow("not_a_number", column)
    return number


def _numbers(cells: dict[str, str], column: str) -> list[float]:
    return [_number(part, column) for part in cells[column].split(",")] if cells[column] else []


def _warn(warnings: Warnings, code: str, column: str) -> None:
    if (code, column) not in warnings:
        warnings.append((code, column))

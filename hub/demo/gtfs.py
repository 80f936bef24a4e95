"""The school-bus network as a GTFS feed. The archive's bytes depend on nothing but its content."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from hub.demo.facts import Commune, Facts, Lycee, days
from hub.demo.school_buses import FIRST_DAY, LAST_DAY, Line, stop_id

AGENCY = "SYN:Operator:1"
SCHOOL_BUS = 712
"""Extended route type: school bus."""


def write(facts: Facts, lines: Sequence[Line], path: Path) -> None:
    """Write the feed as a zip with a fixed date inside."""
    served: dict[str, Commune | Lycee] = {}
    for line in lines:
        served |= {stop_id(commune): commune for commune in line.communes}
        served[stop_id(line.lycee)] = line.lycee
    tables: dict[str, tuple[str, list[list[object]]]] = {
        "agency.txt": (
            "agency_id,agency_name,agency_url,agency_timezone,agency_lang",
            [[AGENCY, "Réseau scolaire synthétique (démonstration)", "https://example.org/",
              "Europe/Paris", "fr"]],
        ),
        "feed_info.txt": (
            "feed_publisher_name,feed_publisher_url,feed_lang,feed_start_date,feed_end_date,"
            "feed_version",
            [["Jeu synthétique de démonstration", "https://example.org/", "fr",
              f"{FIRST_DAY:%Y%m%d}", f"{LAST_DAY:%Y%m%d}", "synthetique-1"]],
        ),
        "stops.txt": (
            "stop_id,stop_name,stop_desc,stop_lat,stop_lon,location_type,parent_station",
            [[number, place.name, "Arrêt synthétique", place.lat, place.lon, 0, ""]
             for number, place in sorted(served.items())],
        ),
        "routes.txt": (
            "route_id,agency_id,route_short_name,route_long_name,route_type",
            [[line.route, AGENCY, f"S{n + 1:03d}", line.name, SCHOOL_BUS]
             for n, line in enumerate(lines)],
        ),
        "trips.txt": (
            "route_id,service_id,trip_id,trip_headsign,direction_id",
            [[line.route, run.service, run.trip,
              line.lycee.name if run.outward else line.communes[0].name, 0 if run.outward else 1]
             for line in lines for run in line.runs],
        ),
        "stop_times.txt": (
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type,drop_off_type",
            [[run.trip, _clock(at), _clock(at), stop, n + 1, 0, 0]
             for line in lines for run in line.runs for n, (stop, at) in enumerate(run.calls)],
        ),
        "calendar.txt": (
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,"
            "end_date",
            [["SYN:LMJV", 1, 1, 0, 1, 1, 0, 0, f"{FIRST_DAY:%Y%m%d}", f"{LAST_DAY:%Y%m%d}"],
             ["SYN:ME", 0, 0, 1, 0, 0, 0, 0, f"{FIRST_DAY:%Y%m%d}", f"{LAST_DAY:%Y%m%d}"]],
        ),
        "calendar_dates.txt": ("service_id,date,exception_type", _closed(facts)),
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, (header, rows) in tables.items():
            entry = zipfile.ZipInfo(name, (2025, 9, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, _table(header, rows))


def _closed(facts: Facts) -> list[list[object]]:
    """Weekdays without lessons: removed from the service that would run."""
    rows: list[list[object]] = []
    for day in days(FIRST_DAY, LAST_DAY):
        if day.weekday() < 5 and not facts.is_school_day(day):
            service = "SYN:ME" if day.weekday() == 2 else "SYN:LMJV"
            rows.append([service, f"{day:%Y%m%d}", 2])
    return rows


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _table(header: str, rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")

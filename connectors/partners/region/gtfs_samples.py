"""Examples of GTFS feeds, good and bad, made from one small feed with a school route."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Final

from connectors.contract import Example

FEED: Final[Mapping[str, str]] = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\n"
    "REMI,Rémi,https://example.org,Europe/Paris\n",
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n"
    "S1,Gare,47.5861,1.3227,,\nS2,Lycée,47.5784,1.3169,,\n",
    "routes.txt": "route_id,agency_id,route_short_name,route_long_name,route_type\n"
    "R1,REMI,1,Ligne 1,3\nR2,REMI,S2,Scolaire,712\n",
    "trips.txt": "route_id,service_id,trip_id,trip_headsign,direction_id\n"
    "R1,W,T1,Lycée,0\nR2,W,T2,,\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
    "T1,07:30:00,07:31:00,S1,1\nT1,07:50:00,07:50:00,S2,2\n"
    "T2,24:10:00,24:10:00,S1,1\nT2,,,S2,2\n",
    # Two school weeks: eight days on Monday, Tuesday, Thursday, Friday.
    "calendar.txt": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,"
    "start_date,end_date\nW,1,1,0,1,1,0,0,20260302,20260315\n",
    # Less a Monday, plus a Wednesday.
    "calendar_dates.txt": "service_id,date,exception_type\nW,20260309,2\nW,20260304,1\n",
}
ROWS: Final = 1 + 2 + 2 + 2 + 4 + 1 + 2
OUT: Final = {"agencies": 1, "stops": 2, "routes": 2, "trips": 2, "stop_times": 4, "services": 8}


def packed(files: Mapping[str, str | bytes], folder: str = "") -> bytes:
    """A zip of the files, always the same bytes."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(folder + name), text, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def _with(name: str, before: str, after: str) -> Callable[[], bytes]:
    return lambda: packed({**FEED, name: FEED[name].replace(before, after, 1)})


def _plus(files: Mapping[str, str | bytes]) -> Callable[[], bytes]:
    return lambda: packed({**FEED, **files})


def _less(*names: str) -> Callable[[], bytes]:
    return lambda: packed({name: text for name, text in FEED.items() if name not in names})


def _boms() -> bytes:
    return packed({name: "\ufeff" + text for name, text in FEED.items()})


def _twice() -> bytes:
    sink = io.BytesIO(packed(FEED))
    with zipfile.ZipFile(sink, "a") as archive:
        archive.writestr(zipfile.ZipInfo("again/stops.txt"), FEED["stops.txt"])
    return sink.getvalue()


def _bomb() -> bytes:
    return packed({**FEED, "stop_times.txt": b"0" * 60_000_000})


_HEADS: Final = "stop_id,stop_name,stop_lat,stop_lon"

EXAMPLES: Final = (
    Example("a school feed", _with("stops.txt", "", ""), ROWS, rows=OUT),
    Example("byte order marks", _boms, ROWS, rows=OUT),
    Example("in a folder", lambda: packed(FEED, "REMI/"), ROWS, rows=OUT),
    Example("quoted identifiers", _with("stops.txt", "S1,Gare", '"""S1""",Gare'), ROWS, rows=OUT),
    Example("files nobody reads", _plus({"shapes.txt": "shape_id\n", "notes.pdf": b"%PDF"}), ROWS,
            rows=OUT),
    Example("empty optional file", _plus({"calendar_dates.txt": ""}), ROWS - 2,
            rows={**OUT, "services": 8}),
    Example("exceptions only", _less("calendar.txt"), ROWS - 1, rows={**OUT, "services": 1}),
    Example("calendar only", _less("calendar_dates.txt"), ROWS - 2, rows={**OUT, "services": 8}),
    Example("no stop named", _with("stops.txt", "S1,", ","), ROWS - 3,
            {"missing_value": 1, "unknown_reference": 2},
            rows={**OUT, "stops": 1, "stop_times": 2}),
    Example("stop twice", _with("stops.txt", "\nS2", "\nS1,Quai,47.5861,1.3227,,\nS2"), ROWS,
            {"duplicate_row": 1}, rows=OUT),
    Example("swapped stop", _with("stops.txt", "47.5861,1.3227", "1.3227,47.5861"), ROWS - 3,
            {"position_swapped": 1, "unknown_reference": 2},
            rows={**OUT, "stops": 1, "stop_times": 2}),
    Example("no position", _with("stops.txt", "47.5861,", ","), ROWS - 3,
            {"position_missing": 1, "unknown_reference": 2},
            rows={**OUT, "stops": 1, "stop_times": 2}),
    Example("trip of no route", _with("trips.txt", "R1,", "R9,"), ROWS - 3,
            {"unknown_reference": 3}, rows={**OUT, "trips": 1, "stop_times": 2}),
    Example("61 minutes", _with("stop_times.txt", "07:30:00", "07:61:00"), ROWS - 1,
            {"wrong_time": 1}, rows={**OUT, "stop_times": 3}),
    Example("third direction", _with("trips.txt", "Lycée,0", "Lycée,2"), ROWS - 3,
            {"unknown_value": 1, "unknown_reference": 2},
            rows={**OUT, "trips": 1, "stop_times": 2}),
    Example("31 February", _with("calendar_dates.txt", "20260309", "20260231"), ROWS - 1,
            {"wrong_date": 1}, rows={**OUT, "services": 9}),
    Example("ends before", _with("calendar.txt", "20260315", "20260301"), ROWS - 1,
            {"end_before_start": 1}, rows={**OUT, "services": 1}),
    Example("a thousand years", _with("calendar.txt", "20260315", "30260315"), ROWS - 1,
            {"impossible_value": 1}, rows={**OUT, "services": 1}),
    Example("exception of kind 3", _with("calendar_dates.txt", "20260309,2", "20260309,3"),
            ROWS - 1, {"unknown_value": 1}, rows={**OUT, "services": 9}),
    Example("type in words", _with("routes.txt", "712", "bus"), malformed="unreadable_table"),
    Example("more cells than headers", _with("stops.txt", _HEADS + ",location_type,parent_station",
            _HEADS), malformed="unreadable_table"),
    Example("no stops", _less("stops.txt"), malformed="missing_table"),
    Example("no calendar", _less("calendar.txt", "calendar_dates.txt"), malformed="missing_table"),
    Example("no latitudes", _with("stops.txt", "stop_lat", "lat"), malformed="missing_column"),
    Example("stops twice", _twice, malformed="duplicate_table"),
    Example("latin-1", _plus({"stops.txt": FEED["stops.txt"].encode("latin-1")}),
            malformed="wrong_encoding"),
    Example("path outside", _plus({"../stops.txt": "x"}), malformed="unsafe_archive"),
    Example("absolute path", _plus({"/etc/stops.txt": "x"}), malformed="unsafe_archive"),
    Example("bomb", _bomb, malformed="expands_too_much"),
    Example("cut", lambda: packed(FEED)[:-200], malformed="truncated"),
    Example("damaged", lambda: packed(FEED)[:60] + b"\xff" * 40 + packed(FEED)[100:],
            malformed="corrupt_archive"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a CSV", FEED["stops.txt"].encode, malformed="wrong_format"),
)  # fmt: skip

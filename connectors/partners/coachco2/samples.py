"""Examples of CoachCO2 files, good and bad, made from one small document."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any, Final

from connectors.contract import Example

Document = dict[str, Any]


def section(mode: str = "PredictedModeTypes.BUS", **changed: Any) -> Document:
    """A section as the app writes it: a collection of one line."""
    properties = {
        "feature_type": "section",
        "sensed_mode": mode,
        "distance": 4200.0,
        "duration": 600,
        "distances": [0, 2000.0, 2200.0],
        "timestamps": [1772434800000, 1772435100000, 1772435400000],
        "speeds": [0, 6.7, 7.3],
    }
    line = {"type": "LineString", "coordinates": [[1.9, 47.9], [1.91, 47.91], [1.92, 47.92]]}
    feature = {"type": "Feature", "geometry": line, "properties": properties | changed}
    return {"type": "FeatureCollection", "features": [feature]}


def trip(number: int = 1, *sections: Document, **changed: Any) -> Document:
    """A trip of 2 March 2026; `changed` overrides properties of the series."""
    properties = {
        "start_fmt_time": "2026-03-02T08:00:00+01:00",
        "end_fmt_time": "2026-03-02T08:20:00+01:00",
        "distance": 4700.0,
        "duration": 1200,
        "start_loc": {"type": "Point", "coordinates": [1.9, 47.9]},
        "end_loc": {"type": "Point", "coordinates": [1.92, 47.92]},
        "start_place": {"$oid": "place-1"},
        "end_place": {"$oid": "place-2"},
    }
    ends = [
        {
            "type": "Feature",
            "id": f"place-{place}",
            "geometry": {"type": "Point", "coordinates": [1.9 + place / 100, 47.9]},
            "properties": {"feature_type": "start_place" if place == 1 else "end_place"},
        }
        for place in (1, 2)
    ]
    walk = section("PredictedModeTypes.WALKING", distance=500.0, duration=400)
    return {
        "_id": f"trip-{number}",
        "startDate": "2026-03-02T08:00:00+01:00",
        "endDate": "2026-03-02T08:20:00+01:00",
        "source": "agremob.com",
        "cozyMetadata": {"sourceAccount": f"account-{number % 3}"},
        "series": [
            {
                "type": "FeatureCollection",
                "id": f"series-{number}",
                "properties": properties | changed,
                "features": [*ends, *(sections or (walk, section()))],
            }
        ],
        "aggregation": {"totalCO2": 0.577, "purpose": "COMMUTE"},
    }


def lines(*documents: Document) -> bytes:
    """Documents as NDJSON."""
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def _one(*sections: Document, **changed: Any) -> Callable[[], bytes]:
    return lambda: lines(trip(1, *sections, **changed))


def _without(key: str) -> Callable[[], bytes]:
    return lambda: lines({name: value for name, value in trip().items() if name != key})


def _edited(before: str, after: str) -> Callable[[], bytes]:
    return lambda: lines(trip()).replace(before.encode(), after.encode())


def _three(wrap: Callable[[list[Document]], Any]) -> Callable[[], bytes]:
    return lambda: json.dumps(wrap([trip(n) for n in range(3)])).encode()


def _at(lon: float, lat: float) -> Callable[[], bytes]:
    return _one(start_loc={"type": "Point", "coordinates": [lon, lat]})


def _deep() -> bytes:
    return lines(trip()).replace(b'"agremob.com"', b"[" * 100_000 + b"]" * 100_000)


_LINE: Final = section(distance=-5.0, distances=[])

TRIP_EXAMPLES: Final = (
    Example("one document", _one(), valid=1),
    Example("indented document", lambda: json.dumps(trip(), indent=1).encode(), valid=1),
    Example("lines", lambda: lines(*(trip(n) for n in range(5))), valid=5),
    Example("an array", _three(list), valid=3),
    Example("an indented array", lambda: json.dumps([trip(1), trip(2)], indent=2).encode(),
            valid=2),
    Example("empty array", lambda: b"[]", valid=0),
    Example("CouchDB rows", _three(lambda d: {"total_rows": 3, "rows": [{"doc": t} for t in d]}),
            3),
    Example("Cozy data", _three(lambda d: {"data": [{"attributes": t} for t in d], "meta": {}}), 3),
    Example("Cozy data, plain", _three(lambda d: {"data": d}), 3),
    Example("gzip", lambda: gzip.compress(lines(trip(1), trip(2)), mtime=0), valid=2),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + lines(trip()), valid=1),
    Example("blank lines", lambda: b"\n" + lines(trip(1)) + b"\n\n" + lines(trip(2)), valid=2),
    Example("no aggregation", _without("aggregation"), valid=1),
    Example("time without offset", _one(start_fmt_time="2026-03-02T08:00:00"), valid=1),
    Example("end from its place", _one(end_loc=None), valid=1),
    Example("mode said", _one(section(manual_mode="carpool")), valid=1),
    Example("motion type", _one(section("MotionTypes.BICYCLING")), valid=1),
    Example("unknown mode said", _one(section(manual_mode="BIKE")), valid=1),
    Example("unknown mode", _one(section("PredictedModeTypes.ROCKET")), 1, {}, {"unknown_mode": 1}),
    Example("mode never sensed", _one(section(sensed_mode=None)), 1, {}, {"unknown_mode": 1}),
    Example("negative duration", _one(section(duration=-3)), 1, {}, {"section_repaired": 1}),
    Example("negative distance", _one(section(distance=-3)), 1, {}, {"section_repaired": 1}),
    Example("nothing to repair from", _one(_LINE), 0, {"impossible_value": 1}),
    Example("no account", _without("cozyMetadata"), 0, {"missing_identifier": 1}),
    Example("blank account", _edited('"account-1"', '" "'), 0, {"missing_identifier": 1}),
    Example("no series", _without("series"), 0, {"missing_value": 1}),
    Example("future", _one(end_fmt_time="2099-03-02T08:20:00Z"), 0, {"date_in_future": 1}),
    Example("ends before", _one(end_fmt_time="2026-03-02T07:00:00+01:00"), 0,
            {"end_before_start": 1}),
    Example("clock at zero", _one(start_ts=0), 0, {"date_too_old": 1}),
    Example("no such time", _one(start_fmt_time="2026-13-02T08:00"), 0, {"wrong_time": 1}),
    Example("latitude first", _at(47.9, 1.9), 0, {"position_swapped": 1}),
    Example("off the globe", _at(190.0, 47.9), 0, {"position_outside_world": 1}),
    Example("null island", _at(0.0, 0.0), 0, {"position_missing": 1}),
    Example("distance in words", _one(distance="far"), 0, {"wrong_type": 1}),
    Example("NaN", _one(distance=float("nan")), 0, {"invalid_json": 1}),
    Example("huge number", _edited("4700.0", "1e999"), 0, {"wrong_type": 1}),
    Example("two accounts", _edited('{"sourceAccount"', '{"sourceAccount": "x", "sourceAccount"'),
            0, {"duplicate_key": 1}),
    Example("deep", _deep, 0, {"too_deep": 1}),
    Example("same trip twice", lambda: lines(trip(1), trip(1)), 1, {"duplicate_row": 1}),
    Example("bad line among good", lambda: lines(trip(1)) + b"{]\n" + lines(trip(2)), 2,
            {"invalid_json": 1}),
    Example("NUL byte", _edited("agremob", "a\0b"), 0, {"nul_byte": 1}),
    Example("latin-1 text", lambda: lines(trip()).replace(b"agremob", b"agr\xe9mob"), 1),
    Example("latin-1 account", lambda: lines(trip()).replace(b"account-1", b"acc\xe9"), 0,
            {"wrong_encoding": 1}),
    Example("cut in the last line", lambda: lines(trip(1), trip(2))[:-400], 1, {"truncated": 1}),
    Example("cut array", lambda: json.dumps([trip(1), trip(2)]).encode()[:-20],
            malformed="truncated"),
    Example("cut document", lambda: json.dumps(trip()).encode()[:-20], malformed="truncated"),
    Example("cut gzip", lambda: gzip.compress(lines(trip()), mtime=0)[:-12], malformed="truncated"),
    Example("damaged gzip", lambda: gzip.compress(lines(trip()), mtime=0)[:20] + b"\xff" * 400,
            malformed="corrupt_archive"),
    Example("gzip bomb", lambda: gzip.compress(b" " * 60_000_000, mtime=0),
            malformed="expands_too_much"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("blanks", lambda: b" \n ", malformed="empty_file"),
    Example("a CSV", lambda: b"id,start\n1,2\n", malformed="invalid_json"),
    Example("UTF-16", lambda: lines(trip()).decode().encode("utf-16"), malformed="wrong_encoding"),
    Example("no comma between", lambda: b"[{}{}]", malformed="invalid_json"),
)  # fmt: skip


def measure(name: str = "sections-count-monthly", value: float = 3, **groups: str) -> Document:
    """A post to the DACC; `groups` override the ones of a section measure."""
    given = {
        "mode": "BUS",
        "school": "Lycée Pothier",
        "userType": "highSchoolStudent",
        "schoolTripDirection": "outward",
        "isMainMode": "1",
    } | groups
    return {
        "createdBy": "coachco2",
        "measureName": name,
        "startDate": "2026-03-15",
        "value": value,
        "groups": [{key: text} for key, text in given.items()],
    }


def _post(**changed: Any) -> Callable[[], bytes]:
    return lambda: lines(measure() | changed)


MEASURE_EXAMPLES: Final = (
    Example("an array", lambda: json.dumps([measure(), measure("sections-CO2-monthly",
            0.6)]).encode(),
            valid=2),
    Example("lines", lambda: lines(*(measure(value=n) for n in range(4))), valid=4),
    Example("consent", _post(measureName="experimentation-consent",
                             groups=[{"userType": "other"}]), valid=1),
    Example("no school", lambda: lines(measure(school="", schoolTripDirection="none")), valid=1),
    Example("groups of version 1", lambda: lines(
        {k: v for k, v in measure().items() if k != "groups"}
        | {"group1": {"mode": "BUS"}, "group2": {"school": "x"}}), valid=1),
    Example("flag as boolean", _post(groups=[{"isMainMode": True}]), valid=1),
    Example("sent again the next day", lambda: lines(measure(), measure(value=4)
            | {"startDate": "2026-03-16"}), 2, {}, {"sent_again": 1}, rows={"measures": 1}),
    Example("another month", lambda: lines(measure(), measure() | {"startDate": "2026-02-28"}), 2),
    Example("unknown mode", lambda: lines(measure(mode="ROCKET")), 1, {}, {"unknown_mode": 1}),
    Example("unknown user", lambda: lines(measure(userType="teacher")), 0, {"unknown_value": 1}),
    Example("a school name that holds a slash", lambda: lines(measure(school="Lycée A",
            userType="B")), 0, {"unknown_value": 1}),
    Example("endless value", lambda: lines(measure()).replace(b": 3,", b": 1e999,"), 0,
            {"wrong_type": 1}),
    Example("NaN", lambda: lines(measure()).replace(b": 3,", b": NaN,"), 0, {"invalid_json": 1}),
    Example("two values", lambda: lines(measure()).replace(b": 3,", b': 3, "value": 9,'), 0,
            {"duplicate_key": 1}),
    Example("deep", lambda: lines(measure()).replace(b": 3,", b": 3, \"x\": " + b"[" * 60_000
            + b"]" * 60_000 + b","), 0, {"too_deep": 1}),
    Example("NUL byte", lambda: lines(measure()).replace(b"Pothier", b"\0"), 0, {"nul_byte": 1}),
    Example("unknown measure", _post(measureName="steps"), 0, {"unknown_value": 1}),
    Example("unknown direction", lambda: lines(measure(schoolTripDirection="up")), 0,
            {"unknown_value": 1}),
    Example("no sender", _post(createdBy=""), 0, {"missing_value": 1}),
    Example("no value", _post(value=None), 0, {"missing_value": 1}),
    Example("negative value", _post(value=-1), 0, {"impossible_value": 1}),
    Example("value in words", _post(value="3"), 0, {"wrong_type": 1}),
    Example("31 February", _post(startDate="2026-02-31"), 0, {"wrong_date": 1}),
    Example("future", _post(startDate="2099-03-01"), 0, {"date_in_future": 1}),
    Example("clock at zero", _post(startDate="1970-01-01"), 0, {"date_too_old": 1}),
    Example("cut", lambda: json.dumps([measure()]).encode()[:-9], malformed="truncated"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a CSV", lambda: b"measureName;value\n", malformed="invalid_json"),
)  # fmt: skip

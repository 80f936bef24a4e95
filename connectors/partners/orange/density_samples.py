"""Examples of CAMARA population-density answers, good and bad."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any, Final

from connectors.contract import Example


def cell(geohash: str = "u0d", kind: str = "DENSITY_ESTIMATION", **changed: Any) -> dict[str, Any]:
    """A cell; one that is no estimation carries no number."""
    figures = {"pplDensity": 120, "minPplDensity": 90, "maxPplDensity": 160}
    given = figures if kind == "DENSITY_ESTIMATION" else {}
    return {"geohash": geohash, "dataType": kind, **given, **changed}


def _answer(*cells: dict[str, Any], **changed: Any) -> bytes:
    period = {
        "startTime": "2026-03-02T06:00:00Z",
        "endTime": "2026-03-02T06:30:00Z",
        "cellPopulationDensityData": [cell("u0b"), *cells],
    }
    return json.dumps(
        {"status": "SUPPORTED_AREA", "timedPopulationDensityData": [period | changed]}
    ).encode()


def _bad(kind: str = "DENSITY_ESTIMATION", **changed: Any) -> Callable[[], bytes]:
    return lambda: _answer(cell(kind=kind, **changed))


def _when(**changed: Any) -> Callable[[], bytes]:
    return lambda: _answer(**changed)


def _edited(before: bytes, after: bytes) -> Callable[[], bytes]:
    return lambda: _answer(cell()).replace(before, after)


EXAMPLES: Final = (
    Example("two cells", lambda: _answer(cell()), valid=2),
    Example("withheld", lambda: _answer(cell(kind="LOW_DENSITY")), valid=2),
    Example("withheld, with a number", _bad("LOW_DENSITY", pplDensity=3), valid=2),
    Example("no data", lambda: _answer(cell(kind="NO_DATA")), valid=2),
    Example("two answers", lambda: _answer() + b"\n" + _answer(startTime="2026-03-02T05:30:00Z",
            endTime="2026-03-02T06:00:00Z"), valid=2),
    Example("gzip", lambda: gzip.compress(_answer(), mtime=0), valid=1),
    Example("no period", lambda: b'{"timedPopulationDensityData": []}', valid=0),
    Example("a forecast", _when(startTime="2026-12-15T05:00:00Z", endTime="2026-12-15T06:00:00Z"),
            1),
    Example("cell twice", lambda: _answer(cell("u0b")), 1, {"duplicate_row": 1}),
    Example("no geohash", _bad(geohash=""), 1, {"missing_value": 1}),
    Example("no such geohash", _bad(geohash="ailo"), 1, {"wrong_code": 1}),
    Example("no kind", _bad(dataType=None), 1, {"missing_value": 1}),
    Example("unknown kind", _bad(dataType="GUESS"), 1, {"unknown_value": 1}),
    Example("estimation without number", _bad(pplDensity=None), 1, {"missing_value": 1}),
    Example("minus one", _bad(pplDensity=-1), 1, {"impossible_value": 1}),
    Example("outside its bounds", _bad(pplDensity=500), 1, {"impossible_value": 1}),
    Example("density in words", _bad(pplDensity="many"), 1, {"wrong_type": 1}),
    Example("half a person", _bad(pplDensity=0.5), 1, {"wrong_type": 1}),
    Example("period that ends before", _when(endTime="2026-03-02T05:00:00Z"), 0,
            {"end_before_start": 1}),
    Example("period without offset", _when(startTime="2026-03-02T06:00:00"), 0, {"wrong_time": 1}),
    Example("month 13", _when(startTime="2026-13-02T06:00:00Z"), 0, {"wrong_time": 1}),
    Example("clock at zero", _when(startTime="1970-01-01T00:00:00Z"), 0, {"date_too_old": 1}),
    Example("future", _when(startTime="2099-01-01T00:00:00Z", endTime="2099-01-01T00:30:00Z"), 0,
            {"date_in_future": 1}),
    Example("no periods", lambda: b'{"status": "x"}', 0, {"missing_value": 1}),
    Example("NaN", _edited(b": 120", b": NaN"), 0, {"invalid_json": 1}),
    Example("NUL byte", _edited(b"SUPPORTED", b"\0"), 0, {"nul_byte": 1}),
    Example("deep", _edited(b'"SUPPORTED_AREA"', b"[" * 60_000 + b"]" * 60_000), 0,
            {"too_deep": 1}),
    Example("cut", lambda: _answer()[:-9] + b"\n", malformed="truncated"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a CSV", lambda: b"geohash,density\nu0b,1\n", malformed="invalid_json"),
    Example("UTF-16", lambda: _answer().decode().encode("utf-16"), malformed="wrong_encoding"),
    Example("gzip bomb", lambda: gzip.compress(b" " * 60_000_000, mtime=0),
            malformed="expands_too_much"),
)  # fmt: skip

"""The large files of the benchmarks, made here: no partner's file is needed, and none is random.

Sizes are those of the goals unless the environment says less: `BENCH_ROWS` taps,
`BENCH_DOCUMENTS_MB` of documents.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

ROWS: Final = int(os.environ.get("BENCH_ROWS", "5000000"))
DOCUMENTS_MB: Final = int(os.environ.get("BENCH_DOCUMENTS_MB", "500"))
CARDS: Final = 200_000
POINTS: Final = 60
"""Recorded positions of a section; real documents have 5 to 220."""

_TAPS: Final = """
COPY (
  SELECT
    format('TX{{:010d}}', i) AS transaction_id,
    CASE WHEN {bad} AND i % 400 = 37 THEN '31/12/2025' ELSE day END AS service_date,
    day || CASE WHEN {bad} AND i % 400 = 137 THEN 'T25:00:00' ELSE clock END AS event_timestamp,
    '0' AS amount,
    'EUR' AS currency_type,
    CASE WHEN {bad} AND i % 400 = 237 THEN 'Fly'
         ELSE CASE h % 20 WHEN 0 THEN 'Exit' WHEN 1 THEN 'Transfer entrance' ELSE 'Enter' END
    END AS fare_action,
    '' AS trip_id_performed,
    line || format(':Trip:{{:04d}}', (h // 840 % 900)::INT) AS trip_id_scheduled,
    line || format(':Stop:{{:03d}}', (h // 11 % 30)::INT) AS stop_id,
    '1' AS num_riders,
    'Smart card or ticket' AS fare_media_id,
    'Student' AS rider_category,
    'Pass scolaire' AS fare_product,
    'false' AS fare_capped,
    CASE WHEN {bad} AND i % 400 = 337 THEN ''
         ELSE format('CARD{{:08d}}', (h // 13 % {cards})::INT) END AS token_id
  FROM (
    SELECT i, h, strftime(DATE '2025-09-01' + (i * 30 // {rows})::INT, '%Y-%m-%d') AS day,
      format('T{{:02d}}:{{:02d}}:{{:02d}}', 6 + (h % 15)::INT, (h // 15 % 60)::INT,
             (h // 900 % 60)::INT) AS clock,
      format('REMI{{:03d}}', (h // 7 % 120)::INT) AS line
    FROM (SELECT i, hash(i) >> 2 AS h FROM range({rows}) made(i))
  )
) TO '{path}' (FORMAT csv, HEADER, QUOTE '')
"""


def tides(path: Path, rows: int = ROWS, *, bad: bool = False) -> Path:
    """Make a TIDES file of a month in time order; `bad`: one row in a hundred is.

    The bad ones are of four kinds in equal parts, spread over the whole file.
    """
    if not path.exists():
        query = _TAPS.format(path=path, rows=rows, cards=CARDS, bad="true" if bad else "false")
        with engine() as connection:
            connection.execute(query)
    return path


def engine() -> duckdb.DuckDBPyConnection:
    """DuckDB on all cores, without the progress bar it draws over the table."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    return connection


def card(number: int) -> str:
    """The reference of a card in those files, from 0 to `CARDS`."""
    return f"CARD{number:08d}"


def documents(path: Path, megabytes: int = DOCUMENTS_MB) -> Path:
    """Make NDJSON of CoachCO2 documents, about 20 kB each: a trip of three sections."""
    if path.exists():
        return path
    with path.open("wb") as file:
        number = 0
        while file.tell() < megabytes * 1_000_000:
            text = json.dumps(_trip(number), separators=(",", ":"))
            file.write(text.encode() + b"\n")
            number += 1
    return path


def _moment(at: datetime, kind: str) -> dict[str, Any]:
    return {
        f"{kind}_fmt_time": at.isoformat(),
        f"{kind}_ts": at.timestamp(),
        f"{kind}_local_dt": {
            "year": at.year, "month": at.month, "day": at.day, "hour": at.hour,
            "minute": at.minute, "second": at.second, "weekday": at.weekday(),
            "timezone": "Europe/Paris",
        },
    }  # fmt: skip


def _section(number: int, mode: str, start: datetime) -> dict[str, Any]:
    end = start + timedelta(minutes=7)
    line = [
        [1.9 + (number % 977 + n) / 7919, 47.9 + (number % 769 + 2 * n) / 7873]
        for n in range(POINTS)
    ]
    steps = [37.0 + (number + 31 * n) % 97 / 7 for n in range(POINTS)]
    begun = round(start.timestamp() * 1000)
    about = {
        "feature_type": "section",
        "sensed_mode": f"PredictedModeTypes.{mode}",
        "source": "SmoothedHighConfidenceMotion",
        **_moment(start, "start"),
        **_moment(end, "end"),
        "duration": 420.0,
        "distance": sum(steps),
        "distances": steps,
        "speeds": [step / 7 for step in steps],
        "times": [n * 7 for n in range(POINTS)],
        "timestamps": [begun + n * 7000 for n in range(POINTS)],
    }
    feature = {
        "type": "Feature",
        "id": f"{number:024x}",
        "geometry": {"type": "LineString", "coordinates": line},
        "properties": about,
    }
    return {"type": "FeatureCollection", "features": [feature]}


def _place(number: int, kind: str, at: list[float], moment: datetime) -> dict[str, Any]:
    about = {"feature_type": kind, "source": "DwellSegmentationTimeFilter", "duration": 600.0}
    return {
        "type": "Feature",
        "id": f"{kind}-{number}",
        "geometry": {"type": "Point", "coordinates": at},
        "properties": about | _moment(moment, "enter") | _moment(moment, "exit"),
    }


def _trip(number: int) -> dict[str, Any]:
    start = datetime(2025, 9, 1, 6, tzinfo=UTC) + timedelta(minutes=number % 200_000)
    end = start + timedelta(minutes=25)
    here, there = [1.9 + number % 991 / 9973, 47.9], [1.95, 47.9 + number % 983 / 9967]
    modes = ("WALKING", "BUS", "WALKING")
    return {
        "_id": f"{number:032x}",
        "source": "agremob.com",
        "startDate": start.isoformat(),
        "endDate": end.isoformat(),
        "captureDevice": "made by the benchmark",
        "cozyMetadata": {"sourceAccount": f"account-{number % 2_000:05d}"},
        "series": [
            {
                "type": "FeatureCollection",
                "id": f"{number:024x}",
                "properties": {
                    **_moment(start, "start"),
                    **_moment(end, "end"),
                    "duration": 1500.0,
                    "distance": 9000.0 + number % 89,
                    "start_loc": {"type": "Point", "coordinates": here},
                    "end_loc": {"type": "Point", "coordinates": there},
                    "start_place": {"$oid": f"start_place-{number}"},
                    "end_place": {"$oid": f"end_place-{number}"},
                    "manual_purpose": "COMMUTE",
                },
                "features": [
                    _place(number, "start_place", here, start),
                    _place(number, "end_place", there, end),
                    *(
                        _section(number * 3 + n, mode, start + timedelta(minutes=8 * n))
                        for n, mode in enumerate(modes)
                    ),
                ],
            }
        ],
        "aggregation": {"totalCO2": 0.4, "purpose": "COMMUTE"},
    }

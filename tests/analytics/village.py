"""A small independent simulator of pupils' trips, for recognition tests only.

A day is a list of (hour, place) moves; each becomes a trip with recording noise. Places are metres
from the lycée. Nothing here is shared with the demo territory's generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from analytics.recognise import Places, Rules

PARIS = ZoneInfo("Europe/Paris")
LYCEE = (1.909, 47.902)
OTHER_LYCEE = (0.690, 47.394)
Point = tuple[float, float]
FIRST_MONDAY = date(2025, 9, 8)

HOLIDAYS = [("2025-10-18", "2025-11-02"), ("2025-12-20", "2026-01-04")]
PUBLIC = ["2025-11-11"]

SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("trip", pa.string()),
        ("start", pa.timestamp("us", "UTC")),
        ("end", pa.timestamp("us", "UTC")),
        ("start_lon", pa.float64()),
        ("start_lat", pa.float64()),
        ("end_lon", pa.float64()),
        ("end_lat", pa.float64()),
        ("distance_m", pa.float64()),
        ("duration_s", pa.float64()),
        ("main_mode", pa.string()),
        (
            "sections",
            pa.list_(
                pa.struct(
                    [
                        ("mode", pa.string()),
                        ("distance_m", pa.float64()),
                        ("duration_s", pa.float64()),
                    ]
                )
            ),
        ),
        ("app_co2_kg", pa.float64()),
        ("purpose", pa.string()),
    ]
)


def rules(**changes: float) -> Rules:
    """The rules with this calendar."""
    return Rules.from_mapping(
        changes, school_year="2025-2026", holidays=HOLIDAYS, public_holidays=PUBLIC
    )


def places() -> Places:
    """Two lycées far apart, three communes."""
    return Places(
        pa.table(
            {
                "uai": ["0450000A", "0370000B"],
                "name": ["Un", "Deux"],
                "lon": [LYCEE[0], OTHER_LYCEE[0]],
                "lat": [LYCEE[1], OTHER_LYCEE[1]],
                "commune": ["45234", "37261"],
                "department": ["45", "37"],
            }
        ),
        pa.table(
            {
                "commune": ["45234", "45147", "37261"],
                "lon": [1.909, 1.98, 0.690],
                "lat": [47.902, 47.95, 47.394],
            }
        ),
    )


def point(east: float, north: float) -> Point:
    """Degrees of a point given in metres from the lycée."""
    return (LYCEE[0] + east / 74_600, LYCEE[1] + north / 111_200)


@dataclass
class Diary:
    """Collects one or more people's trips."""

    seed: int = 1
    noise_m: float = 25.0
    cold_start_m: float = 0.0
    missed: float = 0.0
    rows: list[dict[str, object]] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def move(
        self, subject: str, day: date, hour: float, a: Point, b: Point, *, wanted: bool = False
    ) -> None:
        """One trip from a to b, recorded with noise, a late start, or not at all."""
        if self.rng.random() < self.missed:
            return
        east, north = (b[0] - a[0]) * 74_600, (b[1] - a[1]) * 111_200
        metres = float(np.hypot(east, north))
        late = min(self.cold_start_m * float(self.rng.random()), metres * 0.9) / max(metres, 1)
        start = datetime.combine(day, time(), PARIS) + timedelta(hours=hour)
        end = start + timedelta(minutes=5 + metres / 400)

        def blur() -> tuple[float, float]:
            return (
                float(self.rng.normal(0, self.noise_m)) / 74_600,
                float(self.rng.normal(0, self.noise_m)) / 111_200,
            )

        one, two = blur(), blur()
        trip = f"{subject}-{len(self.rows)}"
        if wanted:
            self.wanted.add(trip)
        self.rows.append(
            {
                "subject": subject,
                "trip": trip,
                "start": start.astimezone(UTC),
                "end": end.astimezone(UTC),
                "start_lon": a[0] + late * (b[0] - a[0]) + one[0],
                "start_lat": a[1] + late * (b[1] - a[1]) + one[1],
                "end_lon": b[0] + two[0],
                "end_lat": b[1] + two[1],
                "distance_m": metres * 1.3,
                "duration_s": (end - start).total_seconds(),
                "main_mode": "BUS",
                "sections": [
                    {"mode": "WALKING", "distance_m": 149.0, "duration_s": 100.0},
                    {"mode": "BUS", "distance_m": metres * 1.3, "duration_s": 631.0},
                ],
                "app_co2_kg": 0.12345,
                "purpose": "SHOPPING",
            }
        )

    def school_day(self, subject: str, day: date, home: Point, back: Point | None = None) -> None:
        """To the lycée in the morning, home in the afternoon."""
        self.move(subject, day, 7.4, home, LYCEE, wanted=True)
        self.move(subject, day, 17.1, LYCEE, back or home, wanted=True)

    def table(self) -> pa.Table:
        """In the connector's schema, in the order recorded."""
        return pa.Table.from_pylist(self.rows, schema=SCHEMA)


def school_days(weeks: int, first: date = FIRST_MONDAY) -> Sequence[date]:
    """Mondays to Fridays."""
    return [first + timedelta(days=7 * w + d) for w in range(weeks) for d in range(5)]

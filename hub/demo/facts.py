"""The demo's typed-in facts (see data/README.md) and its school calendar, from the territory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.settings import Territory

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Lycee:
    """A real lycée: UAI, name, INSEE code of its commune, WGS84 position, kind (LEGT, LPO, LP)."""

    uai: str
    name: str
    commune: str
    lon: float
    lat: float
    kind: str
    pilot: bool


@dataclass(frozen=True, slots=True)
class Commune:
    """A commune of residence: INSEE code, name, position of its chef-lieu, TER stop or not."""

    code: str
    name: str
    lon: float
    lat: float
    population: int
    ter: bool


@dataclass(frozen=True)
class Facts:
    """What is true before anything is drawn."""

    lycees: tuple[Lycee, ...]
    communes: tuple[Commune, ...]
    territory: Territory
    distance: NDArray[np.float64]
    """Metres from each lycée (rows) to each commune (columns)."""

    def commune_of(self, lycee: Lycee) -> Commune:
        """The commune a lycée stands in."""
        return next(commune for commune in self.communes if commune.code == lycee.commune)

    def school_days(self, first: date, last: date) -> list[date]:
        """Days with lessons from first to last, both included."""
        return [day for day in days(first, last) if self.is_school_day(day)]

    def is_school_day(self, day: date) -> bool:
        """Monday to Friday, outside school holidays and public holidays."""
        iso = day.isoformat()
        return (
            day.weekday() < 5
            and iso not in self.territory.public_holidays
            and not any(first <= iso <= last for first, last in self.territory.holidays)
        )

    def bell(self, uai: str, name: str) -> int:
        """Local time of a bell (`first`, `last`, `wednesday_last`) in seconds past midnight."""
        bells: dict[str, Any] = {
            **self.territory.bells["default"],
            **self.territory.bells.get(uai, {}),
        }
        at = time.fromisoformat(bells[name])
        return at.hour * 3600 + at.minute * 60


def days(first: date, last: date) -> Iterator[date]:
    """Every day from first to last, both included."""
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def load(territory: Territory) -> Facts:
    """Read the tables of facts that ship with the demo."""
    lycees = tuple(
        Lycee(
            uai=row["uai"],
            name=row["name"],
            commune=row["commune"],
            lon=float(row["longitude"]),
            lat=float(row["latitude"]),
            kind=row["kind"],
            pilot=row["pilot"] == "1",
        )
        for row in _rows("lycees.csv")
    )
    communes = tuple(
        Commune(
            code=row["code"],
            name=row["name"],
            lon=float(row["longitude"]),
            lat=float(row["latitude"]),
            population=int(row["population"]),
            ter=row["ter"] == "1",
        )
        for row in _rows("communes.csv")
    )
    here = np.array([(lycee.lon, lycee.lat) for lycee in lycees])
    there = np.array([(commune.lon, commune.lat) for commune in communes])
    east = (here[:, None, 0] - there[None, :, 0]) * np.cos(np.radians(47.5))
    north = here[:, None, 1] - there[None, :, 1]
    return Facts(lycees, communes, territory, 111_320.0 * np.hypot(east, north))


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))

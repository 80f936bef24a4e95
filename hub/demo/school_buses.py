"""An invented school-bus network serving every lycée in time for its bells, as GTFS and as taps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hub.demo import geo
from hub.demo.facts import Commune, Facts, Lycee

REACH_METRES: Final = 32_000.0
SECTORS: Final = 5
MAX_STOPS: Final = 6
DETOUR_METRES: Final = 2_500.0
BUS_METRES_PER_SECOND: Final = 11.0
FIRST_DAY: Final = date(2025, 9, 1)
LAST_DAY: Final = date(2026, 7, 3)


@dataclass(frozen=True, slots=True)
class Run:
    """One journey: its trip id, on which service, times in seconds, `calls` stop by stop."""

    trip: str
    service: str
    outward: bool
    calls: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One school route: its id, its name, and `communes` in the order of the way to the lycée."""

    route: str
    name: str
    lycee: Lycee
    communes: tuple[Commune, ...]
    runs: tuple[Run, ...]


def stop_id(place: Commune | Lycee) -> str:
    """GTFS stop of a commune or a lycée."""
    code = place.uai if isinstance(place, Lycee) else place.code
    return f"SYN:StopPoint:{code}"


def network(facts: Facts, enrolled: NDArray[np.int64]) -> list[Line]:
    """Lines to each lycée from every side, through communes that have pupils there."""
    lines = []
    for row, lycee in enumerate(facts.lycees):
        sectors: dict[int, list[tuple[float, Commune]]] = {}
        for column in np.flatnonzero(enrolled[row] >= 2).tolist():
            commune, away = facts.communes[column], float(facts.distance[row, column])
            if 2_000 < away < REACH_METRES:
                angle = math.atan2(commune.lat - lycee.lat, commune.lon - lycee.lon)
                sector = int((angle / (2 * math.pi) % 1.0) * SECTORS)
                sectors.setdefault(sector, []).append((away, commune))
        ways = [way for _, found in sorted(sectors.items()) for way in _ways(lycee, found)]
        lines += [_line(facts, lycee, number, way) for number, way in enumerate(ways)]
    return lines


def _ways(lycee: Lycee, found: list[tuple[float, Commune]]) -> list[tuple[Commune, ...]]:
    """Split a sector into ways to the lycée, from the farthest commune in, without big detours."""
    left = [commune for _, commune in sorted(found, key=lambda pair: (-pair[0], pair[1].code))]
    ways = []
    while left:
        way = [left.pop(0)]
        for commune in list(left):
            here, there, goal = way[-1], commune, lycee
            direct = geo.metres_between(here.lon, here.lat, goal.lon, goal.lat)
            through = geo.metres_between(here.lon, here.lat, there.lon, there.lat)
            through += geo.metres_between(there.lon, there.lat, goal.lon, goal.lat)
            if through < direct + DETOUR_METRES and len(way) < MAX_STOPS:
                way.append(commune)
                left.remove(commune)
        ways.append(tuple(way))
    return ways


def _line(facts: Facts, lycee: Lycee, number: int, communes: tuple[Commune, ...]) -> Line:
    route = f"SYN:Line:{lycee.uai}-{number + 1}"
    points = [(c.lon, c.lat) for c in communes] + [(lycee.lon, lycee.lat)]
    hops = [
        90 + int(1.3 * geo.metres_between(*a, *b) / BUS_METRES_PER_SECOND)
        for a, b in pairwise(points)
    ]
    stops = [stop_id(c) for c in communes] + [stop_id(lycee)]
    first = facts.bell(lycee.uai, "first")
    last = facts.bell(lycee.uai, "last")
    noon = facts.bell(lycee.uai, "wednesday_last")
    runs = [
        _run(route, "matin", "SYN:LMJV", first - 12 * 60 - sum(hops), stops, hops, outward=True),
        _run(route, "matin-mer", "SYN:ME", first - 12 * 60 - sum(hops), stops, hops, outward=True),
    ]
    back, way = stops[::-1], hops[::-1]
    # Two buses home: one when lessons mostly end, one after the last bell.
    runs += [
        _run(route, "soir1", "SYN:LMJV", last - 70 * 60, back, way, outward=False),
        _run(route, "soir2", "SYN:LMJV", last + 10 * 60, back, way, outward=False),
        _run(route, "midi-mer", "SYN:ME", noon + 10 * 60, back, way, outward=False),
    ]
    name = f"Scolaire synthétique {communes[0].name} – {lycee.name}"
    return Line(route, name, lycee, communes, tuple(runs))


def _run(
    route: str, label: str, service: str, start: int, stops: list[str], hops: list[int], *,
    outward: bool,
) -> Run:  # fmt: skip
    start -= start % 60
    times = [start]
    for hop in hops:
        times.append(times[-1] + hop)
    trip = f"{route.removeprefix('SYN:Line:')}-{label}"
    return Run(trip, service, outward, tuple(zip(stops, times, strict=True)))

"""The demo's people: where they live, where they go to school, whom they visit. All invented.

Hard cases are simulated as what they are in life, not aimed at any recogniser: two homes, boarders,
homes within sight of the lycée, students with a room in town, staff, and neighbours who are seen
near a lycée every day without belonging to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hub.demo import geo, modes
from hub.demo.dice import Dice
from hub.demo.facts import Commune, Facts, Lycee

DETOUR: Final = 1.27
"""Road distance over distance as the crow flies."""


class Kind(StrEnum):
    """What somebody is to the lycée."""

    PUPIL = "pupil"
    BOARDER = "boarder"
    POST_BAC = "post-bac"
    STAFF = "staff"
    RESIDENT = "resident"
    WORKER = "worker"


ATTENDS: Final = frozenset({Kind.PUPIL, Kind.BOARDER, Kind.POST_BAC, Kind.STAFF})
"""Kinds whose trips from home to lycée are home–lycée trips; others only live or work nearby."""


class Spot(NamedTuple):
    """A place in someone's life. `role` is h1 or h2 (their homes), lycee, or empty."""

    lon: float
    lat: float
    role: str
    commune: str


@dataclass(slots=True)
class Person:
    """One invented participant. `usual` is their mode to the lycée from each home."""

    reference: str
    kind: Kind
    lycee: Lycee
    homes: tuple[Spot, ...]
    place: Spot
    bakery: Spot
    ground: Spot
    haunts: tuple[Spot, ...]
    usual: tuple[str, ...]
    moped: bool
    member: bool
    """Plays in a club on the sports ground beside the lycée."""
    sunday: bool
    """A boarder who goes back on Sunday evening rather than on Monday morning."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a lycée: its gate, a bakery, a sports ground."""

    gate: Spot
    bakery: Spot
    ground: Spot


def surroundings(facts: Facts, seed: int) -> dict[str, Surroundings]:
    """Invented surroundings of every lycée, by UAI: the same for the pilot and for the region."""
    found = {}
    for number, lycee in enumerate(facts.lycees):
        dice = Dice(seed, 10, number)
        name = facts.commune_of(lycee).name
        near = [
            Spot(
                *geo.shift(lycee.lon, lycee.lat, dice.between(low, high), dice.bearing()), "", name
            )
            for low, high in ((10, 70), (160, 420), (170, 300))
        ]
        found[lycee.uai] = Surroundings(near[0]._replace(role="lycee"), near[1], near[2])
    return found


def invent(
    facts: Facts,
    around: dict[str, Surroundings],
    enrolled: NDArray[np.int64],
    lycee: int,
    kind: Kind,
    dice: Dice,
    reference: str,
    *,
    near: bool = False,
    two_homes: bool = False,
) -> Person:
    """Invent one person around `facts.lycees[lycee]`.

    `enrolled` counts pupils by lycée and commune. `near` puts the home in the lycée's own grid
    cell; `two_homes` gives separated parents.
    """
    school = facts.lycees[lycee]
    here = around[school.uai]
    far = kind is Kind.BOARDER
    communes = [_commune(facts, enrolled, lycee, dice, far=far)]
    homes = [_in_own_cell(school, dice) if near else _in_commune(communes[0], dice)]
    if kind is Kind.RESIDENT:
        homes = [geo.shift(school.lon, school.lat, dice.between(110, 420), dice.bearing())]
    if two_homes:
        communes.append(_commune(facts, enrolled, lycee, dice, far=False))
        homes.append(_in_commune(communes[1], dice))
    if kind is Kind.POST_BAC:  # a room in town, and the family further away
        communes = [facts.commune_of(school), _commune(facts, enrolled, lycee, dice, far=True)]
        room = geo.shift(school.lon, school.lat, dice.between(350, 2_500), dice.bearing())
        homes = [room, _in_commune(communes[1], dice)]
    spots = tuple(
        Spot(*point, f"h{n + 1}", communes[min(n, len(communes) - 1)].name)
        for n, point in enumerate(homes)
    )
    place = here.gate
    if kind is Kind.RESIDENT:
        place = Spot(*_in_commune(dice.one_of(facts.communes), dice), "", communes[0].name)
        if geo.metres_between(*spots[0][:2], *place[:2]) > 40_000:
            place = Spot(*geo.shift(school.lon, school.lat, 4_000, dice.bearing()), "", "")
    elif kind is Kind.WORKER:
        office = geo.shift(school.lon, school.lat, dice.between(280, 650), dice.bearing())
        place = Spot(*office, "", facts.commune_of(school).name)
    usual = []
    for spot, commune in zip(spots, communes + communes[:1], strict=False):
        road = DETOUR * geo.metres_between(*spot[:2], *place[:2])
        by_train = commune.ter and facts.commune_of(school).ter
        staff = kind in {Kind.STAFF, Kind.RESIDENT, Kind.WORKER}
        usual.append(modes.to_school(dice, road, by_train=by_train, staff=staff))
    return Person(
        reference=reference,
        kind=kind,
        lycee=school,
        homes=spots,
        place=place,
        bakery=here.bakery,
        ground=here.ground,
        haunts=_haunts(facts, communes, school, dice),
        usual=tuple(usual),
        moped="MOPED" in usual,
        member=dice.chance(0.08),
        sunday=dice.chance(0.25),
    )


def _haunts(
    facts: Facts, communes: Sequence[Commune], school: Lycee, dice: Dice
) -> tuple[Spot, ...]:
    """Shop and friend near home, friend and club near the lycée, and somewhere further."""
    town = facts.commune_of(school)
    home = communes[-1]
    away = dice.one_of(facts.communes)
    if geo.metres_between(home.lon, home.lat, away.lon, away.lat) > 60_000:
        away = town
    return tuple(
        Spot(*_in_commune(commune, dice), "", commune.name)
        for commune in (home, home, town, town, away)
    )


def _commune(
    facts: Facts, enrolled: NDArray[np.int64], lycee: int, dice: Dice, *, far: bool
) -> Commune:
    """A commune of residence, in proportion to the lycée's enrolments; boarders from far away."""
    shares = enrolled[lycee].astype(np.float64)
    if far:
        distance = facts.distance[lycee]
        shares = np.where((distance > 18_000) & (distance < 75_000), shares + 0.3, 0.0)
    sums = np.cumsum(shares)
    return facts.communes[int(np.searchsorted(sums, dice.unit() * sums[-1], side="right"))]


def _in_commune(commune: Commune, dice: Dice) -> tuple[float, float]:
    """A point of the commune: dense at the centre, spread with the square root of population."""
    spread = min(250 + 8 * math.sqrt(commune.population), 2_600)
    radius = spread * math.sqrt(-math.log(1 - dice.unit())) * 0.8
    return geo.shift(commune.lon, commune.lat, radius, dice.bearing())


def _in_own_cell(school: Lycee, dice: Dice) -> tuple[float, float]:
    """A home in the kilometre square of the lycée itself."""
    own = geo.cell(school.lon, school.lat)
    while True:
        point = geo.shift(school.lon, school.lat, dice.between(140, 950), dice.bearing())
        if geo.cell(*point) == own:
            return point

"""Who takes part, when the app watches them, and which of their trips it misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hub.demo.diary import Diary, Trip
from hub.demo.dice import Dice
from hub.demo.facts import Facts, days
from hub.demo.people import Kind, Person, Surroundings, invent

PILOT_PEOPLE: Final = 100
PILOT_TRIPS: Final = 4_800
PILOT_SCHOOL_TRIPS: Final = 980
PILOT_OTHER_TRIPS: Final = PILOT_TRIPS - PILOT_SCHOOL_TRIPS
PILOT_START: Final = date(2025, 9, 29)
PILOT_CASTING: Final[tuple[tuple[Kind, dict[str, bool], int], ...]] = (
    (Kind.BOARDER, {}, 9),
    (Kind.PUPIL, {"two_homes": True}, 14),
    (Kind.PUPIL, {"near": True}, 8),
    (Kind.POST_BAC, {}, 7),
    (Kind.STAFF, {}, 6),
    (Kind.RESIDENT, {}, 2),
    (Kind.WORKER, {}, 2),
    (Kind.PUPIL, {}, 52),
)
"""How many of the pilot's 100 are which; each lycée gets every other one."""

TERMS: Final = (
    (date(2025, 9, 8), date(2025, 12, 19)),
    (date(2026, 1, 5), date(2026, 3, 31)),
    (date(2026, 4, 1), date(2026, 6, 26)),
)
MISSED_AT_LEAST: Final = 0.08
MISSED: Final = 0.12
"""Trips the app loses, in the pilot and in the year: battery, tunnel, phone left at home."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """People and the trips the app kept, in the order it sends them."""

    people: list[Person]
    trips: list[Trip]


def pilot(
    facts: Facts, around: dict[str, Surroundings], enrolled: NDArray[np.int64], seed: int
) -> Cohort:
    """The pilot: two lycées, 100 people, 4,800 trips of which 980 home–lycée, in autumn 2025."""
    dice = Dice(seed, 2)
    pilots = [n for n, lycee in enumerate(facts.lycees) if lycee.pilot]
    castings = [(kind, how) for kind, how, count in PILOT_CASTING for _ in range(count)]
    order = dice.rng.permutation(len(castings)).tolist()
    people: list[Person] = []
    for number, which in enumerate(order):
        kind, how = castings[which]
        lycee = pilots[which % len(pilots)]
        reference = f"coachco2-synth-{number + 1:06d}"
        people.append(invent(facts, around, enrolled, lycee, kind, dice, reference, **how))
    starts = [PILOT_START + timedelta(days=dice.whole(4, 24)) for _ in people]
    length = 12
    while True:  # until the app has seen enough to lose some; a few rounds
        trips = []
        for number, person in enumerate(people):
            diary = Diary(number, person, facts, Dice(seed, 3, number), outings=1.6)
            window = list(days(starts[number], starts[number] + timedelta(days=length)))
            trips += diary.live(window)
        school = [trip for trip in trips if trip.direction]
        other = [trip for trip in trips if not trip.direction]
        seen = min(len(school) / PILOT_SCHOOL_TRIPS, len(other) / PILOT_OTHER_TRIPS)
        if seen >= 1 / (1 - MISSED_AT_LEAST):
            break
        length += 1
    kept = _sample(school, PILOT_SCHOOL_TRIPS, dice.rng)
    kept += _sample(other, PILOT_OTHER_TRIPS, dice.rng)
    return Cohort(people, sorted(kept, key=_when))


def regional_year(
    facts: Facts,
    around: dict[str, Surroundings],
    enrolled: NDArray[np.int64],
    seed: int,
    scale: float,
) -> list[Cohort]:
    """The year 2025-2026 in three terms. Everyone is watched for two or three weeks of one term.

    Most lycées have some 36 to 76 participants, a few between 12 and 28, three fewer than ten.
    `scale` multiplies all of them.
    """
    dice = Dice(seed, 4)
    cohorts = [Cohort([], []) for _ in TERMS]
    number = PILOT_PEOPLE
    for lycee, size in enumerate(_sizes(facts, dice)):
        for _ in range(max(1, round(size * scale))):
            number += 1
            kind = dice.weighted(
                {Kind.PUPIL: 0.83, Kind.BOARDER: 0.06, Kind.POST_BAC: 0.05, Kind.STAFF: 0.04,
                 Kind.RESIDENT: 0.01, Kind.WORKER: 0.01}
            )  # fmt: skip
            person = invent(
                facts, around, enrolled, lycee, kind, dice, f"coachco2-synth-{number:06d}",
                two_homes=kind is Kind.PUPIL and dice.chance(0.13),
            )  # fmt: skip
            term = dice.whole(0, len(TERMS) - 1)
            window = _window(facts, dice, *TERMS[term])
            cohort = cohorts[term]
            diary = Diary(len(cohort.people), person, facts, Dice(seed, 5, number), outings=0.4)
            cohort.people.append(person)
            cohort.trips.extend(t for t in diary.live(window) if not dice.chance(MISSED))
    for cohort in cohorts:
        cohort.trips.sort(key=_when)
    return cohorts


def _window(facts: Facts, dice: Dice, first: date, last: date) -> list[date]:
    """Two or three weeks of a term with at least seven days of lessons."""
    while True:
        start = first + timedelta(days=dice.whole(0, (last - first).days - 13))
        end = min(last, start + timedelta(days=dice.whole(13, 20)))
        if len(facts.school_days(start, end)) >= 7:
            return list(days(start, end))


def _sizes(facts: Facts, dice: Dice) -> list[int]:
    """Participants of each lycée at scale 1."""
    sizes = [dice.whole(36, 76) for _ in facts.lycees]
    others = [n for n, lycee in enumerate(facts.lycees) if not lycee.pilot]
    chosen = dice.rng.permutation(len(others)).tolist()
    for place in chosen[:3]:
        sizes[others[place]] = dice.whole(4, 9)
    for place in chosen[3:10]:
        sizes[others[place]] = dice.whole(14, 28)
    return sizes


def _sample(trips: Sequence[Trip], count: int, rng: np.random.Generator) -> list[Trip]:
    return [trips[n] for n in sorted(rng.permutation(len(trips))[:count].tolist())]


def _when(trip: Trip) -> tuple[date, float, int]:
    return trip.day, trip.start, trip.person

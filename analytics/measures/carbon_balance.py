"""`carbon-balance`: kgCO2e per enrolled pupil and school year for the way to the lycée and back.

Inputs: recognised home–lycée trips (`coachco2/trips/trips`), the directory of lycées.
Population: participants of the app by declared population, never pooled; a participant stands for
an enrolled pupil "if participants resemble the others".
Dimensions: school year × population × area (as in `modal-split`) × variant (a car dedicated to the
pupil, empty way back included; a detour on the driver's way to work) × scope (use, manufacture).
Computation: each section's kilometres times its mode's factor (`analytics.carbon`: fleet-average
car, vehicle-kilometres divided by occupants); a trip without sections counts under its main mode;
a person's mean per bounded trip, both ways, times the plan's school days, or weeks for someone who
comes at the beginning of the week and leaves at its end, as boarders do. Only populations driven
by others (pupils) have the two variants of the car; for the rest both count their own way. Where
the app cannot tell the vehicle, the low and high factors widen the interval, which otherwise
resamples people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ibis
from numpy.random import Generator

from analytics import carbon
from analytics.measures import contributions
from analytics.measures.columns import DIMENSIONS, NOTE, figures
from analytics.model import Cells, Column, Measure, Protected
from analytics.plan import Plan
from analytics.protect import magnitude

COLUMNS: Final = (
    *DIMENSIONS,
    Column(
        "variant",
        "string",
        "Conduite dédiée (retour à vide compté) ou détour",
        "Dedicated drive (empty way back counted) or detour",
    ),
    Column("scope", "string", "Usage ou fabrication du véhicule", "Vehicle use or manufacture"),
    *figures("kgCO2e per enrolled pupil per school year", "Émissions", "Emissions"),
    Column("factors", "string", "Version des facteurs d’émission", "Version of the factors"),
    NOTE,
)

LABELS: Final = tuple(
    f"{variant}/{scope}/{bound}"
    for variant in carbon.VARIANTS
    for scope in carbon.SCOPES
    for bound in carbon.BOUNDS
)


MICROGRAMS: Final = 1_000_000_000
"""In a kilogram. Whole ones add up to the same in any order, on any engine; floats would not."""


def _per_metre(mode: Any, coefficients: Mapping[str, Mapping[str, float]], label: str) -> Any:
    """The coefficient of a mode column, in µg per metre; a mode without one counts as unknown."""
    each = {name: row[label] * (MICROGRAMS / 1000) for name, row in sorted(coefficients.items())}
    return ibis.cases(*((mode == name, value) for name, value in each.items()),
                      else_=each["UNKNOWN"])  # fmt: skip


def _ways(trips: Any, person: list[str], plan: Plan) -> Any:
    """Trips of each person, and ways a year: two a school day, or two a week for those who board.

    Boarders show in their days: outward on Sunday or Monday, back on Friday or Saturday. Three
    trips are the least that can show it.
    """
    outward = trips["direction"] == "outward"
    weekday = trips["date"].day_of_week.index()  # Monday is 0
    edge = ibis.ifelse(outward, weekday.isin([6, 0]), weekday.isin([4, 5]))
    habits = trips.group_by(person).aggregate(edge=edge.ifelse(1, 0).mean(), n=trips.count())
    weekly = (habits["edge"] >= plan.weekly_share) & (habits["n"] >= 3)
    ways = ibis.ifelse(weekly, 2.0 * plan.days / 5, 2.0 * plan.days)
    return habits.select(*person, "n", ways=ways)


def compute(tables: Mapping[str, Any], plan: Plan, rng: Generator) -> Cells:
    """Mean kilograms per person and year for every variant, scope and bound, summed by lycée."""
    bound = contributions.bounded(tables[contributions.TRIPS_TABLE], plan)
    person = ["period", "population", "pseudonym", "uai"]
    trips = bound.trips
    driven, driving = (
        {
            mode: {"/".join(key): value for key, value in row.items()}
            for mode, row in carbon.per_km(plan, driven=by_others).items()
        }
        for by_others in (True, False)
    )
    told = ibis.coalesce(trips["sections"].length(), 0) > 0
    piece = trips.filter(told)
    piece = piece.select(*person, "shrink", section=piece["sections"].unnest())
    pieces = piece.select(
        *person,
        mode=piece["section"]["mode"],
        metres=piece["section"]["distance_m"] * piece["shrink"],
    )
    bare = trips.filter(~told)
    pieces = pieces.union(
        bare.select(*person, mode=bare["main_mode"], metres=bare["distance_m"] * bare["shrink"])
    )
    # No piece of a trip is longer than a trip may be.
    metres = ibis.least(ibis.coalesce(pieces["metres"], 0.0), 1000.0 * plan.trip_km)
    passenger = pieces["population"].isin(list(plan.driven))
    summed = pieces.group_by(person).aggregate(
        **{
            label: (
                metres
                * ibis.ifelse(
                    passenger,
                    _per_metre(pieces["mode"], driven, label),
                    _per_metre(pieces["mode"], driving, label),
                )
            )
            .round()
            .sum()
            for label in LABELS
        }
    )
    ways = _ways(trips, person, plan)
    people = summed.join(ways, person).select(
        *(summed[name] for name in person),
        **{label: summed[label] / ways["n"] * ways["ways"] / float(MICROGRAMS) for label in LABELS},
    )
    return contributions.cells("carbon-balance", LABELS, people, bound.truncated, tables, plan, rng)


def protect(cells: Cells, plan: Plan) -> Protected:
    """Merge areas, round by class, withhold what one person dominates."""
    return magnitude.protect(cells, plan, COLUMNS)


CARBON_BALANCE: Final = Measure(
    "carbon-balance",
    {"fr": "Bilan carbone des trajets domicile–lycée", "en": "Carbon balance of school trips"},
    (contributions.TRIPS_TABLE, contributions.LYCEES_TABLE),
    COLUMNS,
    compute,
    protect,
    {
        "fr": "Émissions des trajets domicile–lycée, en kgCO2e par élève inscrit et par année "
        "scolaire, aller et retour, usage et fabrication séparés, dépose dédiée et détour.",
        "en": "Emissions of home–lycée trips, in kgCO2e per enrolled pupil and school year, both "
        "ways, use and manufacture apart, dedicated drop-off and detour.",
    },
    themes=("TRAN", "ENVI"),
)

"""`modal-split`: how people come to the lycée and go home.

Inputs: recognised home–lycée trips (`coachco2/trips/trips`), the directory of lycées.
Population: participants of the app by declared population, never pooled; figures read "if
participants resemble the others".
Dimensions: school year × population × area (lycée with at least 30 contributors, the department's
other lycées together, department, region) × 4 modes (walk and bike, public transport, car, other).
Computation: the main mode of a trip is the mode of its longest distance, as CoachCO2 says it. A
person's shares are the means of their own bounded trips; an area's are the means of its people's.
Intervals resample people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ibis
from numpy.random import Generator

from analytics.measures import contributions
from analytics.measures.columns import DIMENSIONS, NOTE, figures
from analytics.model import Cells, Column, Measure, Protected
from analytics.plan import Plan
from analytics.protect import distribution

COLUMNS: Final = (
    *DIMENSIONS,
    Column(
        "mode",
        "string",
        "Mode principal, ou plusieurs réunis par « + » ; « all » si sans chiffre",
        "Main mode, or several joined by “+”; “all” where there is no figure",
    ),
    *figures("%", "Part des déplacements", "Share of trips"),
    NOTE,
)


def compute(tables: Mapping[str, Any], plan: Plan, rng: Generator) -> Cells:
    """Mean share of each mode per person, summed by lycée."""
    bound = contributions.bounded(tables[contributions.TRIPS_TABLE], plan)
    trips = bound.trips
    labels = tuple(plan.categories)
    shares = {
        # Not 1.0 and 0.0: to Spark those are decimals, and their mean has five digits.
        label: trips["main_mode"].isin(list(modes)).ifelse(1, 0).mean()
        for label, modes in plan.categories.items()
    }
    # A mode the plan does not know is "other" people's business: none may vanish.
    people = trips.group_by(["period", "population", "pseudonym", "uai"]).aggregate(**shares)
    known = sum((people[label] for label in labels[1:]), people[labels[0]])
    people = people.mutate(**{labels[-1]: people[labels[-1]] + (ibis.literal(1.0) - known)})
    return contributions.cells("modal-split", labels, people, bound.truncated, tables, plan, rng)


def protect(cells: Cells, plan: Plan) -> Protected:
    """Merge categories and areas, round by class."""
    return distribution.protect(cells, plan, COLUMNS)


MODAL_SPLIT: Final = Measure(
    "modal-split",
    {"fr": "Répartition modale des trajets domicile–lycée", "en": "Modal split of school trips"},
    (contributions.TRIPS_TABLE, contributions.LYCEES_TABLE),
    COLUMNS,
    compute,
    protect,
    {
        "fr": "Part des trajets domicile–lycée à pied ou à vélo, en transport collectif, en "
        "voiture et autrement, par lycée et par année scolaire, d’après les trajets de "
        "participants volontaires. À lire « si les participants ressemblent aux autres ».",
        "en": "Share of home–lycée trips on foot or by bike, by public transport, by car and "
        "otherwise, by lycée and school year, from the trips of volunteers. To be read “if "
        "participants resemble the others”.",
    },
    themes=("TRAN", "EDUC"),
)

"""School trips as contributions: bounded per person, each person in one lycée with weight one.

Ibis expressions only, so that they run on DuckDB and elsewhere alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator

from analytics.estimate import People, strata
from analytics.model import Cells, Stratum
from analytics.plan import Plan

TRIPS_TABLE = "coachco2/trips/trips"
LYCEES_TABLE = "region/lycees/lycees"


@dataclass(frozen=True, slots=True)
class Bounded:
    """Trips within the bounds: those of each person's own lycée, numbered, distances capped.

    `shrink` is what remains of a trip's distance under the cap; `truncated` is a one-row
    expression with the share of trips left out or cut.
    """

    trips: Any
    truncated: Any


def bounded(trips: Any, plan: Plan) -> Bounded:
    """Bound what one person can weigh: trips a day, trips a month, kilometres a trip.

    Trips beyond a bound are the latest of their day or month. A person counts where most of
    their kept trips go (ties: the first code); trips to another lycée are left out.
    """
    person = ["period", "population", "pseudonym"]
    order = [
        "quarter_hour",
        "uai",
        "direction",
        "distance_m",
        "duration_s",
        "main_mode",
        "sections",
    ]
    ranked = trips.mutate(
        month=trips["date"].truncate("M"),
        of_day=ibis.row_number().over(
            ibis.window(group_by=[*person, "date"], order_by=[trips[name] for name in order])
        ),
    )
    daily = ranked.filter(ranked["of_day"] < plan.trips_per_day)
    numbered = daily.mutate(
        of_month=ibis.row_number().over(
            ibis.window(group_by=[*person, "month"], order_by=[daily["date"], daily["of_day"]])
        )
    )
    monthly = numbered.filter(numbered["of_month"] < plan.trips_per_month)
    counts = monthly.group_by([*person, "uai"]).aggregate(visits=monthly.count())
    places = counts.mutate(
        rank=ibis.row_number().over(
            ibis.window(group_by=person, order_by=[counts["visits"].desc(), counts["uai"]])
        )
    )
    own = places.filter(places["rank"] == 0).select(*person, "uai")
    kept = monthly.semi_join(own, [*person, "uai"])
    longest = 1000 * plan.trip_km
    distance = ibis.coalesce(kept["distance_m"], 0.0)
    kept = kept.mutate(
        shrink=ibis.ifelse(distance > longest, longest / ibis.greatest(distance, 1.0), 1.0)
    )
    whole = trips.aggregate(n=trips.count()).n.as_scalar()
    intact = kept.filter(kept["shrink"] >= 1.0).count().as_scalar()
    return Bounded(kept, ibis.ifelse(whole > 0, 1.0 - intact / whole, 0.0))


def directory(lycees: Any) -> pa.Table:
    """One row per lycée (uai, name, department), sorted; a lycée pushed twice counts once."""
    one = lycees.group_by("uai").aggregate(
        name=lycees["name"].max(), department=lycees["department"].max()
    )
    return one.order_by("uai").to_pyarrow()


def cells(
    measure: str,
    labels: tuple[str, ...],
    per_person: Any,
    truncated: Any,
    tables: Mapping[str, Any],
    plan: Plan,
    rng: Generator,
) -> Cells:
    """Sum one row per person (period, population, uai and a column per label).

    People are put in the order of what they contribute: pseudonyms differ between two hubs of the
    same rows, and figures must not. People of a lycée the directory does not hold count in no area
    and are left out.
    """
    known = directory(tables[LYCEES_TABLE])
    ordered = ["period", "population", "uai", *labels]
    rows = per_person.select(ordered).order_by(ordered).to_pyarrow()
    spot = pc.index_in(rows.column("uai"), known.column("uai").combine_chunks())
    rows = rows.filter(pc.is_valid(spot))
    lycee = np.asarray(pc.drop_null(spot).to_numpy(), np.int64)
    pairs = [
        (str(a), str(b))
        for a, b in zip(
            rows.column("period").to_pylist(), rows.column("population").to_pylist(), strict=True
        )
    ]
    keys = tuple(sorted(set(pairs)))
    at = {key: i for i, key in enumerate(keys)}
    values = np.stack([np.asarray(rows.column(one).to_numpy()) for one in labels], axis=1)
    found: tuple[Stratum, ...] = ()
    if keys:
        people = People(np.array([at[one] for one in pairs], np.int64), lycee, values)
        found = strata(people, keys, known.num_rows, plan, rng)
    return Cells(
        measure,
        labels,
        tuple(known.column("uai").to_pylist()),
        tuple(str(one) for one in known.column("name").to_pylist()),
        tuple(str(one) for one in known.column("department").to_pylist()),
        found,
        float(truncated.to_pyarrow().as_py() or 0.0),
    )

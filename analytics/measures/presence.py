"""`presence`: how many people are in the zones around lycées, by half hour.

Inputs: 30-minute presence as the operator delivers it (`orange/presence`): volumes extrapolated by
the operator to everyone present. There is no person count; the operator's own floor rules.
Population: everyone in the zone, not pupils.
Dimensions: month × zone × kind of visitor × kind of day × half hour.
Computation: the mean volume over the days of a month, Monday to Friday apart from the weekend. A
half hour delivered twice counts once, with its larger volume. A cell of which a day is missing is
withheld: missing means "under 20 or none", and a mean of the rest would be too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator

from analytics.model import Cells, Column, Measure, Protected, schema_of
from analytics.plan import Plan
from analytics.protect import volumes

PRESENCE_TABLE: Final = "orange/presence/presence"
LYCEE_CODE: Final = r"[0-9]{7}[A-Z]"
"""A lycée's number in a zone's name: it begins with the department, in three digits."""
IRIS_CODE: Final = r"[0-9]{9}"
"""An INSEE statistical unit in a zone's name: it begins with the department, in two."""

CELLS: Final = pa.schema(
    {
        "month": pa.string(),
        "zone": pa.string(),
        "kind": pa.string(),
        "day_type": pa.string(),
        "time": pa.string(),
        "days": pa.int64(),
        "days_observed": pa.int64(),
        "mean": pa.float64(),
        "lycee": pa.string(),
        "iris": pa.string(),
    }
)
"""What is computed before the floor is held, one row a cell."""

COLUMNS: Final = (
    Column("month", "string", "Mois", "Month"),
    Column("geography", "string", "Maille : zone", "Level: zone"),
    Column("area", "string", "Zone d’observation de l’opérateur", "The operator's zone"),
    Column(
        "department",
        "string",
        "Département, vide si la zone ne le dit pas",
        "Department, empty where the zone does not say",
    ),
    Column("kind", "string", "Type de visiteur", "Kind of visitor"),
    Column("day_type", "string", "monday-friday ou weekend", "monday-friday or weekend"),
    Column("time", "string", "Début de la demi-heure", "Start of the half hour"),
    Column(
        "estimate",
        "double",
        "Personnes présentes en moyenne, à la dizaine",
        "People present on average, to the nearest ten",
        "people",
    ),
    Column("days", "int64", "Jours observés dans la zone", "Days observed in the zone", "days"),
    Column("suppressed", "bool", "Retenu", "Withheld"),
    Column(
        "note",
        "string",
        "withheld-by-source : il manque des jours, sous le seuil de l’opérateur ou vides",
        "withheld-by-source: days are missing, under the operator's floor or empty",
    ),
)


def compute(tables: Mapping[str, Any], plan: Plan, rng: Generator) -> Cells:
    """Mean volumes, with how many of the zone's days each has."""
    del plan, rng  # one signature for every measure
    rows = tables[PRESENCE_TABLE]
    once = rows.group_by(["zone", "date", "time", "kind"]).aggregate(volume=rows["volume"].max())
    dated = once.mutate(
        month=once["date"].cast("string").substr(0, 7),
        day_type=(once["date"].day_of_week.index() < 5).ifelse("monday-friday", "weekend"),
    )
    zone = ["month", "zone", "day_type"]
    observed = dated.group_by(zone).aggregate(days_observed=dated["date"].nunique())
    cells = dated.group_by([*zone, "kind", "time"]).aggregate(
        days=dated["date"].nunique(), mean=dated["volume"].mean()
    )
    joined = cells.join(observed, zone)
    ordered = joined.order_by(["month", "zone", "kind", "day_type", "time"])
    made = ordered.mutate(
        lycee=ordered["zone"].re_extract(LYCEE_CODE, 0),
        iris=ordered["zone"].re_extract(IRIS_CODE, 0),
    )
    return Cells("presence", volumes=made.select(*CELLS.names).to_pyarrow().cast(CELLS))


def protect(cells: Cells, plan: Plan) -> Protected:
    """Withhold what the operator's floor touches, and round the rest."""
    del plan
    made = cells.volumes
    if made is None:
        raise ValueError("cells about people are not volumes")
    shown = volumes.complete(made)
    columns = {
        "month": made["month"],
        "geography": pa.array(["zone"] * made.num_rows, pa.string()),
        "area": made["zone"],
        "department": _departments(made),
        "kind": made["kind"],
        "day_type": made["day_type"],
        "time": made["time"],
        "estimate": volumes.rounded(made),
        "days": made["days_observed"],
        "suppressed": pc.invert(shown),
        "note": pc.if_else(shown, "", "withheld-by-source"),
    }
    schema = schema_of(COLUMNS)
    table = pa.table({name: pa.chunked_array([_flat(one)]) for name, one in columns.items()})
    everything = np.asarray(pc.fill_null(table["estimate"], 0.0))
    return Protected(
        table.cast(schema),
        {
            "lane": "volumes",
            "personal": False,
            "steps": ["source-floor", "rounded"],
            "source_floor": volumes.FLOOR,
            "rounded_to": volumes.STEP,
        },
        operators={"orange": everything},
    )


def _departments(made: pa.Table) -> pa.Array:
    lycee, iris = _flat(made["lycee"]), _flat(made["iris"])
    of_lycee = pc.utf8_ltrim(pc.utf8_slice_codeunits(lycee, 0, 3), "0")
    return pc.if_else(pc.equal(lycee, ""), pc.utf8_slice_codeunits(iris, 0, 2), of_lycee)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


PRESENCE: Final = Measure(
    "presence",
    {
        "fr": "Présence autour des lycées par demi-heure",
        "en": "Presence around lycées by half hour",
    },
    (PRESENCE_TABLE,),
    COLUMNS,
    compute,
    protect,
    {
        "fr": "Nombre moyen de personnes présentes dans chaque zone, par demi-heure, en semaine et "
        "en fin de semaine, d’après un opérateur de téléphonie. Tout le monde y est compté, pas "
        "les seuls élèves.",
        "en": "Mean number of people present in each zone, by half hour, on weekdays and at "
        "weekends, as told by a telephone operator. Everyone is counted, not pupils alone.",
    },
)

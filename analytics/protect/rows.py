"""Rows common to protected tables: whose they are, and those that say nothing.

Every lycée and department of the directory has a row, whether or not anybody there takes part: a
row that was absent would tell that nobody does. A population under k in the whole region has no
row at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from analytics.model import Cells, Stratum
from analytics.plan import Plan
from analytics.protect.areas import Area, department_area, region_area

Row = dict[str, Any]

ALL: Final = "all"
"""Stands for every category, in a row that shows none."""


def heading(stratum: Stratum, area: Area) -> Row:
    """The dimensions of a row."""
    return {
        "school_year": stratum.school_year,
        "population": stratum.population,
        "geography": area.geography,
        "area": area.code,
        "area_name": area.name,
    }


def silence(note: str) -> Row:
    """The figures of a row that shows none; the note does not say which rule it met."""
    return {
        "estimate": None,
        "low": None,
        "high": None,
        "contributors": "",
        "suppressed": True,
        "note": note,
    }


def silent_areas(
    cells: Cells, stratum: Stratum, shown: Sequence[Area], plan: Plan
) -> Iterator[tuple[Area, str]]:
    """Lycées, departments and the region that have no figure, and where theirs is included."""
    if int(stratum.people.sum()) < plan.k:
        return
    has = {(one.geography, one.code) for one in shown}
    region = region_area(cells, plan)
    within_region = "in-region" if ("region", region.code) in has else "withheld"
    if within_region == "withheld":
        yield region, "withheld"
    for code in sorted(set(cells.departments)):
        department = department_area(cells, code, plan)
        within = "in-department" if ("department", code) in has else within_region
        if ("department", code) not in has:
            yield department, within_region
        if ("lycees", code) in has:
            within = "in-group"
        for i in np.flatnonzero(department.where):
            if ("lycee", cells.uais[i]) not in has:
                alone = np.arange(len(cells.uais)) == i
                yield Area("lycee", cells.uais[i], cells.names[i], alone), within


def applied(cells: Cells, plan: Plan, steps: Sequence[str]) -> Row:
    """What was applied, for the manifest: rules and shares, no count."""
    return {
        "lane": "estimates",
        "steps": list(steps),
        "k": plan.k,
        "lycee_minimum": plan.lycee_minimum,
        "homogeneity": plan.homogeneity,
        "dominance": plan.dominance,
        "interval": f"Poisson bootstrap of people, {plan.replicates} replicates",
        "confidence": plan.confidence,
        "reading": {
            "fr": "si les participants ressemblent aux autres",
            "en": "if participants resemble the others",
        },
        "effective_sample": "one person, one weight: the class of contributors is the sample",
        "truncated_percent": round(100 * cells.truncated),
        "differential_privacy": False,
    }

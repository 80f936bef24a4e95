"""Which areas are shown, so that none can be found by subtracting others.

Areas nest: lycée ⊂ the department's other lycées together ⊂ department ⊂ region. Whatever is
shown, an area minus the shown parts of it must be nobody, or must itself pass: at least k people,
no category that holds nearly all. Where it does not, the smallest shown part is merged into the
remainder until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analytics.model import Cells, Stratum
from analytics.places import Bools
from analytics.plan import Plan

Passes = Callable[[Bools], bool]


@dataclass(frozen=True, slots=True)
class Area:
    """A published area; `where` marks its lycées in the directory."""

    geography: str
    code: str
    name: str
    where: Bools


def department_area(cells: Cells, code: str, plan: Plan) -> Area:
    """A department, named by the plan."""
    where = np.array([one == code for one in cells.departments])
    return Area("department", code, plan.departments.get(code, f"Département {code}"), where)


def region_area(cells: Cells, plan: Plan) -> Area:
    """The region: every lycée of the directory."""
    return Area("region", plan.region, plan.region_name, np.ones(len(cells.uais), np.bool_))


def _outermost(parts: Sequence[Area]) -> list[Area]:
    """Parts that lie in no other part."""
    return [
        one
        for one in parts
        if not any(other is not one and (one.where <= other.where).all() for other in parts)
    ]


def _rest(area: Area, parts: Sequence[Area]) -> Bools:
    rest = area.where.copy()
    for part in parts:
        rest &= ~part.where
    return rest


def _settle(
    area: Area, parts: list[Area], stratum: Stratum, passes: Passes, wholes: Sequence[Area]
) -> list[Area]:
    """Merge the smallest part of `area` into what is left of it, until that passes or is empty.

    A part goes together with everything shown in the same one of `wholes`: the name "other
    lycées of the department" must keep its meaning.
    """
    while parts:
        outer = _outermost(parts)
        rest = _rest(area, outer)
        if not stratum.people[rest].any() or passes(rest):
            break
        least = min(outer, key=lambda one: (int(stratum.people[one.where].sum()), one.code))
        gone = next((one for one in wholes if (least.where <= one.where).all()), least)
        parts = [one for one in parts if not (one.where <= gone.where).all()]
    return parts


def choose(cells: Cells, stratum: Stratum, passes: Passes, plan: Plan) -> list[Area]:
    """The areas of one stratum that are shown with figures, inner before outer."""
    shown: list[Area] = []
    departments = [department_area(cells, code, plan) for code in sorted(set(cells.departments))]
    for department in departments:
        lycees = [
            Area("lycee", cells.uais[i], cells.names[i], np.arange(len(cells.uais)) == i)
            for i in np.flatnonzero(department.where)
            if stratum.people[i] >= plan.lycee_minimum
        ]
        alone = [one for one in lycees if passes(one.where)]
        parts = _settle(department, alone, stratum, passes, alone)
        rest = _rest(department, parts)
        # One lycée's figures must not come out under another name.
        if parts and (stratum.people[rest] > 0).sum() >= 2 and passes(rest):
            parts.append(
                Area("lycees", department.code, f"{department.name} : autres lycées", rest)
            )
        shown += parts
        if passes(department.where):
            shown.append(department)
    region = region_area(cells, plan)
    if passes(region.where):
        shown = [*_settle(region, shown, stratum, passes, departments), region]
    return shown

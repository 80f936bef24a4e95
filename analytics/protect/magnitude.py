"""Protect mean quantities per person (the carbon balance).

An area passes with at least k people, no one person holding the dominant part of any total, and
no figure that rounds to zero (a published zero would say that every contributor's is).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from analytics.model import Cells, Column, Pool, Protected, Stratum, schema_of
from analytics.places import Bools
from analytics.plan import Plan, SizeClass
from analytics.protect.areas import choose
from analytics.protect.rounding import down, nearest, up
from analytics.protect.rows import ALL, Row, applied, heading, silence, silent_areas


def step_of(size: SizeClass, scope: str) -> int:
    """Rounding step in kgCO2e for a scope."""
    return size.use_kg if scope == "use" else size.manufacture_kg


def split(labels: tuple[str, ...]) -> dict[tuple[str, str], dict[str, int]]:
    """Labels `variant/scope/bound` as (variant, scope) to the index of each bound."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for index, label in enumerate(labels):
        variant, scope, bound = label.split("/")
        found.setdefault((variant, scope), {})[bound] = index
    return found


def passes(pool: Pool, labels: tuple[str, ...], plan: Plan) -> bool:
    """Whether an area's figures may be shown."""
    size = plan.size_class(pool.people)
    if size is None:
        return False
    dominated = pool.largest >= plan.dominance * pool.totals
    if dominated.any():
        return False
    means = pool.means()
    return all(
        nearest(means[[bounds["middle"]]], step_of(size, scope))[0] > 0
        for (_, scope), bounds in split(labels).items()
    )


def _figures(pool: Pool, bounds: Mapping[str, int], step: int, plan: Plan) -> Row:
    """Estimate and bounds: the range of what the app cannot tell is inside the interval."""
    low, high = pool.interval(plan.confidence)
    middle = nearest(pool.means()[[bounds["middle"]]], step)
    return {
        "estimate": float(middle[0]),
        "low": float(np.minimum(down(low[[bounds["low"]]], step), middle)[0]),
        "high": float(np.maximum(up(high[[bounds["high"]]], step), middle)[0]),
    }


def _stratum_rows(cells: Cells, stratum: Stratum, plan: Plan) -> list[Row]:
    def fit(where: Bools) -> bool:
        return passes(stratum.pool(where), cells.labels, plan)

    rows: list[Row] = []
    shown = choose(cells, stratum, fit, plan)
    for area in shown:
        pool = stratum.pool(area.where)
        size = plan.size_class(pool.people)
        if size is None:
            raise ValueError("an area that does not pass was chosen")
        for (variant, scope), bounds in split(cells.labels).items():
            rows.append(
                heading(stratum, area)
                | _figures(pool, bounds, step_of(size, scope), plan)
                | {
                    "variant": variant,
                    "scope": scope,
                    "contributors": size.label,
                    "suppressed": False,
                    "factors": plan.factors,
                    "note": "",
                }
            )
    for area, note in silent_areas(cells, stratum, shown, plan):
        extra = {"variant": ALL, "scope": ALL, "factors": plan.factors}
        rows.append(heading(stratum, area) | silence(note) | extra)
    return rows


def protect(cells: Cells, plan: Plan, columns: tuple[Column, ...]) -> Protected:
    """The publishable table of mean quantities, in the given columns."""
    rows = [row for stratum in cells.strata for row in _stratum_rows(cells, stratum, plan)]
    return Protected(
        pa.Table.from_pylist(rows, schema=schema_of(columns)),
        applied(cells, plan, ["areas-merged", "dominance", "rounded-by-class"])
        | {"factors": plan.factors, "days": plan.days},
    )

"""Protect a distribution of people over categories (the modal split).

Percentages are not suppressed: categories merge until each holds enough, then areas merge. The
merged pattern says little, because a category merges well above zero (`floor_steps`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from analytics.model import Cells, Column, Pool, Protected, Stratum, schema_of
from analytics.places import Bools, Floats
from analytics.plan import Plan
from analytics.protect.areas import choose
from analytics.protect.bounds import share_bounds, weaknesses
from analytics.protect.rounding import down, nearest, up
from analytics.protect.rows import ALL, Row, applied, heading, silence, silent_areas

Groups = tuple[tuple[int, ...], ...]


def _shares(values: Floats, groups: Sequence[Sequence[int]]) -> Floats:
    """Percent by group of categories; the last axis of `values` is categories."""
    merged = np.stack([values[..., list(group)].sum(axis=-1) for group in groups], axis=-1)
    return np.asarray(100 * merged / np.maximum(values.sum(axis=-1, keepdims=True), 1e-12))


def merge(pool: Pool, plan: Plan) -> Groups | None:
    """The categories an area can be shown in; None where it cannot be shown.

    The smallest category under the floor joins the next smallest until none is under it. One
    category left, or one with nearly everybody, cannot be shown at all.
    """
    size = plan.size_class(pool.people)
    if size is None:
        return None
    groups: list[tuple[int, ...]] = [(i,) for i in range(pool.totals.size)]
    while len(groups) > 1:
        shares = _shares(pool.totals, groups)
        order = np.argsort(shares, kind="stable")
        smallest, partner = int(order[0]), int(order[1])
        if nearest(shares, size.points)[smallest] >= plan.floor_steps * size.points:
            break
        joined = tuple(sorted(groups[smallest] + groups[partner]))
        groups = sorted(
            [one for i, one in enumerate(groups) if i not in (smallest, partner)] + [joined]
        )
    shares = _shares(pool.totals, groups)
    rounded = nearest(shares, size.points)
    limit = 100 * plan.homogeneity
    # The bounds below imply the second rule; it is written out because it is one.
    if len(groups) < 2 or max(shares.max(), rounded.max()) >= limit:
        return None
    if weaknesses(*share_bounds(rounded, size.points), size.low, plan.homogeneity):
        return None
    return tuple(groups)


def _figures(
    pool: Pool, groups: Groups, plan: Plan
) -> tuple[list[float], list[float], list[float], str]:
    size = plan.size_class(pool.people)
    if size is None:
        raise ValueError("an area under the threshold was chosen")
    drawn = pool.weights > 0
    spread = _shares(pool.replicates[drawn], groups)
    tail = (1 - plan.confidence) / 2
    low, high = np.quantile(spread, [tail, 1 - tail], axis=0)
    middle = nearest(_shares(pool.totals, groups), size.points)
    return (
        middle.tolist(),
        np.clip(np.minimum(down(low, size.points), middle), 0, 100).tolist(),
        np.clip(np.maximum(up(high, size.points), middle), 0, 100).tolist(),
        size.label,
    )


def _stratum_rows(cells: Cells, stratum: Stratum, plan: Plan) -> list[Row]:
    def passes(where: Bools) -> bool:
        return merge(stratum.pool(where), plan) is not None

    rows: list[Row] = []
    shown = choose(cells, stratum, passes, plan)
    for area in shown:
        pool = stratum.pool(area.where)
        groups = merge(pool, plan)
        if groups is None:
            raise ValueError("an area that does not pass was chosen")
        middle, low, high, label = _figures(pool, groups, plan)
        for i, group in enumerate(groups):
            rows.append(
                heading(stratum, area)
                | {
                    "mode": "+".join(cells.labels[one] for one in group),
                    "estimate": middle[i],
                    "low": low[i],
                    "high": high[i],
                    "contributors": label,
                    "suppressed": False,
                    "note": "merged-categories" if len(group) > 1 else "",
                }
            )
    for area, note in silent_areas(cells, stratum, shown, plan):
        rows.append(heading(stratum, area) | silence(note) | {"mode": ALL})
    return rows


def protect(cells: Cells, plan: Plan, columns: tuple[Column, ...]) -> Protected:
    """The publishable table of a distribution, in the given columns."""
    rows = [row for stratum in cells.strata for row in _stratum_rows(cells, stratum, plan)]
    return Protected(
        pa.Table.from_pylist(rows, schema=schema_of(columns)),
        applied(cells, plan, ["categories-merged", "areas-merged", "rounded-by-class"]),
    )

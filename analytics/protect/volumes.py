"""Protect volumes that a source counts itself and gives no number of people for.

The source's own floor rules: a volume under it was not delivered, and a row that is missing says
"withheld or none", never zero. A mean over the days that happen to be there would be too high, and
would tell which half hours lie at the floor. So a cell is shown only where no day of it is missing.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.model import Certificate

FLOOR: Final = 20
"""Orange's floor; `connectors` set a volume under it aside."""
STEP: Final = 10
"""Published means are multiples of it."""


def complete(volumes: pa.Table) -> pa.Array:
    """Which cells may be shown: every day there, and the mean not under the floor.

    `volumes` has, by cell, `days` of `days_observed` and the `mean` over those days.
    """
    whole = pc.equal(volumes["days"], volumes["days_observed"])
    return pc.and_(whole, pc.greater_equal(volumes["mean"], FLOOR)).combine_chunks()


def rounded(volumes: pa.Table) -> pa.Array:
    """Means to the nearest step, null where the cell is not shown."""
    steps = pc.multiply(pc.round(pc.divide(volumes["mean"], float(STEP))), float(STEP))
    return pc.if_else(complete(volumes), steps, None).combine_chunks()


def attack(table: pa.Table, volumes: pa.Table) -> Certificate:
    """Look for a shown cell that has missing days, is under the floor, or is finer than a step."""
    shown = pc.is_valid(table["estimate"])
    off_step = pc.not_equal(pc.round(pc.divide(table["estimate"], float(STEP))),
                            pc.divide(table["estimate"], float(STEP)))  # fmt: skip
    tried = {
        "rows": pa.array([table.num_rows != volumes.num_rows]),
        "floor": pc.and_(shown, pc.invert(complete(volumes)))
        if table.num_rows == volumes.num_rows
        else pa.array([False]),
        "below-floor": pc.less(table["estimate"], FLOOR),
        "rounding": off_step,
        "suppressed-rows-are-silent": pc.equal(shown, table["suppressed"]),
    }
    found = tuple(name for name, hits in tried.items() if pc.any(hits).as_py())
    checks = dict.fromkeys(tried, table.num_rows)
    return Certificate(not found, found, {**checks, "personal": False})

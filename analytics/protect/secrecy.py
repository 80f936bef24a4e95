"""Business secrecy: whose business a table would show.

Beside the rules that protect people, a separate test protects each operator. Where one operator
makes up at least the dominant part of a figure, whoever reads the figure reads its business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from analytics.places import Floats


def operators_shown(
    contributed: Mapping[str, Floats], asking: Collection[str], limit: float
) -> tuple[str, ...]:
    """Those of `asking` whose business a table shows, in alphabetical order.

    `contributed` holds what each operator adds to each figure, in the table's order; all of them,
    since a share is of the whole. An operator it does not name is taken to be all of the table:
    what is not known protects nobody. `limit` is the dominant share, as a fraction.
    """
    whole = sum(contributed.values(), np.zeros(1))
    return tuple(
        sorted(
            name
            for name in asking
            if name not in contributed
            or bool(((contributed[name] > 0) & (contributed[name] >= limit * whole)).any())
        )
    )

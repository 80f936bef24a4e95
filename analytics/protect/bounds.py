"""What rounded shares tell: the interval arithmetic of the attacker, used to protect as well.

Every share lies within half a step of its rounded value, and shares sum to 100; both are public.
"""

from __future__ import annotations

import numpy as np

from analytics.places import Floats


def share_bounds(rounded: Floats, step: float) -> tuple[Floats, Floats]:
    """Tightest (low, high) of each share in percent, given all of them rounded to `step`."""
    low = np.maximum(rounded - step / 2, 0.0)
    high = np.minimum(rounded + step / 2, 100.0)
    return (
        np.maximum(low, 100.0 - (high.sum() - high)),
        np.minimum(high, 100.0 - (low.sum() - low)),
    )


def weaknesses(low: Floats, high: Floats, people: int, homogeneity: float) -> list[str]:
    """What an attacker who is, or knows, one of the contributors learns from shares in percent.

    `people` is the least number of contributors he must allow for. *nobody-else*: the others'
    part of a category may be nothing at all for certain. *almost-all*: the others are surely in
    one category. Empty where he learns neither.
    """
    if people < 2:
        return ["alone"]
    found = []
    if (high * people / 100 - 1 <= 0).any():
        found.append("nobody-else")
    if (low * people / 100 >= homogeneity * (people - 1)).any():
        found.append("almost-all")
    return found

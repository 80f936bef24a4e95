"""Rounding by class of contributors. Values sit on a grid; an unrounded bound would give n away."""

from __future__ import annotations

import numpy as np

from analytics.places import Floats

# A mean that is a whole number of half steps must not fall by float noise: nudge before cutting.
_NUDGE = 1e-9


def nearest(values: Floats, step: float) -> Floats:
    """To the nearest multiple of `step`, halves upwards."""
    return np.asarray(np.floor(values / step + 0.5 + _NUDGE) * step)


def down(values: Floats, step: float) -> Floats:
    """To the multiple at or under: a lower bound stays one."""
    return np.asarray(np.floor(values / step + _NUDGE) * step)


def up(values: Floats, step: float) -> Floats:
    """To the multiple at or above: an upper bound stays one."""
    return np.asarray(np.ceil(values / step - _NUDGE) * step)

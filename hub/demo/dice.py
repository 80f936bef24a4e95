"""Random draws by name, so that the simulation reads like what it says."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import TypeVar, cast

import numpy as np

T = TypeVar("T")


class Dice:
    """Draws from one generator. Numbers are fetched in blocks: single calls are slow."""

    def __init__(self, seed: int, *stream: int) -> None:
        """`stream` separates the draws of one part from another's under the same seed."""
        self.rng = np.random.default_rng([seed, *stream])
        self._block: list[float] = []

    def unit(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self.rng.random(8192).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def bearing(self) -> float:
        """A direction in radians."""
        return self.between(0.0, 2 * math.pi)

    def one_of(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[int(self.unit() * len(choices))]

    def weighted(self, shares: Mapping[T, float]) -> T:
        """One key of `shares`, in proportion to its value."""
        keys, sums = _cumulated(tuple(shares.items()))
        return cast("T", keys[min(bisect_right(sums, self.unit() * sums[-1]), len(keys) - 1)])


@cache
def _cumulated(shares: tuple[tuple[T, float], ...]) -> tuple[tuple[T, ...], tuple[float, ...]]:
    return tuple(key for key, _ in shares), tuple(accumulate(value for _, value in shares))

"""Measuring in pairs: ours and a peer in turn, so that a drifting machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 5


@dataclass(frozen=True)
class Row:
    """One line of the table: medians in `unit`, and the median of ours over the peer's."""

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    peer_name: str
    at_most: float | None = None
    """The goal for the ratio, where there is one: only ratios travel between machines."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None where there is none."""
        return None if self.at_most is None else self.ratio <= self.at_most


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def paired(
    name: str,
    peer_name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    at_most: float | None = None,
) -> Row:
    """Run both in turn, once to warm up and then `ROUNDS` times."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(ROUNDS)]
    mine = statistics.median(pair[0] for pair in pairs)
    theirs = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(name, round(mine, 4), round(theirs, 4), round(ratio, 3), "s", peer_name, at_most)


def limited(name: str, ours: Callable[[], object], limit: float) -> Row:
    """Beside a limit in seconds instead of a peer."""
    ours()
    mine = statistics.median(seconds(ours) for _ in range(ROUNDS))
    return Row(name, round(mine, 4), limit, round(mine / limit, 3), "s", "the limit", 1.0)

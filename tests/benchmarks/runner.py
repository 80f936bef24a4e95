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
    least: float | None = None
    """The smallest ratio of a round: what the machine allows when nothing else runs on it."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None where there is none."""
        return None if self.at_most is None else self.ratio <= self.at_most


@dataclass(frozen=True)
class Timed:
    """What work that measured itself returns: a peer that starts a process first, say."""

    seconds: float


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, or what it says it took."""
    begun = time.perf_counter()
    done = work()
    return done.seconds if isinstance(done, Timed) else time.perf_counter() - begun


def paired(
    name: str,
    peer_name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    at_most: float | None = None,
    *,
    rounds: int = ROUNDS,
    sizes: tuple[int, int] | None = None,
) -> Row:
    """Run both in turn, once to warm up and then `rounds` times.

    `sizes` are the rows each of them works on, where the peer would take minutes for all of ours:
    times are then per million rows.
    """
    mine_of, theirs_of = (size / 1_000_000 for size in sizes) if sizes else (1.0, 1.0)
    ours(), peer()
    pairs = [(seconds(ours) / mine_of, seconds(peer) / theirs_of) for _ in range(rounds)]
    mine = statistics.median(pair[0] for pair in pairs)
    theirs = statistics.median(pair[1] for pair in pairs)
    ratios = [a / b for a, b in pairs]
    return Row(
        name,
        round(mine, 4),
        round(theirs, 4),
        round(statistics.median(ratios), 3),
        "s/M rows" if sizes else "s",
        peer_name,
        at_most,
        round(min(ratios), 3),
    )


def limited(name: str, ours: Callable[[], object], limit: float) -> Row:
    """Beside a limit in seconds instead of a peer."""
    ours()
    mine = statistics.median(seconds(ours) for _ in range(ROUNDS))
    return Row(name, round(mine, 4), limit, round(mine / limit, 3), "s", "the limit", 1.0)

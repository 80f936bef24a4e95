"""Measuring in pairs: ours and a peer in turn, so that a drifting machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    most: float | None = None
    """The largest ratio of a round."""
    cpu: float | None = None
    """The median ratio of processor time, which other work on the machine hardly moves."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, None where there is none."""
        return None if self.at_most is None else self.ratio <= self.at_most


@dataclass(frozen=True)
class Timed:
    """What work that measured itself returns: a peer that starts a process first, say."""

    seconds: float


@dataclass(frozen=True)
class Spent:
    """What a call took: wall time, and processor time of all threads."""

    wall: float
    processor: float


def spent(work: Callable[[], object]) -> Spent:
    """Wall time of one call, or what it says it took, and processor time of this process."""
    begun = time.process_time()
    wall = seconds(work)
    return Spent(wall, time.process_time() - begun)


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
    warm: bool = True,
) -> Row:
    """Run both in turn, once to warm up and then `rounds` times.

    `sizes` are the rows each of them works on, where the peer would take minutes for all of ours:
    times are then per million rows. `warm` is false where the peer is a process of its own each
    time and ours has been run before.
    """
    mine_of, theirs_of = (size / 1_000_000 for size in sizes) if sizes else (1.0, 1.0)
    if warm:
        ours(), peer()
    pairs = [(spent(ours), spent(peer)) for _ in range(rounds)]
    walls = [(mine.wall / mine_of, theirs.wall / theirs_of) for mine, theirs in pairs]
    row = alternated(name, peer_name, walls, at_most, "s/M rows" if sizes else "s")
    if any(theirs.processor < theirs.wall / 10 for _, theirs in pairs):
        return row  # the peer worked in a process of its own
    ratios = [mine.processor / theirs.processor for mine, theirs in pairs]
    return replace(row, cpu=round(statistics.median(ratios), 3))


def alternated(
    name: str,
    peer_name: str,
    pairs: Sequence[tuple[float, float]],
    at_most: float | None = None,
    unit: str = "s",
) -> Row:
    """The row of what was measured in turn, ours and the peer's, round by round."""
    ratios = [ours / peer for ours, peer in pairs]
    return Row(
        name,
        round(statistics.median(ours for ours, _ in pairs), 4),
        round(statistics.median(peer for _, peer in pairs), 4),
        round(statistics.median(ratios), 3),
        unit,
        peer_name,
        at_most,
        round(min(ratios), 3),
        round(max(ratios), 3),
    )


def limited(name: str, ours: Callable[[], object], limit: float) -> Row:
    """Beside a limit in seconds instead of a peer."""
    ours()
    mine = statistics.median(seconds(ours) for _ in range(ROUNDS))
    return Row(name, round(mine, 4), limit, round(mine / limit, 3), "s", "the limit", 1.0)

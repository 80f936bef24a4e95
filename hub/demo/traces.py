"""What the app records of a trip: sections, noisy positions, points along the way.

Everything is drawn for all trips at once; `documents.py` only lays it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from hub.demo import modes
from hub.demo.diary import Trip
from hub.demo.geo import METRES_PER_DEGREE

PARIS: Final = ZoneInfo("Europe/Paris")
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Traces:
    """Columns by trip, then by section (`first[i]:first[i + 1]` are the sections of trip i)."""

    start: Floats
    """Epoch seconds."""
    duration: Floats
    offset: Ints
    """Seconds local time is ahead of UTC."""
    origin: Floats
    """Recorded positions, (n, 2) longitude and latitude."""
    end: Floats
    first: Ints
    section_mode: list[str]
    section_start: Floats
    section_duration: Floats
    section_metres: Floats
    points: list[list[list[float]]]
    distances: list[list[float]]
    speeds: list[list[float]]
    timestamps: list[list[int]]


def record(trips: Sequence[Trip], rng: np.random.Generator, points: int) -> Traces:
    """Record trips with `points` positions a section."""
    n = len(trips)
    duration = np.array([trip.duration for trip in trips])
    metres = np.array([trip.metres for trip in trips])
    midnight, offset = _midnights(trips)
    start = midnight + np.array([trip.start for trip in trips])
    true_origin = np.array([trip.origin[:2] for trip in trips])
    true_end = np.array([trip.end[:2] for trip in trips])

    origin = _moved(true_origin, rng.uniform(8, 50, n), rng)
    end = _moved(true_end, rng.uniform(8, 50, n), rng)
    # Cold start: the first fix comes some 300 m down the road, and a little later.
    cold = (rng.random(n) < 0.03) & (metres > 900)
    share = np.where(cold, rng.uniform(240, 360, n) / metres, 0.0)
    origin += share[:, None] * (true_end - true_origin)
    start += share * duration
    duration *= 1 - share
    metres *= 1 - share

    cuts, section_mode = _sections(trips, rng)
    first = np.concatenate([[0], np.cumsum([len(c) - 1 for c in cuts])]).astype(np.int64)
    owner = np.repeat(np.arange(n), np.diff(first))
    low = np.concatenate([c[:-1] for c in cuts])
    high = np.concatenate([c[1:] for c in cuts])
    # The share of time is not the share of distance: the walk to the stop takes its time.
    slow = np.where(np.array(section_mode) == "WALKING", 6.0, 1.0) * (high - low)
    slow_total = np.add.reduceat(slow, first[:-1])
    section_duration = slow / slow_total[owner] * duration[owner]
    before = np.cumsum(section_duration) - section_duration
    section_start = start[owner] + before - before[first[:-1]][owner]
    section_metres = (high - low) * metres[owner]

    steps = np.linspace(0.0, 1.0, points)
    along = low[:, None] + (high - low)[:, None] * steps
    way = (end - origin)[owner]
    bend = rng.normal(0, 0.07, n)[owner][:, None] * np.sin(np.pi * along)
    line = origin[owner][:, None, :] + along[:, :, None] * way[:, None, :]
    line += bend[:, :, None] * np.stack([-way[:, 1], way[:, 0]], axis=-1)[:, None, :]
    jitter = rng.normal(0, 12 / METRES_PER_DEGREE, line.shape)
    jitter[first[:-1], 0] = 0.0  # the ends carry their noise already
    jitter[first[1:] - 1, -1] = 0.0
    line += jitter

    step = section_metres[:, None] / (points - 1) * rng.uniform(0.8, 1.2, (len(owner), points))
    step[:, 0] = 0.0
    step *= (section_metres / np.maximum(step.sum(axis=1), 1e-9))[:, None]
    times = section_start[:, None] + section_duration[:, None] * steps
    each = np.maximum(section_duration / (points - 1), 1.0)
    return Traces(
        start=start,
        duration=duration,
        offset=offset,
        origin=np.round(origin, 6),
        end=np.round(end, 6),
        first=first,
        section_mode=section_mode,
        section_start=section_start,
        section_duration=section_duration,
        section_metres=section_metres,
        points=np.round(line, 5).tolist(),
        distances=np.round(step, 1).tolist(),
        speeds=np.round(step / each[:, None], 1).tolist(),
        timestamps=np.round(times * 1000).astype(np.int64).tolist(),
    )


def _midnights(trips: Sequence[Trip]) -> tuple[Floats, Ints]:
    """Epoch of each trip's local midnight, and how far local time is ahead of UTC at noon."""
    known: dict[date, tuple[float, int]] = {}
    for day in {trip.day for trip in trips}:
        noon = datetime.combine(day, time(12), PARIS)
        ahead = noon.utcoffset()
        seconds = int(ahead.total_seconds()) if ahead is not None else 0
        # Counted back from noon, so that a change of clocks at night moves nothing by day.
        known[day] = (noon.astimezone(UTC).timestamp() - 12 * 3600, seconds)
    pairs = [known[trip.day] for trip in trips]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], dtype=np.int64)


def _moved(points: Floats, radius: Floats, rng: np.random.Generator) -> Floats:
    """Points displaced by `radius` metres in random directions."""
    bearing = rng.uniform(0, 2 * np.pi, len(points))
    north = radius * np.sin(bearing) / METRES_PER_DEGREE
    east = radius * np.cos(bearing) / METRES_PER_DEGREE / np.cos(np.radians(points[:, 1]))
    return points + np.stack([east, north], axis=1)


def _sections(trips: Sequence[Trip], rng: np.random.Generator) -> tuple[list[Floats], list[str]]:
    """Where each trip is cut, as shares of its distance, and the true mode of each section."""
    draws = rng.random((len(trips), 3))
    cuts: list[Floats] = []
    names: list[str] = []
    for trip, (one, two, three) in zip(trips, draws.tolist(), strict=True):
        walk = min(0.12, (150 + 450 * two) / trip.metres)
        if trip.mode == "TRAIN" or (trip.mode == "BUS" and one < 0.12):
            cuts.append(np.array([0.0, walk, 1 - walk * three, 1.0]))
            names += ["WALKING", trip.mode, "WALKING"]
        elif trip.mode == "BUS" and one < 0.45:
            cuts.append(np.array([0.0, walk, 1.0]))
            names += ["WALKING", trip.mode]
        else:
            cuts.append(np.array([0.0, 1.0]))
            names.append(trip.mode)
    return cuts, names


def perceived(traces: Traces, rng: np.random.Generator) -> tuple[list[str], list[str | None]]:
    """Per section: the mode the phone sensed, and the one its owner corrected by hand, if any."""
    sensed: list[str] = []
    by_hand: list[str | None] = []
    draws: list[list[float]] = rng.random((len(traces.section_mode), 2)).tolist()
    for mode, (one, two) in zip(traces.section_mode, draws, strict=True):
        rest = one
        guess = mode
        for name, share in modes.SENSED[mode].items():
            guess = name
            rest -= share
            if rest < 0:
                break
        sensed.append(guess)
        corrects = two < (0.80 if mode in modes.NEEDS_HAND else 0.15 if guess == mode else 0.35)
        # "BIKE" is what an old version of the app wrote; it is not in the list of modes.
        old = mode == "BICYCLING" and two < 0.01
        by_hand.append(("BIKE" if old else mode) if corrects else None)
    return sensed, by_hand


def local_stamps(epoch: Floats, offset: Ints) -> list[str]:
    """Local wall times as `2025-10-06T07:41:12`."""
    whole = np.round(epoch).astype(np.int64) + offset
    stamps: Any = np.datetime_as_string(whole.astype("datetime64[s]"))
    return list(stamps.tolist())

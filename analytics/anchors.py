"""Where people sleep and where they attend: anchors found from positions, times and recurrence.

A *lycée* is a directory point where someone stays in the mornings of school days, again and
again. A *home* is a place where nights begin or end, again and again; a child of two households
has two. A friend's home is slept at too rarely; a boarding house never before a day off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.journal import Calendar, Journal
from analytics.places import Bools, Floats, Ints, Nearest

_SUNDAY: Final = 6
_CELL: Final = 100.0
_HOMES: Final = 4
"""Most places a person's nights are searched in; households beyond that are not told apart."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """One lycée per person: `place` (index in the directory, -1 for none) and where arrivals end.

    `boarder` marks people whose nights begin at the lycée itself.
    """

    place: Ints
    x: Floats
    y: Floats
    boarder: Bools


@dataclass(frozen=True, slots=True)
class Homes:
    """Up to four homes per person, in metres, NaN where there are fewer: shape (people, 4)."""

    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True)
class Nights:
    """Evidence of where a night was spent: the day's last end, the next day's first start."""

    person: Ints
    night: Ints
    x: Floats
    y: Floats
    weight: Floats


def _distinct(*columns: Ints) -> Ints:
    """Indices of the first of each distinct combination."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_index=True)[1]


def attend(
    journal: Journal,
    calendar: Calendar,
    lycees: Nearest,
    *,
    radius_m: float,
    campus_m: float,
    stay_min: float,
    days: int,
    share: float,
) -> Attendance:
    """Each person's lycée: most school days with a morning arrival or an afternoon departure.

    Arrivals count only when followed by a stay, which a parent dropping off does not make. A
    boarder may arrive on the evening before; that counts when nothing follows before morning.
    """
    school = calendar.is_school_day(journal.day)
    morning = (journal.end_minute >= 6 * 60) & (journal.end_minute <= 11 * 60)
    stays = journal.stay_after >= stay_min
    eve = (
        (~school)
        & calendar.is_school_day(journal.day + 1)
        & (journal.end_minute >= 15 * 60)
        & (journal.stay_after >= 8 * 60)
    )
    arrives = np.flatnonzero((school & morning & stays) | eve)
    leaves = np.flatnonzero(
        school
        & (journal.start_minute >= 11 * 60 + 30)
        & (journal.start_minute <= 19 * 60 + 30)
        & ((journal.stay_before >= stay_min) | (journal.gap > 2 * radius_m))
    )
    a_trip, a_place = lycees.within(journal.xe[arrives], journal.ye[arrives], radius_m)
    l_trip, l_place = lycees.within(journal.xs[leaves], journal.ys[leaves], radius_m)
    a_trip, l_trip = arrives[a_trip], leaves[l_trip]

    places = max(int(lycees.x.size), 1)
    key_a = journal.person[a_trip] * places + a_place
    key_l = journal.person[l_trip] * places + l_place
    first_a = _distinct(key_a, journal.day[a_trip]) if key_a.size else np.empty(0, np.int64)
    first_l = _distinct(key_l, journal.day[l_trip]) if key_l.size else np.empty(0, np.int64)
    keys, inverse = np.unique(key_a[first_a], return_inverse=True)
    score = np.bincount(inverse, minlength=keys.size).astype(np.float64)
    at = np.searchsorted(keys, key_l[first_l])
    known = at < keys.size
    known[known] = keys[at[known]] == key_l[first_l][known]
    score += np.bincount(at[known], minlength=keys.size)

    # School days on which anything was recorded: attendance has to be a habit among them.
    active_rows = np.flatnonzero(school)
    seen = active_rows[_distinct(journal.person[active_rows], journal.day[active_rows])]
    active = np.bincount(journal.person[seen], minlength=journal.people)

    person, place = keys // places, keys % places
    middle_x, middle_y = np.full(keys.size, np.nan), np.full(keys.size, np.nan)
    slot = np.searchsorted(keys, key_a)
    for values, out in ((journal.xe, middle_x), (journal.ye, middle_y)):
        order = np.lexsort((values[a_trip], slot))
        starts = np.searchsorted(slot[order], np.arange(keys.size))
        sizes = np.bincount(slot, minlength=keys.size)
        if keys.size:
            out[:] = values[a_trip][order][starts + sizes // 2]
    off = np.hypot(middle_x - lycees.x[place], middle_y - lycees.y[place])
    fits = (score >= days) & (score >= share * active[person]) & (off <= campus_m)
    chosen = np.full(journal.people, -1, np.int64)
    best = np.lexsort((-off, score, person))
    best = best[fits[best]]
    chosen[person[best]] = best  # the last of each person wins: highest score, then nearest
    has = chosen >= 0
    pick = chosen[has]
    result = Attendance(
        np.full(journal.people, -1, np.int64),
        np.full(journal.people, np.nan),
        np.full(journal.people, np.nan),
        np.zeros(journal.people, np.bool_),
    )
    result.place[has] = place[pick]
    result.x[has], result.y[has] = middle_x[pick], middle_y[pick]
    return result


def nights(journal: Journal, cold_start_m: float) -> Nights:
    """Where each recorded night began or ended.

    A first start that follows on the last end is the same place, seen better: a recorder wakes up
    late, so ends are exact and starts may lie hundreds of metres down the road.
    """
    day, end_day = journal.waking_day, journal.waking_end_day
    first = ~journal.follows
    first[1:] |= day[1:] != end_day[:-1]
    last = np.roll(first, -1)
    evening = np.flatnonzero(last & ((journal.end_minute >= 13 * 60) | (end_day < journal.end_day)))
    loose = first & ~(journal.gap <= cold_start_m)
    morning = np.flatnonzero(loose & (journal.start_minute < 11 * 60))
    joined = np.flatnonzero(
        first & ~loose & (journal.start_minute < 11 * 60) & (day - np.roll(end_day, 1) <= 4)
    )
    return Nights(
        np.concatenate([journal.person[evening], journal.person[morning], journal.person[joined]]),
        np.concatenate([end_day[evening], day[morning] - 1, day[joined] - 1]),
        np.concatenate([journal.xe[evening], journal.xs[morning], journal.xe[joined - 1]]),
        np.concatenate([journal.ye[evening], journal.ys[morning], journal.ye[joined - 1]]),
        np.concatenate([np.full(evening.size, 2.0), np.ones(morning.size), np.ones(joined.size)]),
    )


def _cluster(evidence: Nights, people: int, radius_m: float) -> Homes:
    """The densest places of each person's nights, one after the other, at most four.

    Evidence is counted on a 100 m grid first, so the work grows with distinct cells, not pairs.
    """
    x = np.full((people, _HOMES), np.nan)
    y = np.full((people, _HOMES), np.nan)
    if not evidence.person.size:
        return Homes(x, y)
    span = 1 << 18
    cell_x = np.floor(evidence.x / _CELL).astype(np.int64)
    cell_y = np.floor(evidence.y / _CELL).astype(np.int64)
    keys, slot = np.unique((evidence.person * span + cell_x) * span + cell_y, return_inverse=True)
    weight = np.bincount(slot, evidence.weight)
    mean_x = np.bincount(slot, evidence.weight * evidence.x) / weight
    mean_y = np.bincount(slot, evidence.weight * evidence.y) / weight
    owner = keys // (span * span)
    reach = int(np.ceil(radius_m / _CELL))
    steps = range(-reach, reach + 1)
    for turn in range(_HOMES):
        dense, sum_x, sum_y = np.zeros(keys.size), np.zeros(keys.size), np.zeros(keys.size)
        for dx in steps:
            for dy in steps:
                there = keys + dx * span + dy
                at = np.minimum(np.searchsorted(keys, there), keys.size - 1)
                near = (keys[at] == there) & (
                    np.hypot(mean_x - mean_x[at], mean_y - mean_y[at]) <= radius_m
                )
                dense += np.where(near, weight[at], 0)
                sum_x += np.where(near, weight[at] * mean_x[at], 0)
                sum_y += np.where(near, weight[at] * mean_y[at], 0)
        dense = np.where(weight > 0, dense, 0)
        order = np.lexsort((keys, -dense, owner))
        tops = order[np.unique(owner[order], return_index=True)[1]]
        tops = tops[dense[tops] > 0]
        x[owner[tops], turn] = sum_x[tops] / dense[tops]
        y[owner[tops], turn] = sum_y[tops] / dense[tops]
        taken = np.hypot(mean_x - x[owner, turn], mean_y - y[owner, turn]) <= radius_m
        weight = np.where(taken, 0.0, weight)
    return Homes(x, y)


def nearest_of(homes: Homes, person: Ints, x: Floats, y: Floats) -> tuple[Ints, Floats]:
    """Each point's nearest home of its own person: which of the four, and metres (inf if none)."""
    metres = np.hypot(homes.x[person] - x[:, None], homes.y[person] - y[:, None])
    metres = np.where(np.isnan(metres), np.inf, metres)
    which = np.argmin(metres, axis=1)
    return which, metres[np.arange(person.size), which]


def homes(
    journal: Journal,
    calendar: Calendar,
    attendance: Attendance,
    *,
    radius_m: float,
    cold_start_m: float,
    apart_m: float,
    least_nights: int,
    share: float,
    boarding_m: float,
) -> tuple[Homes, Attendance]:
    """Each person's homes, and the attendance with boarders marked and residences struck out."""
    evidence = nights(journal, cold_start_m)
    found = _cluster(evidence, journal.people, radius_m)
    which, metres = nearest_of(found, evidence.person, evidence.x, evidence.y)
    close = np.flatnonzero(metres <= radius_m + _CELL)
    once = close[_distinct(evidence.person[close], which[close], evidence.night[close])]
    spot = evidence.person[once] * _HOMES + which[once]
    size = journal.people * _HOMES
    slept = np.bincount(spot, minlength=size).reshape(-1, _HOMES)
    # A night before a day off is spent at home, not where one boards.
    free = ~calendar.is_school_day(evidence.night[once] + 1)
    off = np.bincount(spot[free], minlength=size).reshape(-1, _HOMES)

    to_lycee = np.hypot(found.x - attendance.x[:, None], found.y - attendance.y[:, None])
    to_lycee = np.where(np.isnan(to_lycee), np.inf, to_lycee)
    at_lycee = to_lycee <= apart_m
    # Sleeping there before days off makes it somebody's home that happens to be near a lycée.
    residence = (at_lycee & (off >= 2)).any(axis=1)
    boarder = np.asarray((at_lycee & (slept >= 2)).any(axis=1) & ~residence)

    total = slept.sum(axis=1, keepdims=True)
    often = (slept >= least_nights) & (slept >= share * total)
    often |= (slept == slept.max(axis=1, keepdims=True)) & (slept >= 2)
    elsewhere_off = off.sum(axis=1, keepdims=True) - off
    boards = (off == 0) & (to_lycee <= boarding_m) & (elsewhere_off >= 2)
    # A boarder leaves few traces of home: two week-ends are enough.
    boards_out = boards.any(axis=1, keepdims=True) | boarder[:, None]
    often |= boards_out & (off >= 1) & (slept >= 2)
    lives = often & ~at_lycee & ~boards & np.isfinite(found.x)
    kept = Homes(np.where(lives, found.x, np.nan), np.where(lives, found.y, np.nan))
    place = np.where(residence, -1, attendance.place)
    boarder = np.logical_or(boarder, (boards & (slept >= 2)).any(axis=1))
    return kept, Attendance(place, attendance.x, attendance.y, boarder)

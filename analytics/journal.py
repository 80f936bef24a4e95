"""A person's trips as arrays: who, when in local days and minutes, where in metres, what came next.

Everything recognition needs is here, without any label. Rows are sorted by person and time; a
*person* is one subject in one school year, because pupils change lycée in summer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.places import Bools, Floats, Ints, project

_EPOCH: Final = date(1970, 1, 1)
_DAY_US: Final = 86_400_000_000
_WAKING: Final = 4 * 60
"""Minute at which a new day begins: coming home at one in the morning ends the day before."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are school days: Monday to Friday, outside school and public holidays."""

    closed: frozenset[int]
    """Days since 1970-01-01 on which lycées are shut."""

    @classmethod
    def of(cls, holidays: Sequence[tuple[str, str]], public: Sequence[str]) -> Calendar:
        """From ISO dates; both ends of a holiday are shut. Raises `ValueError` for a bad date."""
        closed: set[int] = set()
        for first, last in holidays:
            start, end = date.fromisoformat(first), date.fromisoformat(last)
            if end < start:
                raise ValueError(f"holiday ends before it starts: {first}")
            closed.update(range((start - _EPOCH).days, (end - _EPOCH).days + 1))
        closed.update((date.fromisoformat(day) - _EPOCH).days for day in public)
        return cls(frozenset(closed))

    def is_school_day(self, days: Ints) -> Bools:
        """Whether lycées teach on each day."""
        weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
        shut = np.fromiter(self.closed, np.int64, len(self.closed))
        return np.asarray((weekday < 5) & ~np.isin(days, shut))


@dataclass(frozen=True, slots=True)
class Journal:
    """Trips sorted by person and start. `row` points into the table they came from."""

    row: Ints
    person: Ints
    people: int
    year: Ints
    """First calendar year of the school year."""
    day: Ints
    """Local day of the start, in days since 1970-01-01."""
    end_day: Ints
    start_minute: Ints
    end_minute: Ints
    start_us: Ints
    end_us: Ints
    xs: Floats
    ys: Floats
    xe: Floats
    ye: Floats
    follows: Bools
    """Whether the row before is the same person's."""

    @property
    def waking_day(self) -> Ints:
        """The day a start belongs to, when days begin at four in the morning."""
        return self.day - (self.start_minute < _WAKING)

    @property
    def waking_end_day(self) -> Ints:
        """The day an end belongs to, when days begin at four in the morning."""
        return self.end_day - (self.end_minute < _WAKING)

    @property
    def gap(self) -> Floats:
        """Metres between this start and the end before it; infinite for a person's first."""
        metres = np.hypot(self.xs - np.roll(self.xe, 1), self.ys - np.roll(self.ye, 1))
        return np.asarray(np.where(self.follows, metres, np.inf))

    @property
    def stay_before(self) -> Floats:
        """Minutes since the end before; infinite for a person's first."""
        minutes = (self.start_us - np.roll(self.end_us, 1)) / 60e6
        return np.asarray(np.where(self.follows, minutes, np.inf))

    @property
    def stay_after(self) -> Floats:
        """Minutes to the next start; infinite for a person's last."""
        last = ~np.roll(self.follows, -1)
        minutes = (np.roll(self.start_us, -1) - self.end_us) / 60e6
        return np.asarray(np.where(last, np.inf, minutes))


def _local(column: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """Local day and minute of the day, Europe/Paris."""
    wall = pc.local_timestamp(column.cast(pa.timestamp("us", "Europe/Paris")))
    us = np.asarray(wall.cast(pa.int64()).to_numpy(), np.int64)
    return us // _DAY_US, us % _DAY_US // 60_000_000


def school_years(days: Ints) -> Ints:
    """First calendar year of the school year of each day; it turns on the first of August."""
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray((months + 5) // 12 + 1969, np.int64)


def read(trips: pa.Table) -> Journal:
    """Sort trips into a journal. Trips sent twice, ended before they began or off Europe go."""
    # combine_chunks: with several chunks each has its own dictionary, and codes would mix people.
    subjects = trips.column("subject").combine_chunks().dictionary_encode()
    codes = np.asarray(subjects.indices.to_numpy(zero_copy_only=False), np.int64)
    trip_ids = trips.column("trip").combine_chunks().dictionary_encode()
    trip = np.asarray(trip_ids.indices.to_numpy(zero_copy_only=False), np.int64)
    day, start_minute = _local(trips.column("start"))
    end_day, end_minute = _local(trips.column("end"))
    start_us = np.asarray(trips.column("start").cast(pa.int64()).to_numpy(), np.int64)
    end_us = np.asarray(trips.column("end").cast(pa.int64()).to_numpy(), np.int64)
    xs, ys = project(trips.column("start_lon").to_numpy(), trips.column("start_lat").to_numpy())
    xe, ye = project(trips.column("end_lon").to_numpy(), trips.column("end_lat").to_numpy())
    once = np.zeros(codes.size, np.bool_)
    once[np.unique(np.stack([codes, trip], axis=1), axis=0, return_index=True)[1]] = True
    keep = np.flatnonzero(once & np.isfinite(xs) & np.isfinite(xe) & (end_us >= start_us))
    year = school_years(day)
    units, person = np.unique(
        np.stack([codes[keep], year[keep]], axis=1), axis=0, return_inverse=True
    )
    person = person.reshape(-1)
    order = np.lexsort((end_us[keep], start_us[keep], person))
    keep, person = keep[order], np.asarray(person[order], np.int64)
    follows = np.zeros(keep.size, np.bool_)
    follows[1:] = person[1:] == person[:-1]
    return Journal(
        keep,
        person,
        len(units),
        year[keep],
        day[keep],
        end_day[keep],
        start_minute[keep],
        end_minute[keep],
        start_us[keep],
        end_us[keep],
        xs[keep],
        ys[keep],
        xe[keep],
        ye[keep],
        follows,
    )

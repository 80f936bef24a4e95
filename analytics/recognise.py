"""Recognise home–lycée trips from positions, times and recurrence, and make them coarse.

No label is read: purposes, place names and contacts play no part. For each person and school year
(`journal.read` sorts the trips):

1. The lycée: where school-day mornings are spent, again and again (`anchors.attend`).
2. The homes: where nights are spent, again and again (`anchors.homes`), after the lycée because
   a boarder's nights there, or in a boarding house near it, make no home.
3. Where each trip really began: a recorder wakes up late, so a start that follows on the end of
   the trip before is that end. Only where the trip before is missing is the raw start believed.
4. A trip is kept if one end is a home and the other the lycée, on a school day and in school
   hours; for a boarder also on the eve of the week and the morning after it.
5. What is kept becomes coarse: 1 km cell and commune of the *home* (not of the recorded point),
   quarter hour, 100 m, minute.

A chained journey (home → bakery → lycée) recorded as two trips is not kept: neither leg is a
home–lycée trip, and adding legs up would guess at a purpose.

Badge taps are made coarse the same way by `coarsen_taps`; nothing is inferred about them here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics import anchors
from analytics.journal import Calendar, Journal, read
from analytics.places import Bools, Floats, Ints, Nearest, cells, project

_SECTION: Final = pa.struct(
    [("mode", pa.string()), ("distance_m", pa.float64()), ("duration_s", pa.float64())]
)

TRIPS: Final = pa.schema(
    [
        ("subject", pa.string()),
        ("period", pa.string()),
        ("date", pa.date32()),
        ("quarter_hour", pa.int16()),
        ("uai", pa.string()),
        ("direction", pa.string()),
        ("origin_commune", pa.string()),
        ("origin_cell", pa.string()),
        ("distance_m", pa.float64()),
        ("duration_s", pa.float64()),
        ("main_mode", pa.string()),
        ("sections", pa.list_(_SECTION)),
        ("app_co2_kg", pa.float64()),
    ]
)
"""Recognised trips. Distances to 100 m, durations to the minute, app CO2 to 10 g."""

_FEW: Final = pa.dictionary(pa.int32(), pa.string())

TAPS: Final = pa.schema(
    [
        ("subject", pa.string()),
        ("period", _FEW),
        ("date", pa.date32()),
        ("quarter_hour", pa.int16()),
        ("fare_action", _FEW),
        ("trip_id", pa.string()),
        ("stop_id", _FEW),
        ("rider_category", _FEW),
        ("fare_product", _FEW),
    ]
)
"""Badge taps; a period is a calendar month. Tables keep texts, however they come here."""

_IDENTITY: Final = (
    pa.field("population", pa.string()),
    pa.field("pseudonym", pa.binary()),
    pa.field("bucket", pa.int16()),
)


def stored(schema: pa.Schema) -> pa.Schema:
    """The schema a table stores: no subject; population, pseudonym and bucket instead."""
    return pa.schema([*(one for one in schema if one.name != "subject"), *_IDENTITY])


@dataclass(frozen=True, slots=True)
class Rules:
    """The calendar and the tolerances of recognition; metres, minutes, days and shares."""

    calendar: Calendar
    school_year: str = ""
    lycee_radius_m: float = 300.0
    """How far from the directory's point an arrival may end and still speak for a lycée."""
    campus_m: float = 200.0
    """How far a person's usual place of arrival may lie from the directory's point."""
    gate_m: float = 150.0
    """How far from their usual place of arrival a person is still at the lycée."""
    home_radius_m: float = 250.0
    cold_start_m: float = 450.0
    apart_m: float = 120.0
    """A home nearer than this to the place of arrival cannot be told from the lycée."""
    boarding_m: float = 800.0
    stay_min: float = 60.0
    attendance_days: int = 3
    attendance_share: float = 0.15
    home_nights: int = 3
    home_share: float = 0.10

    @classmethod
    def from_mapping(
        cls,
        recognition: Mapping[str, Any],
        *,
        school_year: str,
        holidays: Sequence[tuple[str, str]],
        public_holidays: Sequence[str],
    ) -> Self:
        """From a territory's `[recognition]` table. Raises `ValueError` naming a wrong entry."""
        tunable = {one.name for one in fields(cls)} - {"calendar", "school_year"}
        for name, value in recognition.items():
            if name not in tunable:
                raise ValueError(f"recognition.{name}: no such entry")
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"recognition.{name}: a number above 0")
        calendar = Calendar.of(holidays, public_holidays)
        return cls(calendar=calendar, school_year=school_year, **recognition)

    def describe(self) -> dict[str, Any]:
        """The tolerances as plain values, for manifests."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "calendar"}


class Places:
    """The lycées (uai, name, lon, lat, commune, department) and the communes' chef-lieux."""

    def __init__(self, lycees: pa.Table, communes: pa.Table) -> None:
        self.lycees = lycees
        self.communes = communes
        self.near_lycees = Nearest(*project(_floats(lycees, "lon"), _floats(lycees, "lat")))
        self.near_communes = Nearest(*project(_floats(communes, "lon"), _floats(communes, "lat")))


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), np.float64)


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows of the journal kept, the home each runs to or from, and its direction."""

    at: Ints
    home_x: Floats
    home_y: Floats
    outward: Bools


def _classify(
    journal: Journal, rules: Rules, homes: anchors.Homes, attends: anchors.Attendance
) -> _Found:
    """Steps 3 and 4."""
    person = journal.person
    lycee_x, lycee_y = attends.x[person], attends.y[person]

    def to_lycee(x: Floats, y: Floats) -> Floats:
        metres = np.hypot(x - lycee_x, y - lycee_y)
        return np.asarray(np.where(attends.place[person] >= 0, metres, np.inf))

    end_home, end_home_m = anchors.nearest_of(homes, person, journal.xe, journal.ye)
    end_lycee_m = to_lycee(journal.xe, journal.ye)
    # 3. Where the trip began.
    before_x, before_y = np.roll(journal.xe, 1), np.roll(journal.ye, 1)
    _, before_home_m = anchors.nearest_of(homes, person, before_x, before_y)
    same_day = journal.waking_day == np.roll(journal.waking_end_day, 1)
    # Overnight, an end that is no home (and no boarder's lycée) hides a missing trip.
    slept_there = (before_home_m <= rules.home_radius_m) | attends.boarder[person]
    joined = (journal.gap <= rules.cold_start_m) & (same_day | slept_there)
    # Recorded right at the gate, some way from the end before: the walk back was missed.
    joined &= ~(
        (to_lycee(journal.xs, journal.ys) <= rules.gate_m / 2) & (journal.gap > rules.gate_m / 2)
    )
    start_x = np.where(joined, before_x, journal.xs)
    start_y = np.where(joined, before_y, journal.ys)
    start_home, start_home_m = anchors.nearest_of(homes, person, start_x, start_y)
    start_lycee_m = to_lycee(start_x, start_y)
    home_slack = np.where(joined, rules.home_radius_m, rules.cold_start_m)
    # Boarders arrive at the house as well as at the gate.
    gate = np.where(attends.boarder[person], rules.lycee_radius_m, rules.gate_m)
    gate_slack = np.where(joined, gate, rules.cold_start_m)
    early = journal.start_minute < 11 * 60
    nearer_home = (start_home_m <= start_lycee_m) | (~joined & early)

    from_home = (start_home_m <= home_slack) & nearer_home
    from_lycee = (start_lycee_m <= gate_slack) & ~from_home
    to_home = (end_home_m <= rules.home_radius_m) & (end_home_m < end_lycee_m)
    to_school = (end_lycee_m <= gate) & (end_lycee_m <= end_home_m)
    # 4. School days and hours; for boarders the edges of the week as well.
    school = rules.calendar.is_school_day(journal.day)
    boards = attends.boarder[person]
    eve = boards & ~school & rules.calendar.is_school_day(journal.day + 1)
    morrow = boards & ~school & rules.calendar.is_school_day(journal.day - 1)
    outward_time = (
        school
        & (journal.start_minute >= 5 * 60)
        & ((journal.end_minute <= 15 * 60 + 30) | boards)
        & (journal.end_day == journal.day)
    )
    return_time = school & (journal.start_minute >= 9 * 60) & (journal.start_minute <= 20 * 60 + 30)
    outward = from_home & to_school & (outward_time | (eve & (journal.start_minute >= 12 * 60)))
    back = from_lycee & to_home & (return_time | (morrow & (journal.start_minute <= 15 * 60)))
    at = np.flatnonzero(outward | back)
    which = np.where(outward, start_home, end_home)[at]
    return _Found(at, homes.x[person[at], which], homes.y[person[at], which], outward[at])


def recognise(trips: pa.Table, places: Places, rules: Rules) -> pa.Table:
    """Keep home–lycée trips, coarse, in schema `TRIPS`; rows keep the order of the input.

    `trips` is one push's table of `coachco2/trips`: recurrence needs a person's trips together.
    """
    if not trips.num_rows or not places.lycees.num_rows:
        return TRIPS.empty_table()
    journal = read(trips)
    if not journal.row.size:
        return TRIPS.empty_table()
    attends = anchors.attend(
        journal,
        rules.calendar,
        places.near_lycees,
        radius_m=rules.lycee_radius_m,
        campus_m=rules.campus_m,
        stay_min=rules.stay_min,
        days=rules.attendance_days,
        share=rules.attendance_share,
    )
    homes, attends = anchors.homes(
        journal,
        rules.calendar,
        attends,
        radius_m=rules.home_radius_m,
        cold_start_m=rules.cold_start_m,
        apart_m=rules.apart_m,
        least_nights=rules.home_nights,
        share=rules.home_share,
        boarding_m=rules.boarding_m,
    )
    found = _classify(journal, rules, homes, attends)
    order = np.argsort(journal.row[found.at], kind="stable")
    found = _Found(found.at[order], found.home_x[order], found.home_y[order], found.outward[order])
    at = found.at
    kept = trips.take(pa.array(journal.row[at]))
    years = [f"{year}-{year + 1}" for year in range(1970, 2200)]
    lycee = pa.array(attends.place[journal.person[at]])
    commune = places.near_communes.of(found.home_x, found.home_y)
    columns: dict[str, Any] = {
        "subject": kept.column("subject"),
        "period": pa.array(years).take(pa.array(journal.year[at] - 1970)),
        "date": pa.array(journal.day[at].astype(np.int32)).cast(pa.date32()),
        "quarter_hour": pa.array((journal.start_minute[at] // 15).astype(np.int16)),
        "uai": places.lycees.column("uai").take(lycee),
        "direction": pa.array(["return", "outward"]).take(pa.array(found.outward.astype(int))),
        "origin_commune": places.communes.column("commune").take(
            pa.array(commune, mask=commune < 0)
        ),
        "origin_cell": cells(found.home_x, found.home_y),
        "distance_m": _rounded(kept.column("distance_m"), 100),
        "duration_s": _rounded(kept.column("duration_s"), 60),
        "main_mode": kept.column("main_mode"),
        "sections": _coarse_sections(kept.column("sections")),
        "app_co2_kg": pc.round(kept.column("app_co2_kg"), ndigits=2),
    }
    return pa.table([columns[name] for name in TRIPS.names], names=TRIPS.names).cast(TRIPS)


def _rounded(values: Any, multiple: float) -> Any:
    return pc.round_to_multiple(values.cast(pa.float64()), multiple, "half_towards_infinity")


def _coarse_sections(sections: pa.ChunkedArray) -> pa.Array:
    """Sections with distances to 100 m and durations to the minute, as the trip's own."""
    whole = sections.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    inner = whole.flatten()
    struct = pa.StructArray.from_arrays(
        [
            inner.field("mode").cast(pa.string()),
            _rounded(inner.field("distance_m"), 100),
            _rounded(inner.field("duration_s"), 60),
        ],
        fields=list(_SECTION),
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), struct)


def coarsen_taps(validations: pa.Table, places: Places, rules: Rules) -> pa.Table:
    """Make badge taps coarse, in schema `TAPS`: quarter hour and month, no transaction number.

    Every tap is kept: the service is a school service, and what a tap means is inferred later.
    """
    del places, rules  # one signature for every personal dataset
    wall = validations.column("event_timestamp")
    hour, minute = pc.hour(wall), pc.minute(wall)
    quarter = pc.add(pc.multiply(hour, 4), pc.divide(minute, 15))
    dates = validations.column("service_date").combine_chunks()
    # A file has some hundred days in millions of rows.
    days = pc.dictionary_encode(dates)
    months = pc.strftime(days.dictionary.cast(pa.timestamp("s")), format="%Y-%m")
    months = pc.dictionary_encode(months)
    columns: dict[str, Any] = {
        "subject": validations.column("subject"),
        "period": months.take(days.indices),  # the few months, not a text for each row
        "date": dates,
        "quarter_hour": quarter.cast(pa.int16()),
        "fare_action": validations.column("fare_action"),
        "trip_id": validations.column("trip_id"),
        "stop_id": validations.column("stop_id"),
        "rider_category": validations.column("rider_category"),
        "fare_product": validations.column("fare_product"),
    }
    return pa.table([columns[name] for name in TAPS.names], names=TAPS.names).cast(TAPS)

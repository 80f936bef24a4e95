"""Timetables: a GTFS feed, read through gtfs_kit, one table of ours per table of the feed.

Times are seconds past noon minus twelve hours and may exceed a day; `services` are the active
dates, with `calendar` and `calendar_dates` expanded. Route types are kept as published, extended
ones (712: school bus) included. Rows are counted as they stand in the feed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.archives import unpacked
from connectors.contract import Batch, Dataset, Malformed, Reading, Rejected
from connectors.documented import documented
from connectors.layouts import DATE, Rule, placed
from connectors.partners.region.gtfs_samples import EXAMPLES

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "agency": ("agency_name",),
    "stops": ("stop_id", "stop_lat", "stop_lon"),
    "routes": ("route_id", "route_type"),
    "trips": ("trip_id", "route_id", "service_id"),
    "stop_times": ("trip_id", "stop_id", "stop_sequence", "arrival_time", "departure_time"),
    "calendar": ("service_id", *DAYS, "start_date", "end_date"),
    "calendar_dates": ("service_id", "date", "exception_type"),
}
"""Tables read and the columns each must have; the two calendars may stand in for each other."""
MAX_SERVICE_DAYS: Final = 3_700
MAX_ACTIVE_DATES: Final = 20_000_000

SCHEMAS: Final = {
    "agencies": documented(
        ("agency_id", pa.string(), "identifiant", "identifier"),
        ("name", pa.string(), "exploitant", "operator"),
        optional=("agency_id",),
    ),
    "stops": documented(
        ("stop_id", pa.string(), "identifiant de l'arrêt", "identifier of the stop"),
        ("name", pa.string(), "nom", "name"),
        ("lon", pa.float64(), "longitude", "longitude", "degree"),
        ("lat", pa.float64(), "latitude", "latitude", "degree"),
        ("parent", pa.string(), "zone d'arrêt", "parent station"),
        optional=("name", "parent"),
    ),
    "routes": documented(
        ("route_id", pa.string(), "identifiant de la ligne", "identifier of the route"),
        ("short_name", pa.string(), "numéro", "short name"),
        ("long_name", pa.string(), "nom", "long name"),
        ("type", pa.int32(), "type GTFS, étendu compris", "GTFS type, extended ones included"),
        optional=("short_name", "long_name"),
    ),
    "trips": documented(
        ("trip_id", pa.string(), "identifiant de la course", "identifier of the trip"),
        ("route_id", pa.string(), "ligne", "route"),
        ("service_id", pa.string(), "service", "service"),
        ("direction", pa.int32(), "sens, 0 ou 1", "direction, 0 or 1"),
        ("headsign", pa.string(), "destination affichée", "headsign"),
        optional=("direction", "headsign"),
    ),
    "stop_times": documented(
        ("trip_id", pa.string(), "course", "trip"),
        ("stop_id", pa.string(), "arrêt", "stop"),
        ("sequence", pa.int32(), "rang", "rank"),
        ("arrival_s", pa.int32(), "arrivée, depuis midi moins 12 h", "since noon less 12 h", "s"),
        ("departure_s", pa.int32(), "départ, depuis midi moins 12 h", "since noon less 12 h", "s"),
        optional=("arrival_s", "departure_s"),
    ),
    "services": documented(
        ("service_id", pa.string(), "service", "service"),
        ("date", pa.date32(), "jour de circulation", "active date"),
    ),
}

Table = dict[str, pa.Array]
_CLOCK: Final = r"^\s*(?P<h>\d{1,3}):(?P<m>[0-5]\d):(?P<s>[0-5]\d)\s*$"


@dataclass(slots=True)
class _Reviewed:
    """A table of the feed with the rows set aside so far; columns have GTFS names."""

    name: str
    columns: Table
    rows: int
    reading: Reading
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)

    def reject(self, code: str, column: str, broken: pa.Array) -> None:
        for row in np.flatnonzero(np.asarray(pc.fill_null(broken, fill_value=False))).tolist():
            self.bad.setdefault(row, (code, f"{self.name}.{column}"))

    def need(self, *columns: str) -> None:
        for column in columns:
            self.reject("missing_value", column, pc.is_null(self.columns[column]))

    def obey(self, *rules: Rule) -> None:
        for rule in rules:
            self.reject(rule.code, rule.column, rule.broken(self.columns, self.reading))

    def once(self, column: str) -> None:
        again = self.columns[column].to_pandas().duplicated().to_numpy()
        self.reject("duplicate_row", column, pa.array(again))

    def refer(self, column: str, known: pa.Array) -> None:
        cells = self.columns[column]
        unknown = pc.invert(pc.is_in(cells, value_set=known))
        self.reject("unknown_reference", column, pc.and_(pc.is_valid(cells), unknown))

    def kept(self) -> Table:
        mask = np.ones(self.rows, bool)
        mask[list(self.bad)] = False
        return {name: cells.filter(pa.array(mask)) for name, cells in self.columns.items()}

    def rejected(self) -> tuple[Rejected, ...]:
        # A row's place in its table, the header being line 1; blank lines are not counted.
        return tuple(
            Rejected(row + 2, code, column) for row, (code, column) in sorted(self.bad.items())
        )


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    with unpacked(file, reading, [f"{table}.txt" for table in REQUIRED]) as folder:
        yield from _feed(folder, reading)


def _feed(folder: Path, reading: Reading) -> Iterator[Batch]:
    def load(table: str) -> _Reviewed:
        return _load(folder, table, reading)

    agencies = load("agency")
    agencies.need("agency_name")
    yield _batch("agencies", agencies, lambda t: (t["agency_id"], t["agency_name"]))

    stops = load("stops")
    stops.columns |= {"lon": stops.columns["stop_lon"], "lat": stops.columns["stop_lat"]}
    stops.need("stop_id")
    stops.once("stop_id")
    for place in ("lon", "lat"):
        stops.reject("position_missing", place, pc.is_null(stops.columns[place], nan_is_null=True))
    stops.obey(*placed())
    yield _batch(
        "stops",
        stops,
        lambda t: (t["stop_id"], t["stop_name"], t["lon"], t["lat"], t["parent_station"]),
    )

    routes = load("routes")
    routes.need("route_id", "route_type")
    routes.once("route_id")
    routes.reject("impossible_value", "route_type", pc.less(routes.columns["route_type"], 0))
    names = ("route_id", "route_short_name", "route_long_name", "route_type")
    yield _batch("routes", routes, lambda t: tuple(t[name] for name in names))

    trips = load("trips")
    trips.need("trip_id", "route_id", "service_id")
    trips.once("trip_id")
    trips.refer("route_id", routes.kept()["route_id"])
    direction = pc.is_in(
        trips.columns["direction_id"], value_set=pa.array([0, 1, None], pa.int32())
    )
    trips.reject("unknown_value", "direction_id", pc.invert(direction))
    of_trip = ("trip_id", "route_id", "service_id", "direction_id", "trip_headsign")
    yield _batch("trips", trips, lambda t: tuple(t[name] for name in of_trip))

    times = load("stop_times")
    times.need("trip_id", "stop_id", "stop_sequence")
    times.refer("trip_id", trips.kept()["trip_id"])
    times.refer("stop_id", stops.kept()["stop_id"])
    for moment in ("arrival_time", "departure_time"):
        _clock(times, moment)
    of_time = ("trip_id", "stop_id", "stop_sequence", "arrival_time", "departure_time")
    yield _batch("stop_times", times, lambda t: tuple(t[name] for name in of_time))

    yield _services(folder, load)


def _load(folder: Path, table: str, reading: Reading) -> _Reviewed:
    """One table through gtfs_kit, its columns as Arrow. An absent optional column is all null."""
    # Loaded here: with pandas and its maps it takes longer to load than most commands take.
    import gtfs_kit
    import pandas as pd

    path = folder / f"{table}.txt"
    if not path.exists():
        raise Malformed("missing_table", path.name)
    frame = _frame(path, table)
    if frame is None:
        frame = pd.DataFrame({name: pd.Series(dtype="string") for name in REQUIRED[table]})
    if not isinstance(frame.index, pd.RangeIndex) or not frame.columns.is_unique:
        # More cells than headers, or a header twice: pandas would read beside the columns.
        raise Malformed("unreadable_table", path.name)
    for name in REQUIRED[table]:
        if name not in frame.columns:
            raise Malformed("missing_column", f"{path.name} {name}")
    columns = {}
    for name, kind in gtfs_kit.constants.DTYPES[table].items():
        arrow = _TYPES[kind]
        if name not in frame.columns:
            columns[name] = pa.nulls(len(frame), arrow)
            continue
        cells = pa.array(frame[name], type=arrow, from_pandas=True)
        if arrow == pa.string():
            # Ids that are still quoted after parsing stand in real feeds.
            cells = pc.utf8_trim(pc.utf8_trim_whitespace(cells), characters='"')
            cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
        columns[name] = cells
    return _Reviewed(table, columns, len(frame), reading)


_TYPES: Final = {
    "string": pa.string(),
    "Int32": pa.int32(),
    "Int16": pa.int16(),
    "float": pa.float64(),
}


def _frame(path: Path, table: str) -> Any:
    """The table as gtfs_kit reads it, alone so that a failure names it; None where empty."""
    import gtfs_kit

    alone = path.parent / table
    alone.mkdir()
    path.rename(alone / path.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas guesses types of columns nobody reads
            return getattr(gtfs_kit.read_feed(alone, dist_units="km"), table)
    except UnicodeDecodeError:
        raise Malformed("wrong_encoding", path.name) from None
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError):
        # What pandas raises for a cell that is not of the type GTFS gives its column. Not
        # chained: its message repeats the cell.
        raise Malformed("unreadable_table", path.name) from None


def _clock(times: _Reviewed, column: str) -> None:
    """Turn `H:MM:SS` into seconds in place; hours may pass 24."""
    texts = times.columns[column]
    found = pc.extract_regex(texts, _CLOCK)
    times.reject("wrong_time", column, pc.and_(pc.is_valid(texts), pc.is_null(found)))
    hours, minutes, seconds = (
        pc.cast(pc.struct_field(found, part), pa.int32()) for part in ("h", "m", "s")
    )
    times.columns[column] = pc.add(
        pc.add(pc.multiply(hours, 3600), pc.multiply(minutes, 60)), seconds
    )


def _batch(name: str, table: _Reviewed, select: Callable[[Table], tuple[pa.Array, ...]]) -> Batch:
    schema = SCHEMAS[name]
    arrays = [
        pc.cast(cells, declared.type)
        for cells, declared in zip(select(table.kept()), schema, strict=True)
    ]
    records = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return Batch(name, records, table.rows, table.rejected())


# --- calendars ------------------------------------------------------------------------------


def _services(folder: Path, load: Callable[[str], _Reviewed]) -> Batch:
    """Every date each service runs: the weekly calendar, less and plus its exceptions."""
    present = [name for name in ("calendar", "calendar_dates") if (folder / f"{name}.txt").exists()]
    if not present:
        raise Malformed("missing_table", "calendar.txt")
    rules, exceptions = None, None
    if "calendar" in present:
        rules = load("calendar")
        _check_calendar(rules)
    if "calendar_dates" in present:
        exceptions = load("calendar_dates")
        exceptions.need("service_id", "date", "exception_type")
        _day(exceptions, "date")
        listed = pc.is_in(
            exceptions.columns["exception_type"], value_set=pa.array([1, 2, None], pa.int32())
        )
        exceptions.reject("unknown_value", "exception_type", pc.invert(listed))
    active = _active(rules.kept() if rules else None, exceptions.kept() if exceptions else None)
    tables = [table for table in (rules, exceptions) if table]
    return Batch(
        "services",
        active,
        sum(table.rows for table in tables),
        tuple(row for table in tables for row in table.rejected()),
    )


def _check_calendar(rules: _Reviewed) -> None:
    rules.need("service_id", "start_date", "end_date", *DAYS)
    for name in ("start_date", "end_date"):
        _day(rules, name)
    for name in DAYS:
        flag = pc.is_in(rules.columns[name], value_set=pa.array([0, 1, None], pa.int32()))
        rules.reject("unknown_value", name, pc.invert(flag))
    length = pc.subtract(
        pc.cast(rules.columns["end_date"], pa.int32()),
        pc.cast(rules.columns["start_date"], pa.int32()),
    )
    rules.reject("end_before_start", "end_date", pc.less(length, 0))
    rules.reject("impossible_value", "end_date", pc.greater(length, MAX_SERVICE_DAYS))


def _day(table: _Reviewed, column: str) -> None:
    """Turn `YYYYMMDD` into a date in place."""
    texts = table.columns[column]
    dashed = pc.replace_substring_regex(texts, r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
    good = pc.and_(
        pc.match_substring_regex(dashed, DATE.pattern), pc.equal(pc.utf8_length(texts), 8)
    )
    table.reject("wrong_date", column, pc.invert(good))
    table.columns[column] = pc.cast(
        pc.if_else(good, dashed, pa.scalar(None, pa.string())), pa.date32()
    )


def _active(rules: Table | None, exceptions: Table | None) -> pa.RecordBatch:
    ids = pa.chunked_array(
        [table["service_id"] for table in (rules, exceptions) if table], pa.string()
    )
    names = pc.unique(ids).sort()
    runs = _weekly(rules, names) if rules else np.empty(0, np.int64)
    if exceptions:
        keys = _keys(exceptions["service_id"], exceptions["date"], names)
        added = np.asarray(pc.equal(exceptions["exception_type"], 1), bool)
        runs = np.union1d(np.setdiff1d(runs, keys[~added]), keys[added])
    services, days = np.divmod(np.unique(runs), _SPAN)
    return pa.RecordBatch.from_arrays(
        [names.take(pa.array(services)), pa.array(days.astype(np.int32)).cast(pa.date32())],
        schema=SCHEMAS["services"],
    )


_SPAN: Final = 4_000_000
"""More than there are days between the years 1 and 9999, counted from 1970 in either direction."""


def _keys(services: pa.Array, days: pa.Array, names: pa.Array) -> np.ndarray:
    """A service and a day as one number, so that sets of them are sorted arrays."""
    places = np.asarray(pc.index_in(services, value_set=names), np.int64)
    return places * _SPAN + np.asarray(pc.cast(days, pa.int32()), np.int64)


def _weekly(rules: Table, names: pa.Array) -> np.ndarray:
    starts = np.asarray(pc.cast(rules["start_date"], pa.int32()), np.int64)
    ends = np.asarray(pc.cast(rules["end_date"], pa.int32()), np.int64)
    lengths = ends - starts + 1
    if lengths.sum() > MAX_ACTIVE_DATES:
        raise Malformed("expands_too_much", "calendar.txt")
    places = np.asarray(pc.index_in(rules["service_id"], value_set=names), np.int64)
    runs = np.column_stack([np.asarray(rules[day], bool) for day in DAYS])
    rows = np.repeat(np.arange(len(starts)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    days = starts[rows] + np.arange(len(rows)) - first
    weekday = (days + 3) % 7  # 1 January 1970 was a Thursday
    kept = runs[rows, weekday]
    return np.compress(kept, places[rows] * _SPAN + days)


GTFS: Final = Dataset(
    partner="region",
    name="gtfs",
    title={"fr": "Horaires de transport", "en": "Transport timetables"},
    source="GTFS Schedule",
    tables=SCHEMAS,
    read=_read,
    media_types=("application/zip",),
    examples=EXAMPLES,
)

"""Car-pool journeys in the open layout of the national register of proof of car-pooling.

One row per pair of driver and passenger, already without persons: times rounded, positions cut to
two or three decimals, rare communes left out by the register. Of the positions nothing is kept
here but the communes, which the rows name themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import (
    DATE,
    INTEGER,
    NUMBER,
    WALL_TIME,
    Column,
    Columns,
    Layout,
    Rule,
    at_least,
    dated,
    in_school_year,
    matching,
    one_of,
    placed,
    published,
)

SCHEMA: Final = documented(
    ("journey", pa.string(), "couple conducteur-passager", "pair of driver and passenger"),
    ("trip", pa.string(), "véhicule partagé", "shared vehicle"),
    ("start", pa.timestamp("us"), "départ, heure locale arrondie", "start, local time, rounded"),
    ("end", pa.timestamp("us"), "arrivée, heure locale arrondie", "end, local time, rounded"),
    ("start_commune", pa.string(), "commune de départ (INSEE)", "commune of the start (INSEE)"),
    ("end_commune", pa.string(), "commune d'arrivée (INSEE)", "commune of the end (INSEE)"),
    ("seats", pa.int64(), "sièges réservés par le passager", "seats the passenger took"),
    ("proof", pa.string(), "classe de preuve (A, B, C)", "class of proof (A, B, C)"),
    ("distance_m", pa.int64(), "distance", "distance", "m"),
    ("duration_min", pa.int64(), "durée", "duration", "min"),
    ("incentive", pa.bool_(), "incitation versée", "incentive paid"),
    optional=("trip", "start_commune", "end_commune", "incentive"),
)
# Every time has an offset here, and few distinct values: not worth the fast type.
ZONED: Final = replace(WALL_TIME, fast=None)
# Abroad the register writes 99 and a country.
COMMUNE: Final = matching(r"(?:\d{2}|2[AB])\d{3}|99\d{3}")


def _ends_before(columns: Columns, _: Reading) -> pa.Array:
    return pc.less(columns["end"], columns["start"])


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    return {**columns, "incentive": pc.equal(columns["paid"], "OUI")}


LAYOUT: Final = Layout(
    table="journeys",
    schema=SCHEMA,
    delimiter=";",
    columns=(
        Column("journey", ("journey_id",), blank="missing_value"),
        Column("trip", ("trip_id",)),
        Column("start", ("journey_start_datetime",), ZONED, "missing_value"),
        Column("start_date", ("journey_start_date",), DATE, required=False),
        Column("start_lon", ("journey_start_lon",), NUMBER, "position_missing"),
        Column("start_lat", ("journey_start_lat",), NUMBER, "position_missing"),
        Column("start_commune", ("journey_start_insee",), COMMUNE),
        Column("end", ("journey_end_datetime",), ZONED, "missing_value"),
        Column("end_lon", ("journey_end_lon",), NUMBER, "position_missing"),
        Column("end_lat", ("journey_end_lat",), NUMBER, "position_missing"),
        Column("end_commune", ("journey_end_insee",), COMMUNE),
        Column("seats", ("passenger_seats",), INTEGER, "missing_value"),
        Column("proof", ("operator_class",), one_of("A", "B", "C"), "missing_value"),
        Column("distance_m", ("journey_distance",), INTEGER, "missing_value"),
        Column("duration_min", ("journey_duration",), INTEGER, "missing_value"),
        Column("paid", ("has_incentive",), one_of("OUI", "NON"), required=False),
    ),
    rules=(
        *dated("start"),
        in_school_year("start"),
        Rule("end_before_start", "end", _ends_before),
        *placed("start_lon", "start_lat"),
        *placed("end_lon", "end_lat"),
        at_least("seats", 1),
        at_least("distance_m", 0),
        at_least("duration_min", 0),
    ),
    finish=_finish,
    unique="journey",
    fast=True,
    # The register's own file for operators names its people; the open one does not.
    foreign=("driver_id", "passenger_id", "driver_card", "passenger_card"),
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return read_csv(file, LAYOUT, reading)


HEADER: Final = (
    "journey_id;trip_id;journey_start_datetime;journey_start_date;journey_start_time;"
    "journey_start_lon;journey_start_lat;journey_start_insee;journey_start_department;"
    "journey_start_town;journey_start_towngroup;journey_start_country;journey_end_datetime;"
    "journey_end_date;journey_end_time;journey_end_lon;journey_end_lat;journey_end_insee;"
    "journey_end_department;journey_end_town;journey_end_towngroup;journey_end_country;"
    "passenger_seats;operator_class;journey_distance;journey_duration;has_incentive"
)
JOURNEY: Final = (
    '"2";"t-2";"2026-03-02T07:10:00+0100";"2026-03-02";"07:10:00";1.33;47.58;"41018";"41";"Blois";'
    '"Agglopolys";"France";"2026-03-02T07:50:00+0100";"2026-03-02";"07:50:00";1.9;47.9;"45234";'
    '"45";"Orléans";"Orléans Métropole";"France";1;"C";61000;40;"OUI"'
)


def _file(*rows: str, header: str = HEADER) -> bytes:
    good = JOURNEY.replace('"2";"t-2"', '"1";"t-1"')
    return "\n".join([header, good, *rows, ""]).encode()


def _with(before: str, after: str) -> Callable[[], bytes]:
    return lambda: _file(JOURNEY.replace(before, after, 1))


EXAMPLES: Final = (
    Example("two journeys", lambda: _file(JOURNEY), valid=2),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _file(JOURNEY), valid=2),
    Example("windows line ends", lambda: _file(JOURNEY).replace(b"\n", b"\r\n"), valid=2),
    Example("quotes around the names", lambda: _file(header='"' + HEADER.replace(";", '";"') + '"'),
            1),
    Example("in UTC", _with("07:10:00+0100", "06:10:00.000Z"), valid=2),
    Example("no commune abroad", _with('"41018"', ""), valid=2),
    Example("header only", lambda: HEADER.encode() + b"\n", valid=0),
    Example("no identifier", _with('"2";', ";"), 1, {"missing_value": 1}),
    Example("journey twice", _with('"2";', '"1";'), 1, {"duplicate_row": 1}),
    Example("31 February", _with("2026-03-02T07:10", "2026-02-31T07:10"), 1, {"wrong_time": 1}),
    Example("future", lambda: _file(JOURNEY.replace("2026-03", "2099-03")), 1,
            {"date_in_future": 1}),
    Example("clock at zero", lambda: _file(JOURNEY.replace("2026-03", "1970-01")), 1,
            {"date_too_old": 1}),
    Example("ends before", _with("T07:50", "T07:00"), 1, {"end_before_start": 1}),
    Example("no position", _with("1.33;", ";"), 1, {"position_missing": 1}),
    Example("swapped", _with("1.33;47.58", "47.58;1.33"), 1, {"position_swapped": 1}),
    Example("off the globe", _with("1.9;47.9", "1.9;97.9"), 1, {"position_outside_world": 1}),
    Example("null island", _with("1.9;47.9", "0;0"), 1, {"position_missing": 1}),
    Example("commune by name", _with('"41018"', '"Blois"'), 1, {"wrong_code": 1}),
    Example("no seat", _with(";1;", ";0;"), 1, {"impossible_value": 1}),
    Example("class D", _with('"C"', '"D"'), 1, {"unknown_value": 1}),
    Example("kilometres", _with("61000", "61.5"), 1, {"not_a_number": 1}),
    Example("negative duration", _with(";40;", ";-40;"), 1, {"impossible_value": 1}),
    Example("incentive, perhaps", _with("OUI", "peut-être"), 1, {"unknown_value": 1}),
    Example("formula", _with('"t-2"', '"=1+1"'), 2, {}, {"formula_cell": 1}),
    Example("cut in the last line", lambda: _file(JOURNEY)[:-30], 1, {"wrong_column_count": 1}),
    Example("NUL byte", _with("Blois", "B\0"), 1, {"nul_byte": 1}),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("no distance", lambda: _file().replace(b"journey_distance", b"distance"),
            malformed="missing_column"),
    Example("with its people", lambda: _file(header=HEADER.replace("trip_id", "passenger_id")),
            malformed="wrong_dataset"),
    Example("latin-1", lambda: _file().decode().encode("latin-1"), malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a zip", lambda: b"PK\x03\x04" + b"\0" * 60, malformed="wrong_format"),
)  # fmt: skip

DATASETS: tuple[Dataset, ...] = (
    Dataset(
        partner="covoiturage",
        name="journeys",
        title={"fr": "Trajets de covoiturage", "en": "Car-pool journeys"},
        source="Registre de preuve de covoiturage, données ouvertes",
        tables={"journeys": SCHEMA},
        read=_read,
        examples=EXAMPLES,
        published=published(LAYOUT),
        delimiter=";",
    ),
)

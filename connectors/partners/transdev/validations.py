"""Transdev: badge taps, in the open standard TIDES `fare_transactions` v1.0.

Transdev's own validation layout is not public; TIDES is read until it is, or an operator's own
CSV through a column map of the territory, which awaits Transdev's real columns. The card
(`token_id`) is the subject. Amounts, balances and devices are checked where present and go no
further.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columnmaps import mapped
from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import DICTIONARY, read_csv
from connectors.documented import documented
from connectors.layouts import (
    BOOLEAN,
    DATE,
    INTEGER,
    NUMBER,
    WALL_TIME,
    Column,
    Columns,
    Layout,
    at_least,
    dated,
    in_school_year,
    matching,
    one_of,
    published,
)

ACTIONS: Final = (
    "Enter", "Exit", "Transfer entrance", "Transfer exit", "Purchase", "Add", "New", "Capture",
    "Extend", "Combine", "Void", "Activate", "Adjust", "Other", "Unknown action type",
)  # fmt: skip
# The two long labels are worded differently from one release of the standard to the next.
MEDIA: Final = (
    "Smart card or ticket|Mobile NFC|Optical scan|Bank card|Cash or coins|Other type"
    "|Magnetic-stripe.*|Button pressed.*"
)

SCHEMA: Final = documented(
    ("subject", pa.string(), "référence de la carte", "reference of the card"),
    ("transaction", pa.string(), "identifiant de la validation", "identifier of the tap"),
    ("service_date", pa.date32(), "jour de service", "service day"),
    ("event_timestamp", pa.timestamp("us"), "heure locale", "local time"),
    ("fare_action", DICTIONARY, "action (montée, descente…)", "action (entry, exit…)"),
    ("trip_id", pa.string(), "course", "trip"),
    ("stop_id", DICTIONARY, "arrêt", "stop"),
    ("rider_category", DICTIONARY, "catégorie de voyageur", "rider category"),
    ("fare_product", DICTIONARY, "titre", "fare product"),
    optional=("trip_id", "stop_id", "rider_category", "fare_product"),
)


def _finish(columns: Columns) -> Mapping[str, pa.Array]:
    # The scheduled trip is the one a GTFS knows.
    trip, performed = columns["trip_id_scheduled"], columns["trip_id_performed"]
    if performed.null_count < len(performed):
        trip = pc.coalesce(trip, performed)
    return {**columns, "trip_id": trip}


LAYOUT: Final = Layout(
    table="validations",
    schema=SCHEMA,
    columns=(
        Column("subject", ("token_id",), blank="missing_identifier", many=True),
        Column("transaction", ("transaction_id",), blank="missing_value", many=True),
        Column("service_date", ("service_date",), DATE, "missing_value"),
        Column("event_timestamp", ("event_timestamp",), WALL_TIME, "missing_value", many=True),
        Column("amount", ("amount",), NUMBER, "missing_value"),
        Column("fare_action", ("fare_action",), one_of(*ACTIONS), "missing_value"),
        Column("fare_capped", ("fare_capped",), BOOLEAN, "missing_value"),
        Column("trip_id_performed", ("trip_id_performed",), required=False, many=True),
        Column("trip_id_scheduled", ("trip_id_scheduled",), required=False, many=True),
        Column("stop_id", ("stop_id",), required=False),
        Column("rider_category", ("rider_category",), required=False),
        Column("fare_product", ("fare_product",), required=False),
        Column("trip_stop_sequence", ("trip_stop_sequence",), INTEGER, required=False),
        Column("scheduled_stop_sequence", ("scheduled_stop_sequence",), INTEGER, required=False),
        Column("num_riders", ("num_riders",), INTEGER, required=False),
        Column(
            "fare_media_id", ("fare_media_id",), matching(MEDIA, "unknown_value"), required=False
        ),
        Column("balance", ("balance",), NUMBER, required=False),
    ),
    rules=(
        *dated("service_date"),
        *dated("event_timestamp"),
        in_school_year("service_date"),
        at_least("trip_stop_sequence", 1),
        at_least("scheduled_stop_sequence", 0),
        at_least("num_riders", 0),
    ),
    finish=_finish,
    unique="transaction",
    subject="subject",
    blanks=("", "NA", "NaN"),
    fast=True,
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    layout = mapped(LAYOUT, reading.column_map) if reading.column_map else LAYOUT
    return read_csv(file, layout, reading)


HEADER: Final = (
    "transaction_id,service_date,event_timestamp,amount,currency_type,fare_action,"
    "trip_id_performed,trip_id_scheduled,stop_id,num_riders,fare_media_id,rider_category,"
    "fare_product,fare_capped,token_id"
)


def _tap(number: int, **changed: str) -> str:
    row = dict.fromkeys(HEADER.split(","), "") | {
        "transaction_id": f"TX{number:06d}",
        "service_date": "2026-03-02",
        "event_timestamp": f"2026-03-02T07:{number % 60:02d}:00",
        "amount": "0",
        "currency_type": "EUR",
        "fare_action": "Enter",
        "trip_id_scheduled": "REMI45:Trip:1",
        "stop_id": "REMI45:Stop:7",
        "num_riders": "1",
        "fare_media_id": "Smart card or ticket",
        "rider_category": "Student",
        "fare_product": "Pass scolaire",
        "fare_capped": "false",
        "token_id": f"CARD{number % 7:04d}",
    }
    return ",".join((row | changed).values())


def _file(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def _ten(**changed: str) -> bytes:
    """Nine good rows and, in the fifth place, one with something changed."""
    return _file(*(_tap(n, **(changed if n == 5 else {})) for n in range(10)))


EXAMPLES: Final = (
    Example("ten taps", _ten, valid=10),
    Example("header only", _file, valid=0),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("windows line ends", lambda: _ten().replace(b"\n", b"\r\n"), valid=10),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _ten(), valid=10),
    Example("blank line", lambda: _ten().replace(b"\nTX000004", b"\n\nTX000004"), valid=10),
    Example("quoted cells", lambda: _ten().replace(b"Student", b'"Stu,""dent"""'), valid=10),
    Example("line break in a text", lambda: _ten(stop_id='"a\nb"'), valid=10),
    Example("with offset", lambda: _ten(event_timestamp="2026-03-02T06:05:00Z"), valid=10),
    Example("card without number", lambda: _ten(token_id=" "), 9,  # noqa: S106 - a card
            {"missing_identifier": 1}),
    Example("NA is blank", lambda: _ten(token_id="NA"), 9, {"missing_identifier": 1}),  # noqa: S106
    Example("no transaction", lambda: _ten(transaction_id=""), 9, {"missing_value": 1}),
    Example("same transaction", lambda: _ten(transaction_id="TX000001"), 9, {"duplicate_row": 1}),
    Example("31 February", lambda: _ten(service_date="2026-02-31"), 9, {"wrong_date": 1}),
    Example("French date", lambda: _ten(service_date="02/03/2026"), 9, {"wrong_date": 1}),
    Example("future date", lambda: _ten(service_date="2099-03-02"), 9, {"date_in_future": 1}),
    Example(
        "future time",
        lambda: _ten(event_timestamp="2099-03-02T07:00:00"),
        9,
        {"date_in_future": 1},
    ),
    Example("clock at zero", lambda: _ten(service_date="1970-01-01"), 9, {"date_too_old": 1}),
    Example("25 h", lambda: _ten(event_timestamp="2026-03-02T25:00:00"), 9, {"wrong_time": 1}),
    Example("decimal comma", lambda: _ten(amount='"1,50"'), 9, {"not_a_number": 1}),
    Example("infinite amount", lambda: _ten(amount="Infinity"), 9, {"not_a_number": 1}),
    Example("unknown action", lambda: _ten(fare_action="Jump"), 9, {"unknown_value": 1}),
    Example("unknown medium", lambda: _ten(fare_media_id="Shell"), 9, {"unknown_value": 1}),
    Example("formula", lambda: _ten(rider_category="=1+1"), 10, {}, {"formula_cell": 1}),
    Example("signs that are no formula", lambda: _ten(stop_id="-12", trip_id_scheduled="+3"), 10),
    Example("capped, perhaps", lambda: _ten(fare_capped="maybe"), 9, {"not_a_boolean": 1}),
    Example("minus one rider", lambda: _ten(num_riders="-1"), 9, {"impossible_value": 1}),
    Example("NUL byte", lambda: _ten(stop_id="a\0b"), 9, {"nul_byte": 1}),
    Example("lone carriage return", lambda: _ten(stop_id="a\rb"), 9, {"control_character": 1}),
    Example("quote never closed", lambda: _ten(stop_id='"a'), 9, {"unbalanced_quote": 1}),
    Example("one cell too many", lambda: _ten(stop_id="a,b"), 9, {"wrong_column_count": 1}),
    Example("cut in the last line", lambda: _ten()[:-60], 9, {"wrong_column_count": 1}),
    Example(
        "semicolons", lambda: _ten().replace(b",", b";"), malformed="wrong_delimiter"
    ),
    Example(
        "no token column",
        lambda: _ten().replace(b",token_id", b",card"),
        malformed="missing_column",
    ),
    Example("two tokens", lambda: _ten().replace(b"stop_id", b"token_id"),
            malformed="duplicate_column"),
    Example(
        "windows-1252", lambda: _ten(rider_category="Élève").decode().encode("cp1252"),
        malformed="wrong_encoding",
    ),
    Example("UTF-16", lambda: _ten().decode().encode("utf-16"), malformed="wrong_encoding"),
    Example("a zip", lambda: b"PK\x03\x04" + b"\0" * 60, malformed="wrong_format"),
    Example("a web page", lambda: b"<html><body>503</body></html>\n",
            malformed="missing_column"),
)  # fmt: skip

VALIDATIONS: Final = Dataset(
    partner="transdev",
    name="validations",
    title={"fr": "Validations de titres", "en": "Badge taps"},
    source="TIDES fare_transactions v1.0",
    tables={"validations": SCHEMA},
    read=_read,
    subject="subject",
    examples=EXAMPLES,
    published=published(LAYOUT),
    blanks=LAYOUT.blanks,
)

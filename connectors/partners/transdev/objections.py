"""Objections: cards whose holders object to the use of their taps, out of the family account.

One column, `reference` (or `token_id`, as taps name it). A push of it records an objection for
each card, and one said twice is one objection. A file of taps sent here by mistake is refused
whole: it would object in the name of every pupil.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import pyarrow as pa

from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import Column, Layout, matching, published

SCHEMA: Final = documented(
    ("subject", pa.string(), "référence de la carte", "reference of the card"),
)
# No blank inside, and no separator: a line of several cells is not one long card number.
REFERENCE: Final = matching(r"[^\s;|]{1,128}")

LAYOUT: Final = Layout(
    table="objections",
    schema=SCHEMA,
    columns=(Column("subject", ("reference", "token_id"), REFERENCE, "missing_identifier"),),
    finish=lambda columns: columns,
    unique="subject",
    on_repeat="fold",
    subject="subject",
    blanks=("", "NA", "NaN"),
    foreign=("transaction_id", "service_date", "event_timestamp", "fare_action"),
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return read_csv(file, LAYOUT, reading)


def _file(*rows: str, header: str = "reference") -> bytes:
    return "\n".join([header, "CARD0001", "CARD0002", *rows, ""]).encode()


EXAMPLES: Final = (
    Example("two cards", _file, valid=2),
    Example("as taps name it", lambda: _file(header="token_id"), valid=2),
    Example("header in capitals", lambda: _file(header="Reference"), valid=2),
    Example("windows line ends", lambda: _file().replace(b"\n", b"\r\n"), valid=2),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _file(), valid=2),
    Example("quoted", lambda: _file('"CARD0003"'), valid=3),
    Example("blank lines", lambda: _file("", "", "CARD0003"), valid=3),
    Example("no line feed at the end", lambda: _file()[:-1], valid=2),
    Example("nobody objects", lambda: b"reference\n", valid=0),
    Example("said twice", lambda: _file("CARD0001"), 3, {}, {"duplicate_row": 1},
            rows={"objections": 2}),
    Example("said twice, with a blank", lambda: _file(" CARD0001 "), 3, {}, {"duplicate_row": 1},
            rows={"objections": 2}),
    Example("blank in quotes", lambda: _file('" "'), 2, {"missing_identifier": 1}),
    Example("nothing in quotes", lambda: _file('""'), 2, {"missing_identifier": 1}),
    Example("NA", lambda: _file("NA"), 2, {"missing_identifier": 1}),
    Example("semicolons", lambda: _file("CARD0003;2026-03-02"), 2, {"wrong_code": 1}),
    Example("a name for a card", lambda: _file("prénom nom"), 2, {"wrong_code": 1}),
    Example("two cells", lambda: _file("CARD0003,2026-03-02"), 2, {"wrong_column_count": 1}),
    Example("quote never closed", lambda: _file('"CARD0003'), 2, {"unbalanced_quote": 1}),
    Example("NUL byte", lambda: _file("CARD\0"), 2, {"nul_byte": 1}),
    Example("lone carriage return", lambda: _file("CARD0003\rCARD0004"), 2,
            {"control_character": 1}),
    Example("far too long", lambda: _file("9" * 200), 2, {"wrong_code": 1}),
    Example("taps", lambda: _file(header="token_id,fare_action").replace(b"000", b",Enter"),
            malformed="wrong_dataset"),
    Example("no such column", lambda: _file(header="carte"), malformed="missing_column"),
    Example("two references", lambda: b"reference,reference\nA,B\n", malformed="duplicate_column"),
    Example("latin-1", lambda: _file("CARTÉ").decode().encode("latin-1"),
            malformed="wrong_encoding"),
    Example("UTF-16", lambda: _file().decode().encode("utf-16"), malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
    Example("a zip", lambda: b"PK\x03\x04" + b"\0" * 60, malformed="wrong_format"),
)  # fmt: skip

OBJECTIONS: Final = Dataset(
    partner="transdev",
    name="objections",
    title={"fr": "Oppositions", "en": "Objections"},
    source="format propre au hub : reference",
    tables={"objections": SCHEMA},
    read=_read,
    subject="subject",
    examples=EXAMPLES,
    published=published(LAYOUT),
    blanks=LAYOUT.blanks,
)

"""Enrolments: how many pupils of a commune attend a lycée, in the hub's own published layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Batch, Dataset, Example, Reading
from connectors.csvrows import read_csv
from connectors.documented import documented
from connectors.layouts import (
    INTEGER,
    NUMBER,
    Column,
    Columns,
    Layout,
    Rule,
    at_least,
    matching,
    placed,
    published,
)
from connectors.partners.region.lycees import COMMUNE, UAI

HEADER: Final = "annee_scolaire;uai;code_commune;nom_commune;longitude;latitude;effectif"
SCHEMA: Final = documented(
    ("school_year", pa.string(), "année scolaire", "school year"),
    ("uai", pa.string(), "code du lycée", "code of the lycée"),
    ("commune", pa.string(), "commune de résidence", "commune of residence"),
    ("commune_name", pa.string(), "nom de la commune", "name of the commune"),
    ("lon", pa.float64(), "longitude du chef-lieu", "longitude of its centre", "degree"),
    ("lat", pa.float64(), "latitude du chef-lieu", "latitude of its centre", "degree"),
    ("pupils", pa.int64(), "élèves inscrits", "pupils enrolled"),
)


def _not_a_year(columns: Columns, _: Reading) -> pa.Array:
    """Two years that do not follow each other."""
    first, second = (
        pc.cast(pc.utf8_slice_codeunits(columns["school_year"], start, start + 4), pa.int32())
        for start in (0, 5)
    )
    return pc.not_equal(pc.subtract(second, first), 1)


def _before(columns: Columns, reading: Reading) -> pa.Array:
    first = reading.expected_from.year if reading.expected_from else 0
    begun = pc.cast(pc.utf8_slice_codeunits(columns["school_year"], 0, 4), pa.int32())
    return pc.less(begun, first)


LAYOUT: Final = Layout(
    table="enrolments",
    schema=SCHEMA,
    delimiter=";",
    columns=(
        Column("school_year", ("annee_scolaire",), matching(r"20\d\d-20\d\d"), "missing_value"),
        Column("uai", ("uai",), UAI, "missing_value"),
        Column("commune", ("code_commune",), COMMUNE, "missing_value"),
        Column("commune_name", ("nom_commune",), blank="missing_value"),
        Column("lon", ("longitude",), NUMBER, "position_missing"),
        Column("lat", ("latitude",), NUMBER, "position_missing"),
        Column("pupils", ("effectif",), INTEGER, "missing_value"),
    ),
    rules=(
        Rule("wrong_code", "school_year", _not_a_year),
        Rule("date_before_school_year", "school_year", _before, "note"),
        *placed(),
        at_least("pupils", 0),
    ),
    finish=lambda columns: columns,
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return read_csv(file, LAYOUT, reading)


BLOIS: Final = "2025-2026;0410002E;41018;Blois;1.3359;47.5861;412"


def _file(*rows: str) -> bytes:
    good = "2025-2026;0450049J;45234;Orléans;1.9093;47.9029;804"
    return "\n".join([HEADER, good, *rows, ""]).encode()


def _with(before: str, after: str) -> Callable[[], bytes]:
    return lambda: _file(BLOIS.replace(before, after, 1))


EXAMPLES: Final = (
    Example("two communes", lambda: _file(BLOIS), valid=2),
    Example("byte order mark", lambda: b"\xef\xbb\xbf" + _file(BLOIS), valid=2),
    Example("nobody", _with("412", "0"), valid=2),
    Example("Corsica", _with("41018", "2A004"), valid=2),
    Example("minus one pupil", _with("412", "-1"), 1, {"impossible_value": 1}),
    Example("a few pupils", _with("412", "quelques"), 1, {"not_a_number": 1}),
    Example("no count", _with("412", ""), 1, {"missing_value": 1}),
    Example("one year only", _with("2025-2026", "2025"), 1, {"wrong_code": 1}),
    Example("years apart", _with("2025-2026", "2025-2027"), 1, {"wrong_code": 1}),
    Example("wrong UAI", _with("0410002E", "410002E"), 1, {"wrong_code": 1}),
    Example("no commune", _with("41018", ""), 1, {"missing_value": 1}),
    Example("no centre", _with("1.3359", ""), 1, {"position_missing": 1}),
    Example("swapped", _with("1.3359;47.5861", "47.5861;1.3359"), 1, {"position_swapped": 1}),
    Example("cut in the last line", lambda: _file(BLOIS)[:-30], 1, {"wrong_column_count": 1}),
    Example("commas", lambda: _file().replace(b";", b","), malformed="wrong_delimiter"),
    Example("no counts", lambda: _file().replace(b"effectif", b"n"), malformed="missing_column"),
    Example("latin-1", lambda: _file().decode().encode("latin-1"), malformed="wrong_encoding"),
    Example("nothing", lambda: b"", malformed="empty_file"),
)  # fmt: skip

ENROLMENTS: Final = Dataset(
    partner="region",
    name="enrolments",
    title={"fr": "Effectifs par commune de résidence", "en": "Enrolments by commune of residence"},
    source=f"format propre au hub : {HEADER}",
    tables={"enrolments": SCHEMA},
    read=_read,
    examples=EXAMPLES,
    published=published(LAYOUT),
    delimiter=";",
)

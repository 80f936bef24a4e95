"""A published table as bytes, in each format people and programs open.

The same table gives the same bytes: the CSV's digest names a release, and whoever computes it
again must get it. Names of places come from partners, and a spreadsheet runs a cell that begins
like a formula: CSV and workbook keep such a text a text (CWE-1236).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from analytics.model import Measure

FORMULA: Final = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet would run (OWASP, CSV injection)."""
SHEET_ROWS: Final = 1_048_575
"""Rows a workbook's sheet has below its header; a longer table has no workbook."""
CREATED: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a workbook's times have no zone
"""Written into each workbook instead of the present, or no two would be alike."""


Note = tuple[str, str, str]
"""A line of a workbook's notice: what it is about, in French, in English."""


def prepare(table: pa.Table, measure: Measure, terms: Sequence[Note] = ()) -> dict[str, bytes]:
    """Every format of a measure's table, as bytes ready to be handed out."""
    return {kind: made(kind, table, measure, terms) for kind in kinds(table)}


def kinds(table: pa.Table) -> list[str]:
    """The formats a table has."""
    located = ["geojson"] if {"lon", "lat"} <= set(table.column_names) else []
    workbook = ["xlsx"] if table.num_rows <= SHEET_ROWS else []
    return [*WRITERS, *located, *workbook]


def made(kind: str, table: pa.Table, measure: Measure, terms: Sequence[Note] = ()) -> bytes:
    """One format of a table; `terms` are on the notice sheet of a workbook."""
    if kind == "xlsx":
        return _workbook(table, measure, terms)
    return _geojson(table) if kind == "geojson" else WRITERS[kind](table)


def licensed(licence: str) -> Note:
    """The notice's line of an open table's licence."""
    return ("Licence", licence, licence)


def digest(table: pa.Table) -> str:
    """SHA-256, in hex, of the table's CSV: what names it, published or not."""
    return hashlib.sha256(_csv(table)).hexdigest()


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(_inert(table), sink)
    return sink.getvalue()


def _inert(table: pa.Table) -> pa.Table:
    """Texts that begin like a formula get an apostrophe before them."""
    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            cells = table[column.name]
            runs = pc.match_substring_regex(cells, FORMULA)
            if pc.any(runs).as_py():
                quoted = pc.binary_join_element_wise("'", cells, "")
                table = table.set_column(index, column, pc.if_else(runs, quoted, cells))
    return table


def _parquet(table: pa.Table) -> bytes:
    """In what every reader reads: older ones know neither zstd nor the format's second version."""
    sink = io.BytesIO()
    pq.write_table(table, sink, version="1.0", compression="snappy")
    return sink.getvalue()


def _json(table: pa.Table) -> bytes:
    return msgspec.json.encode(table.to_pylist())


def _geojson(table: pa.Table) -> bytes:
    """RFC 7946 points, longitude first."""
    return msgspec.json.encode(
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {"type": "Point", "coordinates": [row.pop("lon"), row.pop("lat")]},
                    "properties": row,
                }
                for row in table.to_pylist()
            ],
        }
    )


def _workbook(table: pa.Table, measure: Measure, terms: Sequence[Note]) -> bytes:
    """Two sheets: the notice, which says what the figures are, and the figures."""
    import xlsxwriter  # loaded by those who write one

    sink = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
               "strings_to_numbers": False}  # fmt: skip
    book = xlsxwriter.Workbook(sink, options)
    book.set_properties({"title": measure.title["fr"], "created": CREATED})
    bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True})
    notice = book.add_worksheet("Notice")
    notice.set_column(0, 0, 24)
    notice.set_column(1, 2, 70, wrapped)
    for at, line in enumerate(_notice(measure, terms)):
        notice.write_row(at, 0, line, bold if at == 0 else None)
    data = book.add_worksheet("Données")
    data.freeze_panes(1, 0)
    data.write_row(0, 0, table.column_names, bold)
    for at, name in enumerate(table.column_names):
        data.write_column(1, at, [_cell(value) for value in table[name].to_pylist()])
    data.autofilter(0, 0, max(table.num_rows, 1), table.num_columns - 1)
    book.close()
    return sink.getvalue()


def _notice(measure: Measure, terms: Sequence[Note]) -> list[Note]:
    lines = [
        ("", measure.title["fr"], measure.title["en"]),
        ("", measure.about["fr"], measure.about["en"]),
        *terms,
        ("", "Les cases « suppressed » sont retenues pour ne révéler personne.",
         "Cells marked “suppressed” are withheld so as to reveal nobody."),
        ("", "Le manifeste de la publication dit entrées, protection et preuve.",
         "The release's manifest says inputs, protection and proof."),
    ]  # fmt: skip
    for column in measure.columns:
        unit = f" ({column.unit})" if column.unit else ""
        lines.append((column.name, column.fr + unit, column.en + unit))
    return lines


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


WRITERS: Final[Mapping[str, Callable[[pa.Table], bytes]]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}

"""One table in every format: the same figures, the same bytes each time, and no formula runs."""

from __future__ import annotations

import io

import geopandas as gpd
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.measures import MEASURES
from analytics.model import Measure, schema_of
from hub import formats

PLACES = MEASURES["places"]
NAMES = ['=HYPERLINK("x")', "+33", "-1", "@SUM(A1)", "\tcmd", "Arrêt d’Olivet", "a=b"]


def table(names: list[str]) -> pa.Table:
    rows = [
        {"layer": "stop", "id": str(n), "name": name, "commune": None, "kind": None,
         "lon": 1.9 + n / 100, "lat": 47.9}
        for n, name in enumerate(names)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema_of(PLACES.columns))


def test_every_format_gives_the_same_figures() -> None:
    made = formats.prepare(table(["Nord", "Sud"]), PLACES)
    assert set(made) == {"csv", "json", "parquet", "geojson", "xlsx"}
    wanted = table(["Nord", "Sud"]).to_pandas()
    csv = pd.read_csv(io.BytesIO(made["csv"]), dtype={"id": str})
    sheet = pd.read_excel(io.BytesIO(made["xlsx"]), sheet_name="Données", dtype={"id": str})
    layer = gpd.read_file(io.BytesIO(made["geojson"]))
    for columns, found in (
        (["id", "name", "lon", "lat"], csv),
        (["id", "name", "lon", "lat"], sheet),
    ):
        pd.testing.assert_frame_equal(found[columns], wanted[columns], check_dtype=False)
    assert [(p.x, p.y) for p in layer.geometry] == list(
        zip(wanted["lon"], wanted["lat"], strict=True)
    )


def test_parquet_is_in_what_the_oldest_readers_read() -> None:
    """Some refuse a file by its version alone, or know no codec younger than Snappy."""
    content = formats.prepare(table(["Nord", "Sud"]), PLACES)["parquet"]
    told = pq.read_metadata(io.BytesIO(content))
    group = told.row_group(0)
    assert told.format_version == "1.0"
    assert {group.column(n).compression for n in range(told.num_columns)} == {"SNAPPY"}
    assert pq.read_table(io.BytesIO(content)).equals(table(["Nord", "Sud"]))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.name)
def test_parquet_keeps_the_types_of_every_measure(measure: Measure) -> None:
    empty = schema_of(measure.columns).empty_table()
    content = formats.WRITERS["parquet"](empty)
    assert pq.read_schema(io.BytesIO(content)).equals(empty.schema)


def test_the_workbook_says_what_its_figures_are() -> None:
    terms = [formats.licensed(PLACES.licence)]
    made = formats.prepare(table(["Nord"]), PLACES, terms)
    book = openpyxl.load_workbook(io.BytesIO(made["xlsx"]))
    assert book.sheetnames == ["Notice", "Données"]
    notice = {str(cell.value) for row in book["Notice"].iter_rows() for cell in row if cell.value}
    assert {PLACES.title["fr"], PLACES.about["en"], PLACES.licence} <= notice
    assert {column.name for column in PLACES.columns} <= notice


def test_the_same_table_gives_the_same_bytes() -> None:
    assert formats.prepare(table(NAMES), PLACES) == formats.prepare(table(NAMES), PLACES)
    assert formats.digest(table(NAMES)) != formats.digest(table(NAMES[:1]))


@given(st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), min_size=1, max_size=8))
def test_no_cell_of_a_csv_begins_like_a_formula(names: list[str]) -> None:
    safe = [name.replace("\x00", "").encode("utf-8", "ignore").decode() for name in names]
    read = pa.csv.read_csv(
        io.BytesIO(formats.prepare(table(safe), PLACES)["csv"]),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types={"name": pa.string()}),
    )
    for sent, cell in zip(safe, read["name"].to_pylist(), strict=True):
        assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}
        assert cell in {sent, f"'{sent}"}


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_of_a_workbook_is_a_formula(name: str) -> None:
    book = openpyxl.load_workbook(io.BytesIO(formats.prepare(table([name]), PLACES)["xlsx"]))
    (cell,) = [row[2] for row in book["Données"].iter_rows(min_row=2)]
    assert (cell.data_type, cell.value) == ("s", name)


def test_a_table_too_long_for_a_sheet_has_no_workbook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "SHEET_ROWS", 1)
    assert "xlsx" not in formats.prepare(table(["a", "b"]), PLACES)
    assert "xlsx" in formats.prepare(table(["a"]), PLACES)

"""An operator's own CSV through a column map: same rows, same reasons, its own column names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.columnmaps import mapped
from connectors.contract import ColumnMap, Malformed
from connectors.csvrows import read_csv
from connectors.partners import transdev
from connectors.registry import DATASETS
from tests.connectors.reading import READING, Outcome, read

TAPS = DATASETS["transdev/validations"]
MAP = ColumnMap(
    separator=";",
    encoding="cp1252",
    date_format="%d/%m/%Y",
    time_format="%H:%M:%S",
    decimal_comma=True,
    columns={
        "transaction_id": ("N° opération",),
        "token_id": ("N° support",),
        "service_date": ("Date",),
        "event_timestamp": ("Date", "Heure"),
        "fare_action": ("Action",),
        "stop_id": ("Arrêt",),
        "rider_category": ("Profil",),
        "amount": ("Prix",),
    },
    constants={"fare_capped": "false"},
    values={"fare_action": {"Montée": "Enter", "Descente": "Exit"}},
)
OWN = replace(READING, column_map=MAP)
HEADER = "N° opération;N° support;Date;Heure;Action;Arrêt;Profil;Prix"
TAP = "T1;C1;02/03/2026;07:05:00;Montée;Église;Élève – œuvre;0,50"


def own(*lines: str, header: str = HEADER) -> Outcome:
    return read(TAPS, "\r\n".join([header, *lines, ""]).encode("cp1252"), OWN)


def test_an_operators_file_becomes_the_published_rows() -> None:
    (row,) = own(TAP).table("validations").to_pylist()
    assert {name: str(value) for name, value in row.items()} == {
        "subject": "C1",
        "transaction": "T1",
        "service_date": "2026-03-02",
        "event_timestamp": "2026-03-02 07:05:00",
        "fare_action": "Enter",
        "trip_id": "None",
        "stop_id": "Église",
        "rider_category": "Élève – œuvre",
        "fare_product": "None",
    }


@pytest.mark.parametrize(
    ("before", "after", "code", "column"),
    [
        ("02/03/2026", "31/02/2026", "wrong_date", "Date"),
        ("02/03/2026", "3/2/26", "wrong_date", "Date"),
        ("02/03/2026", "02/03/2099", "date_in_future", "Date"),
        ("07:05:00", "27:05:00", "wrong_time", "Date + Heure"),
        ("07:05:00", "", "missing_value", "Date + Heure"),
        ("Montée", "Saut", "unknown_value", "Action"),
        ("Montée", "", "missing_value", "Action"),
        ("C1", " ", "missing_identifier", "N° support"),
        ("0,50", "0,5,0", "not_a_number", "Prix"),
        (";0,50", "", "wrong_column_count", ""),
    ],
)
def test_a_bad_row_names_the_operators_column(
    before: str, after: str, code: str, column: str
) -> None:
    got = own(TAP.replace(before, after), TAP.replace("T1", "T2"))
    assert [(row.position, row.code, row.column) for row in got.rejected] == [(2, code, column)]
    assert got.valid == 1


def test_a_published_word_needs_no_translation() -> None:
    assert (
        own(TAP.replace("Montée", "Exit")).table("validations")["fare_action"][0].as_py() == "Exit"
    )


def test_raw_bytes_are_the_operators() -> None:
    bad = TAP.replace("02/03/2026", "x")
    assert own(bad).rejected[0].raw == bad.encode("cp1252") + b"\n"


@pytest.mark.parametrize(
    ("header", "code", "where"),
    [
        (HEADER.replace("N° support", "Carte"), "missing_column", "N° support"),
        (HEADER.replace("Heure", "H"), "missing_column", "Heure"),
        (HEADER.replace(";", ","), "wrong_delimiter", "line 1"),
        (HEADER.replace("Prix", "Date"), "duplicate_column", "Date"),
    ],
)
def test_a_file_that_does_not_fit_the_map_is_refused(header: str, code: str, where: str) -> None:
    with pytest.raises(Malformed) as refused:
        own(TAP, header=header)
    assert (refused.value.code, refused.value.where) == (code, where)


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": {"card": ("N° support",)}},
        {"constants": {"card": "1"}},
        {"values": {"card": {}}},
        {"separator": ";;"},
        {"encoding": "utf-7"},
        {"date_format": "%d/%B/%Y"},
        {"date_format": "%d/%m"},
        {"time_format": "%H:%M:%H"},
    ],
    ids=str,
)
def test_a_map_that_does_not_fit_the_dataset_is_said_so(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed) as refused:
        mapped(transdev.LAYOUT, replace(MAP, **wrong))  # type: ignore[arg-type]
    assert refused.value.code == "wrong_column_map"


CELL = st.sampled_from(
    ["T1", "C1", "02/03/2026", "29/02/2024", "29/02/2025", "2026-03-02", "07:05:00", "24:00:00",
     "7:05", "Montée", "Enter", "", " ", "0,5", "1.5", "-1", "a=b", "=x"]
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(CELL, min_size=8, max_size=8), max_size=6))
def test_the_fast_reading_agrees_with_the_careful_one(rows: list[list[str]]) -> None:
    layout = replace(mapped(transdev.LAYOUT, MAP), fast=False)
    slow = replace(TAPS, read=lambda file, reading: read_csv(file, layout, reading))
    content = "\n".join([HEADER, *map(";".join, rows), ""]).encode("cp1252")
    one, other = read(TAPS, content, OWN), read(slow, content, OWN)
    assert (one.rejected, one.received, one.warned) == (
        other.rejected,
        other.received,
        other.warned,
    )
    assert one.rows == other.rows

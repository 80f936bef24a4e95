"""The app's trip export: its quirks read, its lines kept inside, its account from the push."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Malformed
from connectors.partners.coachco2.export_samples import export, line, moment
from connectors.registry import DATASETS
from tests.connectors.reading import READING, Outcome, read, real

TRIPS = DATASETS["coachco2/trips"]
MINE = replace(READING, reference="account-7")


def outcome(*lines: str) -> Outcome:
    return read(TRIPS, export(*lines), MINE)


def one(**changed: str) -> dict[str, Any]:
    (row,) = outcome(line(**changed)).table("trips").to_pylist()
    return dict(row)


def test_the_real_trips() -> None:
    content = real("coachco2/export-sample.csv").read_bytes()
    got = read(TRIPS, content, MINE)
    walk, journey = got.table("trips").to_pylist()
    assert (got.received, got.reasons, got.warnings) == (2, {}, {})
    assert walk["start"].isoformat() == "2021-06-30T12:47:51+00:00"
    assert walk["distance_m"] == pytest.approx(4724.9, abs=0.1)
    assert [section["mode"] for section in journey["sections"]] == ["TRAIN", "BUS", "WALKING"]
    assert journey["subject"] == "account-7"


def test_the_export_and_the_documents_of_one_trip_agree() -> None:
    csv = read(TRIPS, real("coachco2/export-sample.csv").read_bytes(), MINE)
    document = read(TRIPS, real("coachco2/timeseries-02.json").read_bytes())
    exported = csv.table("trips").to_pylist()[1]
    (told,) = document.table("trips").to_pylist()
    for name in ("trip", "start", "end", "main_mode", "purpose", "sections", "app_co2_kg"):
        assert exported[name] == told[name], name
    for name in ("start_lon", "start_lat", "end_lon", "end_lat"):
        assert exported[name] == pytest.approx(told[name], abs=0.01), name


def test_sections_of_a_trip_become_one_row_in_their_order() -> None:
    walk = line(Section_Start_Date=moment("07:50:00"), Section_Mode="WALKING",
                Section_Distance="100", Section_Coordinates="1.8,47.8,1.9,47.9")  # fmt: skip
    (row,) = outcome(line(), walk).table("trips").to_pylist()
    assert [section["mode"] for section in row["sections"]] == ["WALKING", "BUS"]
    assert (row["start_lon"], row["end_lon"]) == (1.8, 1.92)
    assert (row["distance_m"], row["duration_s"]) == (4300.5, 1200.0)


def test_no_point_between_and_no_name_comes_out() -> None:
    text = str(one())
    assert "1.91" not in text
    assert "Blois" not in text
    assert "Lycée" not in text


def test_a_cell_may_be_larger_than_a_csv_reader_takes() -> None:
    points = ",".join(["1.9,47.9"] * 200_000)
    assert one(Section_Coordinates=points)["end_lon"] == 1.9


@pytest.mark.parametrize("language", ["Central European Standard Time", "heure d’été", "中欧 (x)"])
def test_the_language_of_the_browser_does_not_matter(language: str) -> None:
    row = one(Trip_Start_Date=moment("07:30:00", language=language))
    assert row["start"].isoformat() == "2026-03-02T06:30:00+00:00"


def test_a_blank_is_the_zero_the_app_could_not_write() -> None:
    row = one(Section_Distance="", Section_Duration="")
    assert row["sections"] == [{"mode": "BUS", "distance_m": 0.0, "duration_s": 0.0}]


def test_negative_figures_are_repaired_from_readings() -> None:
    got = outcome(line(Section_Distance="-1", Section_Duration="-1"))
    assert got.warnings == {"section_repaired": 2}
    (row,) = got.table("trips").to_pylist()
    assert row["sections"] == [{"mode": "BUS", "distance_m": 4200.5, "duration_s": 1200.0}]


def on(day: str) -> str:
    return moment("08:00:00", day)


@pytest.mark.parametrize(
    ("changed", "code", "column"),
    [
        ({"Trip_Start_Date": ""}, "missing_value", "Trip_Start_Date"),
        ({"Trip_Start_Date": "2026-03-02T08:00:00Z"}, "wrong_time", "Trip_Start_Date"),
        ({"Trip_Start_Date": on("Mon Fev 02 2026")}, "wrong_time", "Trip_Start_Date"),
        ({"Trip_Start_Date": on("Mon Feb 31 2026")}, "wrong_time", "Trip_Start_Date"),
        ({"Trip_Start_Date": on("Thu Jan 01 1970")}, "date_too_old", "Trip_Start_Date"),
        ({"Trip_End_Date": moment("07:00:00")}, "end_before_start", "Trip_End_Date"),
        ({"Trip_End_Date": on("Mon Mar 02 2099")}, "date_in_future", "Trip_End_Date"),
        ({"Section_Start_Date": "soon"}, "wrong_time", "Section_Start_Date"),
        ({"Section_Distance": "far"}, "not_a_number", "Section_Distance"),
        ({"Section_Distance": "Infinity"}, "not_a_number", "Section_Distance"),
        ({"Section_Distance": "NaN"}, "not_a_number", "Section_Distance"),
        ({"Section_Distance": "-1", "Section_Distances": ""}, "impossible_value",
         "Section_Distance"),
        ({"Section_Coordinates": ""}, "position_missing", "Section_Coordinates"),
        ({"Section_Coordinates": "0,0"}, "position_missing", "Section_Coordinates"),
        ({"Section_Coordinates": "1.9,47.9,1.9"}, "wrong_type", "Section_Coordinates"),
        ({"Section_Coordinates": "here,47.9"}, "not_a_number", "Section_Coordinates"),
        ({"Section_Coordinates": "47.9,1.9"}, "position_swapped", "Section_Coordinates"),
        ({"Section_Coordinates": "190,47.9"}, "position_outside_world", "Section_Coordinates"),
    ],
)  # fmt: skip
def test_a_trip_with_a_bad_section_is_set_aside_whole(
    changed: dict[str, str], code: str, column: str
) -> None:
    after = line(Trip_Id="trip-2")
    got = outcome(line(**changed), line(), after)
    if column.startswith("Trip_"):  # read once per trip, off its first line
        got = outcome(line(**changed), after)
    assert [(row.position, row.code, row.column) for row in got.rejected] == [(2, code, column)]
    assert got.rejected[0].subject == "account-7"
    assert got.rows == {"trips": 1}


def test_an_unreadable_line_takes_its_trip_with_it() -> None:
    got = outcome(line(), line() + ",x", line(Trip_Id="trip-2"))
    assert [(row.position, row.code) for row in got.rejected] == [(2, "wrong_column_count")]
    assert got.rejected[0].raw == "\n".join([line(), line() + ",x", ""]).encode()


def test_an_unknown_mode_is_told_once_per_trip() -> None:
    got = outcome(line(Section_Mode="ROCKET"), line(Section_Mode=""))
    assert got.warnings == {"unknown_mode": 1}
    assert got.table("trips")["main_mode"].to_pylist() == ["UNKNOWN"]


def test_a_trip_that_comes_back_is_a_repeat() -> None:
    assert outcome(line(), line(Trip_Id="b"), line()).reasons == {"duplicate_row": 1}


def test_trips_before_the_school_year_are_told() -> None:
    later = replace(MINE, expected_from=date(2026, 9, 1))
    assert read(TRIPS, export(line()), later).warnings == {"date_before_school_year": 1}


@pytest.mark.parametrize("reference", [None, "", "  "])
def test_without_an_account_there_is_nobody_to_ask(reference: str | None) -> None:
    got = read(TRIPS, export(line()), replace(READING, reference=reference))
    assert got.reasons == {"missing_identifier": 1}
    assert got.rejected[0].subject is None


def test_a_trip_that_never_ends_is_refused() -> None:
    small = replace(MINE, max_record_bytes=2_000)
    with pytest.raises(Malformed) as refused:
        read(TRIPS, export(*[line()] * 20), small)
    assert refused.value.code == "line_too_long"


TEXT = st.text(st.sampled_from('a",é ='), max_size=12)


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_names_with_quotes_and_commas_never_shift_a_column(start: str, end: str) -> None:
    """The app escapes nothing: either the line is read right, or it is named."""
    got = outcome(line(Trip_Start_Display_Name=start, Trip_Arrival_Display_Name=end))
    if got.rejected:
        assert set(got.reasons) <= {"wrong_column_count", "unbalanced_quote"}
    else:
        assert got.table("trips").to_pylist()[0]["distance_m"] == 4200.5

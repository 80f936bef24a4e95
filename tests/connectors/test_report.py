"""The validation report: ranges, counts, one form of a cell, and never its content."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import REASONS, Rejected, Warned
from connectors.registry import DATASETS
from connectors.report import MAX_PATTERN, MAX_RANGES, redacted, report, written
from tests.connectors.reading import read
from tests.connectors.test_columnmaps import OWN, TAP, own
from tests.connectors.test_csv import file, tap

TAPS = DATASETS["transdev/validations"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2026-02-31", "9999-99-99"),
        ("1234-AB", "9999-AA"),
        ("Élise D'Été", "AAAAA A?AAA"),
        ("٣٤", "99"),
        ("", ""),
        ("=cmd|x", "?AAA?A"),
        ("x" * 300, "A" * MAX_PATTERN + "…"),
    ],
)
def test_a_form_keeps_no_content(text: str, form: str) -> None:
    assert redacted(text) == form


@given(st.text())
def test_no_sign_that_tells_something_survives(text: str) -> None:
    assert set(redacted(text)) <= set("9A?…-/.:,;+_ ")
    assert len(redacted(text)) <= MAX_PATTERN + 1


def test_consecutive_lines_are_one_range() -> None:
    rows = [Rejected(n, "wrong_date", "service_date") for n in (2, 3, 4, 9, 11, 12)]
    (found,) = report(rows)
    assert found.ranges == ((2, 4), (9, 9), (11, 12))
    assert found.lines == "2-4, 9, 11-12"
    assert (found.count, found.more) == (6, 0)


@given(st.lists(st.integers(1, 60), unique=True).map(sorted))
def test_ranges_hold_every_line_and_no_other(positions: list[int]) -> None:
    found = report([Warned(n, "formula_cell", "x") for n in positions])
    told = {n for one in found for a, b in one.ranges for n in range(a, b + 1)}
    assert told <= set(positions)
    assert len(told) + sum(one.more for one in found) == len(positions)


def test_a_million_scattered_rows_make_a_short_report() -> None:
    (found,) = report(Rejected(2 * n, "wrong_date", "d") for n in range(1, 100_001))
    assert (found.count, len(found.ranges), found.more) == (100_000, MAX_RANGES, 99_980)
    assert found.lines.endswith("…")


def test_a_report_of_a_file_names_lines_columns_and_forms() -> None:
    lines = [tap(n) for n in range(8)]
    lines[1] = tap(1, service_date="31/02/2026")
    lines[2] = tap(2, service_date="1er mars")
    lines[5] = tap(5, fare_action="Jump")
    lines[6] = tap(6, rider_category="=1")
    lines[7] = "a,b"
    got = read(TAPS, file(*lines))
    found = report([*got.rejected, *got.warned])
    assert [(f.code, f.column, f.lines, f.count, f.pattern, f.kept) for f in found] == [
        ("wrong_date", "service_date", "3-4", 2, "99/99/9999", False),
        ("unknown_value", "fare_action", "7", 1, "AAAA", False),
        ("wrong_column_count", "", "9", 1, "", False),
        ("formula_cell", "rider_category", "8", 1, "", True),
    ]


def test_the_form_is_of_the_cell_the_operator_wrote() -> None:
    got = own(TAP.replace("02/03/2026", "2.3.26"))
    assert report(got.rejected)[0].pattern == "9.9.99"
    assert OWN.column_map is not None


def test_the_form_of_a_cell_made_of_two_has_both() -> None:
    (found,) = report(own(TAP.replace("07:05:00", "7h05")).rejected)
    assert (found.column, found.pattern) == ("Date + Heure", "99/99/9999 9A99")


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_written_report_says_what_to_do(language: str) -> None:
    got = read(TAPS, file(tap(1, token_id=""), tap(2, service_date="canari-77")))
    text = written(report(got.rejected), language)
    assert REASONS["missing_identifier"].words[language] in text
    assert "service_date" in text
    assert "AAAAAA-99" in text
    assert "canari" not in text


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.key)
def test_no_report_of_an_example_holds_a_subject(dataset: object) -> None:
    known = next(d for d in DATASETS.values() if d is dataset)
    for example in known.examples:
        if example.rejected:
            rows = read(known, example.content()).rejected
            text = str([one.as_json() for one in report(rows)])
            assert not [r.subject for r in rows if r.subject and r.subject in text]


def test_a_finding_is_of_both_languages() -> None:
    (found,) = report([replace(Rejected(1, "wrong_date", "d"), pattern="9")])
    assert set(found.as_json()["words"]) == {"fr", "en"}

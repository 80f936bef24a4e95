"""Rows of a release to areas: what is withheld stays so, whatever the row says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.web import figures
from tests.web.published import TERRITORY, carbon_rows, modal_rows

VALUES = st.one_of(st.none(), st.floats(), st.integers(-5, 200), st.text(max_size=3))
ROW = st.fixed_dictionaries(
    {
        "school_year": st.just("2025-2026"),
        "population": st.sampled_from(["pupil", "staff"]),
        "geography": st.sampled_from(["lycee", "lycees", "department", "region", "planet"]),
        "area": st.sampled_from(["0450049A", "45", "45-1", "24", ""]),
        "area_name": st.text(max_size=8),
        "mode": st.sampled_from([*figures.MODES, "car+other", ""]),
        "variant": st.sampled_from([*figures.VARIANTS, "x"]),
        "scope": st.sampled_from([*figures.SCOPES, "x"]),
        "estimate": VALUES,
        "low": VALUES,
        "high": VALUES,
        "contributors": st.sampled_from([*figures.CLASSES, "", "1-10", "17"]),
        "suppressed": st.sampled_from([True, False, None, 0, "false"]),
        "note": st.sampled_from(["", "in-group", None]),
    }
)


@given(st.lists(ROW, max_size=12))
def test_any_rows_draw_and_nothing_withheld_shows(rows: list[dict[str, Any]]) -> None:
    modal = figures.modal_split(rows, "pupil", TERRITORY.departments)
    carbon = figures.carbon_balance(rows, "pupil", TERRITORY.departments)
    told = {
        (row["geography"], row["area"])
        for row in rows
        if row["suppressed"] is False and row["population"] == "pupil"
    }
    for area in [*modal, *carbon]:
        assert area.contributors in ("", *figures.CLASSES)
        if (area.geography, area.code) not in told:
            assert not area.published
            assert area.contributors == ""
        for share in area.shares:
            assert math.isfinite(share.figure.estimate)
            assert -0.1 <= share.x <= share.x + share.width <= 100.1


def test_bars_are_whole() -> None:
    for area in figures.modal_split(modal_rows(), "pupil", TERRITORY.departments):
        if area.published:
            assert sum(share.width for share in area.shares) == pytest.approx(100, abs=0.1)
            assert [share.modes[0] for share in area.shares] == list(figures.MODES)


def test_the_carbon_scale_holds_every_bar() -> None:
    rows = carbon_rows()
    for area in figures.carbon_balance(rows, "pupil", TERRITORY.departments):
        for balance in area.balances:
            assert sum(balance.widths.values()) <= 100
            assert list(balance.scopes) == ["use", "manufacture"]
    assert figures.carbon_scale([]) == 1.0
    assert figures.carbon_scale(rows) % 50 == 0


@pytest.mark.parametrize(
    ("geography", "code", "department"),
    [
        ("lycee", "0450049A", "45"),
        ("department", "45", "45"),
        ("lycees", "45-2", "45"),
        ("lycees", "45:2", "45"),
        ("department", "045", "45"),
        ("region", "24", ""),
        ("region", "45", ""),
        ("lycees", "1450", ""),
        ("lycee", "", ""),
    ],
)
def test_an_area_is_in_its_department(geography: str, code: str, department: str) -> None:
    assert figures.department_of(geography, code, TERRITORY.departments) == department


def test_search_forgets_accents_and_case() -> None:
    areas = figures.modal_split(modal_rows(), "pupil", TERRITORY.departments)
    descartes = next(area for area in areas if "Descartes" in area.name)
    assert figures.fits(descartes, "", "DÉSCARTES lycee")
    assert figures.fits(descartes, "37", "0370035m")
    assert not figures.fits(descartes, "45", "")

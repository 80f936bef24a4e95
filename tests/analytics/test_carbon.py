from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analytics import carbon
from analytics.plan import MODES, Plan

DATA = Path(__file__).parents[2] / "../shared/data/factors/impactco2-deplacement.json"
TABLE = carbon.load("ademe-2026-07")


def test_no_two_factors_share_all_values_undeclared() -> None:
    assert carbon.undeclared_twins(TABLE.factors) == []


def test_an_undeclared_twin_is_found() -> None:
    factors = dict(TABLE.factors)
    factors["impactco2:4"] = replace(factors["impactco2:4"], alias_of=None)
    assert carbon.undeclared_twins(factors) == [("impactco2:130", "impactco2:4")]


def test_the_compact_diesel_is_not_the_fleet() -> None:
    car = TABLE.modes["CAR"][0]
    assert car.id == "basecarbone:27970"
    assert car.use != TABLE.factors["impactco2:4"].use
    assert TABLE.factors["impactco2:4"].alias_of == "impactco2:130"


def test_values_are_those_published() -> None:
    if not DATA.exists():
        pytest.skip(f"{DATA.name} is not here")
    published = {f"impactco2:{one['id']}": one for one in json.loads(DATA.read_text("utf-8"))}
    checked = 0
    for factor in TABLE.factors.values():
        if factor.id.startswith("impactco2:"):
            parts = {one["id"]: one["value"] for one in published[factor.id].get("ecv", [])}
            assert factor.use == parts.get(6, 0), factor.id
            assert factor.manufacture == parts.get(5, 0), factor.id
            checked += 1
    assert checked == len(TABLE.factors) - 1


def test_every_mode_has_coefficients_in_order_of_their_bounds() -> None:
    coefficients = carbon.per_km(Plan(), driven=True)
    assert set(coefficients) == set(MODES)
    for row in coefficients.values():
        for variant in carbon.VARIANTS:
            for scope in carbon.SCOPES:
                low, middle, high = (row[variant, scope, bound] for bound in carbon.BOUNDS)
                assert 0 <= low <= middle <= high


@pytest.mark.parametrize("version", ["none", "../plan", "ademe/2026"])
def test_an_unknown_version_is_named(version: str) -> None:
    with pytest.raises(carbon.UnknownFactors):
        carbon.load(version)

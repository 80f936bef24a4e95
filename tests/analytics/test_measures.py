from __future__ import annotations

import random
from typing import Any

import ibis
import numpy as np
import pytest

from analytics import carbon
from analytics.measures import MEASURES, contributions
from analytics.model import Cells, schema_of
from analytics.plan import Plan
from analytics.protect import attack
from tests.analytics import stored
from tests.analytics.stored import UAIS, trip

PLAN = Plan(replicates=60)
MODES = ("CAR", "BUS", "WALKING", "TRAIN", "SPACESHIP")


def compute(name: str, rows: list[dict[str, Any]], plan: Plan = PLAN) -> Cells:
    return MEASURES[name].compute(stored.tables(rows), plan, np.random.default_rng(7))


def totals(cells: Cells, uai: str, population: str = "pupil") -> dict[str, float]:
    stratum = next(one for one in cells.strata if one.population == population)
    return dict(
        zip(cells.labels, stratum.totals[cells.uais.index(uai)].round(9).tolist(), strict=True)
    )


def crowd(count: int, uai: str, modes: list[str], start: int = 0) -> list[dict[str, Any]]:
    return [
        trip(f"{uai}{start + i}", uai, modes[i % len(modes)], quarter=quarter)
        for i in range(count)
        for quarter in (30, 68)
    ]


def test_one_person_weighs_one_whatever_the_number_of_trips() -> None:
    rows = [trip("often", mode="BUS", day=day) for day in range(5)]
    rows += [trip("rarely", mode="WALKING"), trip("rarely", mode="CAR", quarter=68)]
    cells = compute("modal-split", rows)
    assert totals(cells, UAIS[2]) == {
        "active": 0.5,
        "public_transport": 1.0,
        "car": 0.5,
        "other": 0.0,
    }
    assert cells.strata[0].people.sum() == 2


def test_contributions_are_bounded_by_day_and_month_and_the_share_is_told() -> None:
    rows = [trip("a", mode="BUS", quarter=q) for q in (30, 40, 50, 60)]
    rows += [trip("a", mode="CAR", quarter=q) for q in (70, 71, 72, 73)]
    cells = compute("modal-split", rows)
    assert totals(cells, UAIS[2])["public_transport"] == 1.0
    assert cells.truncated == pytest.approx(0.5)
    months = [trip("a", mode="BUS", day=d, quarter=q) for d in range(15) for q in (30, 40, 50, 60)]
    months += [trip("a", mode="CAR", day=d, quarter=q) for d in range(15, 20) for q in (30, 60)]
    later = compute("modal-split", months)
    assert totals(later, UAIS[2])["car"] == 0.0
    assert later.truncated == pytest.approx(10 / 70)


def test_a_person_counts_in_the_lycee_most_of_the_trips_go_to() -> None:
    rows = [trip("a", UAIS[2], day=d) for d in range(3)] + [trip("a", UAIS[3], "BUS", day=4)]
    cells = compute("modal-split", rows)
    assert cells.strata[0].people.tolist() == [0, 0, 1, 0, 0, 0]
    assert totals(cells, UAIS[2])["car"] == 1.0


def test_populations_and_years_are_never_pooled() -> None:
    rows = [trip("a"), trip("b", population="staff"), trip("c", period="2024-2025")]
    cells = compute("modal-split", rows)
    assert {(one.school_year, one.population) for one in cells.strata} == {
        ("2025-2026", "pupil"),
        ("2025-2026", "staff"),
        ("2024-2025", "pupil"),
    }


def test_an_unlisted_mode_is_other_and_an_unlisted_lycee_counts_nowhere() -> None:
    cells = compute("modal-split", [trip("a", mode="TELEPORT"), trip("b", "9999999Z")])
    assert totals(cells, UAIS[2])["other"] == 1.0
    assert cells.strata[0].people.sum() == 1


def kilograms(
    mode: str, metres: float = 10_000.0, plan: Plan = PLAN, **more: Any
) -> dict[str, float]:
    cells = compute("carbon-balance", [trip("a", mode=mode, metres=metres, **more)], plan)
    return totals(cells, UAIS[2])


def test_a_dedicated_car_counts_the_empty_way_back_a_detour_only_itself() -> None:
    car = carbon.load(PLAN.factors).factors["basecarbone:27970"]
    found = kilograms("CAR")
    year = 2 * 175 * 10
    assert found["dedicated/use/middle"] == pytest.approx(year * car.use * 2)
    assert found["dedicated/manufacture/middle"] == pytest.approx(year * car.manufacture * 2)
    assert found["detour/use/middle"] == pytest.approx(year * car.use * PLAN.detour_share)
    shared = kilograms("CAR", plan=Plan(replicates=10, car_occupants=2))
    assert shared["dedicated/use/middle"] == pytest.approx(year * car.use)
    assert kilograms("CARPOOL")["dedicated/use/middle"] == pytest.approx(year * car.use / 2)


def test_people_who_drive_themselves_have_no_empty_way_back() -> None:
    rows = [trip("a", metres=10_000.0, population="staff")]
    found = totals(compute("carbon-balance", rows), UAIS[2], "staff")
    own = 2 * 175 * 10 * carbon.load(PLAN.factors).factors["basecarbone:27970"].use
    assert found["dedicated/use/middle"] == pytest.approx(own)
    assert found["detour/use/middle"] == pytest.approx(own)


def test_a_boarder_travels_weekly() -> None:
    boarder = [trip("a", mode="TRAIN", day=7 * week) for week in range(3)]  # Mondays
    boarder += [trip("a", mode="TRAIN", day=7 * week + 4, quarter=68) for week in range(3)]
    weekly = totals(compute("carbon-balance", boarder), UAIS[2])["detour/use/middle"]
    assert weekly == pytest.approx(2 * 35 * 10 * 0.0229)
    daily = [trip("a", mode="TRAIN", day=day) for day in range(5)]
    each = totals(compute("carbon-balance", daily), UAIS[2])["detour/use/middle"]
    assert each == pytest.approx(2 * 175 * 10 * 0.0229)


def test_coach_or_city_bus_is_a_range() -> None:
    found = kilograms("BUS")
    year = 2 * 175 * 10
    assert found["detour/use/low"] == pytest.approx(year * 0.03314)
    assert found["detour/use/high"] == pytest.approx(year * 0.1135)
    assert found["detour/use/middle"] == pytest.approx(year * (0.03314 + 0.1135) / 2)


def test_sections_count_each_under_its_mode_and_long_trips_are_cut() -> None:
    parts = [("WALKING", 1_000.0), ("TRAIN", 9_000.0)]
    found = kilograms("TRAIN", sections=parts)
    assert found["detour/use/middle"] == pytest.approx(350 * 9 * 0.0229)
    bare = kilograms("TRAIN", sections=[])
    assert bare["detour/use/middle"] == pytest.approx(350 * 10 * 0.0229)
    assert kilograms("TRAIN", 300_000.0)["detour/use/middle"] == pytest.approx(350 * 150 * 0.0229)


def test_days_are_a_parameter() -> None:
    half = kilograms("TRAIN", plan=Plan(replicates=10, days=100))["detour/use/middle"]
    assert half == pytest.approx(200 * 10 * 0.0229)


@pytest.mark.parametrize("name", ["modal-split", "carbon-balance"])
def test_same_randomness_same_table_and_the_attacker_finds_nothing(name: str) -> None:
    rows = crowd(45, UAIS[2], ["CAR", "BUS", "WALKING"]) + crowd(12, UAIS[3], ["BUS", "CAR"])
    rows += crowd(9, UAIS[4], ["BUS", "CAR", "BICYCLING"]) + crowd(60, UAIS[0], ["BUS", "CAR"])
    measure = MEASURES[name]
    first, again = (measure.protect(compute(name, rows), PLAN).table for _ in range(2))
    assert first.equals(again)
    assert first.schema.equals(schema_of(measure.columns))
    shown = {(row["geography"], row["area"]) for row in first.to_pylist() if not row["suppressed"]}
    assert ("lycee", UAIS[2]) in shown
    assert ("lycee", UAIS[3]) not in shown
    assert ("lycees", "45") in shown
    assert ("region", "24") in shown
    cells = compute(name, rows)
    certificate = attack(measure.protect(cells, PLAN), cells, PLAN, [first])
    assert certificate.ok, certificate.findings


@pytest.mark.parametrize("name", ["modal-split", "carbon-balance"])
def test_figures_depend_neither_on_pseudonyms_nor_on_how_rows_are_stored(name: str) -> None:
    """Two hubs of the same rows, each with keys of its own, give the same to the last bit."""
    dice = random.Random(11)

    def rows(names: list[str]) -> list[dict[str, Any]]:
        legs = random.Random(3)
        return [
            trip(
                person, UAIS[2 + number % 2], legs.choice(MODES), day=day, quarter=quarter,
                metres=legs.uniform(1_000, 40_000),
                sections=[(legs.choice(MODES), legs.uniform(1, 20_000)) for _ in range(3)],
            )
            for number, person in enumerate(names)
            for day in range(4)
            for quarter in (30, 30, 30, 30, 30, 68)  # more than a day may weigh, at one time
        ]  # fmt: skip

    first = compute(name, rows([f"person-{n:03}" for n in range(60)]))
    for _ in range(3):
        renamed = rows([f"{dice.getrandbits(60):015x}" for _ in range(60)])
        dice.shuffle(renamed)
        found = compute(name, renamed)
        for one, other in zip(found.strata, first.strata, strict=True):
            for what in ("people", "totals", "largest", "weights", "replicates"):
                np.testing.assert_array_equal(getattr(one, what), getattr(other, what), what)


def test_a_piece_of_a_trip_weighs_no_more_than_a_trip_may() -> None:
    longest = kilograms("TRAIN", sections=[("TRAIN", 150_000.0)])
    assert kilograms("TRAIN", sections=[("TRAIN", 1e300)]) == longest


def test_intervals_hold_the_estimate_and_narrow_with_people() -> None:
    def width(count: int) -> float:
        cells = compute("modal-split", crowd(count, UAIS[2], ["CAR", "BUS"]))
        pool = cells.strata[0].pool(np.ones(len(UAIS), np.bool_))
        low, high = pool.interval(0.95)
        assert (low <= pool.means()).all()
        assert (pool.means() <= high).all()
        return float(high[2] - low[2])

    assert width(400) < width(40)


def test_nothing_stored_makes_an_empty_table() -> None:
    for name in ("modal-split", "carbon-balance"):
        cells = compute(name, [])
        protected = MEASURES[name].protect(cells, PLAN)
        assert protected.table.num_rows == 0
        assert attack(protected, cells, PLAN, []).ok


def test_places_hold_open_places_once() -> None:
    tables = {name: ibis.memtable(table) for name, table in stored.places().items()}
    measure = MEASURES["places"]
    cells = measure.compute(tables, PLAN, np.random.default_rng(1))
    protected = measure.protect(cells, PLAN)
    rows = [(row["layer"], row["id"], row["name"]) for row in protected.table.to_pylist()]
    assert rows[0] == ("carpool", "c1", "Aire")
    assert rows[-1] == ("stop", "s1", "B")
    assert len(rows) == 2 + len(UAIS)
    assert attack(protected, cells, PLAN, []).ok


def test_every_column_is_documented_in_both_languages() -> None:
    for measure in MEASURES.values():
        assert measure.title["fr"]
        assert measure.title["en"]
        for column in measure.columns:
            assert column.fr
            assert column.en


def test_the_directory_counts_a_lycee_pushed_twice_once() -> None:
    assert contributions.directory(ibis.memtable(stored.directory())).num_rows == len(UAIS)

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.measures import MEASURES
from analytics.measures.carbon_balance import LABELS
from analytics.model import Cells, Protected
from analytics.places import Bools
from analytics.plan import Plan
from analytics.protect import attack
from analytics.protect.areas import choose
from tests.analytics import stored
from tests.analytics.stored import UAIS

PLAN = Plan(replicates=40)
MODES = tuple(PLAN.categories)
Row = dict[str, Any]


def people(*counts: int) -> list[list[float]]:
    """People who always use one mode: counts by mode in plan order."""
    return [
        [float(i == mode) for i in range(len(MODES))]
        for mode, count in enumerate(counts)
        for _ in range(count)
    ]


def split(where: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Cells, Protected]:
    cells = stored.cells(where, PLAN)
    return cells, MEASURES["modal-split"].protect(cells, PLAN)


def rows(protected: Protected, geography: str, area: str) -> list[Row]:
    return [
        row
        for row in protected.table.to_pylist()
        if (row["geography"], row["area"]) == (geography, area)
    ]


def shown(protected: Protected) -> set[tuple[str, str]]:
    return {
        (row["geography"], row["area"])
        for row in protected.table.to_pylist()
        if not row["suppressed"]
    }


def tampered(protected: Protected, change: Callable[[Row], Row | None]) -> Protected:
    """The table with some rows changed or taken out."""
    changed = [new for row in protected.table.to_pylist() if (new := change(dict(row)))]
    return Protected(
        pa.Table.from_pylist(changed, schema=protected.table.schema), protected.applied
    )


def blocked(protected: Protected, cells: Cells, earlier: Sequence[pa.Table] = ()) -> set[str]:
    certificate = attack(protected, cells, PLAN, earlier)
    assert certificate.ok == (not certificate.findings)
    return {finding.split(" at ")[0] for finding in certificate.findings}


USUAL = {
    UAIS[2]: people(20, 25, 15, 0),
    UAIS[3]: people(6, 6, 4, 0),
    UAIS[4]: people(3, 2, 2, 0),
    UAIS[0]: people(10, 30, 20, 6),
}


def test_the_usual_table_passes_its_attacker() -> None:
    cells, protected = split(USUAL)
    certificate = attack(protected, cells, PLAN, [protected.table])
    assert certificate.ok, certificate.findings
    assert certificate.checks["threshold"] == len(shown(protected))
    assert certificate.checks["differences"] > 0
    assert certificate.checks["earlier-releases"] > 0


def test_small_lycees_are_merged_and_say_where_they_count() -> None:
    _, protected = split(USUAL)
    assert shown(protected) == {
        ("lycee", UAIS[0]),
        ("department", "18"),
        ("lycee", UAIS[2]),
        ("lycees", "45"),
        ("department", "45"),
        ("region", "24"),
    }
    for uai in UAIS[3:]:  # one of them has nobody at all: its row is the same
        (row,) = rows(protected, "lycee", uai)
        assert row["suppressed"]
        assert row["note"] == "in-group"
        assert row["contributors"] == ""
        assert row["estimate"] is None


def test_categories_merge_well_above_zero() -> None:
    _, protected = split(USUAL)
    modes = {row["mode"]: row for row in rows(protected, "lycee", UAIS[2])}
    assert set(modes) == {"active", "public_transport", "car+other"}
    assert modes["active"]["estimate"] == 34.0  # 33.3 to two points
    assert modes["car+other"]["note"] == "merged-categories"
    assert modes["active"]["contributors"] == "51-100"
    assert modes["active"]["low"] <= 34 <= modes["active"]["high"]


@pytest.mark.parametrize("small", [1, 5, 10])
def test_a_remainder_under_k_takes_the_smallest_shown_lycee_in(small: int) -> None:
    cells, protected = split(
        {
            UAIS[2]: people(20, 25, 15, 0),
            UAIS[3]: people(10, 14, 12, 0),
            UAIS[4]: people(small, 0, 0, 0),
        }
    )
    assert ("lycee", UAIS[2]) in shown(protected)
    assert ("lycee", UAIS[3]) not in shown(protected)
    assert ("lycees", "45") in shown(protected)
    assert not blocked(protected, cells)


def test_a_department_under_k_takes_another_department_in_with_all_its_lycees() -> None:
    cells, protected = split({**USUAL, UAIS[0]: people(2, 2, 1, 0)})
    assert shown(protected) == {("region", "24")}
    assert rows(protected, "department", "18")[0]["note"] == "in-region"
    assert not blocked(protected, cells)


def test_one_lycee_is_not_shown_under_the_name_of_a_group() -> None:
    _, protected = split({UAIS[2]: people(20, 25, 15, 0), UAIS[3]: people(8, 8, 8, 0)})
    assert ("lycees", "45") not in shown(protected)
    assert ("department", "45") in shown(protected)


def test_near_unanimity_is_not_shown() -> None:
    cells, protected = split({UAIS[2]: people(2, 2, 56, 0), UAIS[3]: people(20, 10, 10, 0)})
    assert ("lycee", UAIS[2]) not in shown(protected)
    assert ("department", "45") in shown(protected)
    assert not blocked(protected, cells)
    _, everyone = split({UAIS[2]: people(0, 0, 60, 0)})
    assert shown(everyone) == set()
    assert {row["note"] for row in everyone.table.to_pylist()} == {"withheld"}


def test_a_population_under_k_has_no_row_at_all() -> None:
    cells, protected = split({UAIS[2]: people(4, 3, 3, 0)})
    assert protected.table.num_rows == 0
    assert not blocked(protected, cells)


# --- the attacker catches tables nobody protected ---------------------------------------------


def test_he_catches_rounding_left_off() -> None:
    cells, protected = split(USUAL)

    def raw(row: Row) -> Row:
        if row["geography"] == "lycee" and row["mode"] == "active" and not row["suppressed"]:
            row["estimate"] = 33.333
        return row

    assert "rounding" in blocked(tampered(protected, raw), cells)


def test_he_catches_an_unrounded_bound() -> None:
    cells, protected = split(USUAL)

    def raw(row: Row) -> Row:
        return row | ({"low": row["low"] + 0.4} if row["low"] is not None else {})

    assert "rounding" in blocked(tampered(protected, raw), cells)


def row_of(
    cells: Cells, protected: Protected, uai: str, label: str, values: Mapping[str, float]
) -> Protected:
    """The table with an unprotected lycée put in."""
    base = rows(protected, "lycee", uai)[0]
    extra = [
        base
        | {
            "mode": mode,
            "estimate": value,
            "low": value,
            "high": value,
            "contributors": label,
            "suppressed": False,
        }
        for mode, value in values.items()
    ]
    rest = [row for row in protected.table.to_pylist() if row["area"] != uai]
    return Protected(
        pa.Table.from_pylist(rest + extra, schema=protected.table.schema), protected.applied
    )


def test_he_catches_a_threshold_left_off() -> None:
    cells, protected = split(USUAL)
    open_door = row_of(
        cells,
        protected,
        UAIS[4],
        "11-20",
        {"active": 40.0, "public_transport": 30.0, "car+other": 30.0},
    )
    found = blocked(open_door, cells)
    assert {"threshold", "lycee-minimum", "class"} <= found


def test_he_catches_a_difference_of_one_person() -> None:
    cells, protected = split(
        {
            UAIS[2]: people(20, 25, 15, 0),
            UAIS[3]: people(10, 14, 12, 0),
            UAIS[4]: people(1, 0, 0, 0),
        }
    )
    assert not blocked(protected, cells)
    leak = row_of(
        cells,
        protected,
        UAIS[3],
        "21-50",
        {"active": 30.0, "public_transport": 40.0, "car+other": 35.0},
    )
    bare = tampered(leak, lambda row: None if row["geography"] == "lycees" else row)
    assert "differences" in blocked(bare, cells)


def test_he_catches_a_remainder_that_is_of_one_mind() -> None:
    where = {UAIS[2]: people(20, 25, 15, 0), UAIS[3]: people(0, 0, 20, 0)}
    cells, protected = split(where)
    assert ("lycee", UAIS[2]) not in shown(protected)
    leak = row_of(
        cells,
        protected,
        UAIS[2],
        "51-100",
        {"active": 34.0, "public_transport": 42.0, "car+other": 26.0},
    )
    assert "differences-shape" in blocked(leak, cells)


def test_he_catches_near_unanimity_and_a_published_zero() -> None:
    cells, protected = split({UAIS[2]: people(2, 2, 56, 0), UAIS[3]: people(20, 10, 10, 0)})
    leak = row_of(
        cells,
        protected,
        UAIS[2],
        "51-100",
        {"active": 4.0, "public_transport": 4.0, "car": 94.0, "other": 0.0},
    )
    assert {"homogeneity", "published-zero", "classmate"} <= blocked(leak, cells)


def test_he_catches_a_class_on_a_suppressed_row_and_a_figure_too() -> None:
    cells, protected = split(USUAL)

    def speak(row: Row) -> Row:
        return row | ({"contributors": "11-20"} if row["suppressed"] else {})

    def say(row: Row) -> Row:
        return row | ({"low": 10.0} if row["suppressed"] else {})

    assert "suppressed-rows-are-silent" in blocked(tampered(protected, speak), cells)
    assert "suppressed-rows-are-silent" in blocked(tampered(protected, say), cells)


def test_he_catches_a_category_left_out() -> None:
    cells, protected = split(USUAL)
    assert "categories" in blocked(
        tampered(protected, lambda row: None if row["mode"] == "active" else row), cells
    )


def test_he_subtracts_an_earlier_release() -> None:
    # Before: the lycée of 36 alone. Now one person has joined beside it, and it hides in a group.
    before = {UAIS[2]: people(20, 25, 15, 0), UAIS[3]: people(10, 14, 12, 0)}
    _, old = split(before)
    assert ("lycee", UAIS[3]) in shown(old)
    cells, new = split({**before, UAIS[4]: people(1, 0, 0, 0)})
    assert not blocked(new, cells)
    assert "differences" in blocked(new, cells, [old.table])


def test_he_subtracts_categories_of_an_earlier_release() -> None:
    cells, protected = split({UAIS[2]: people(20, 25, 16, 0), UAIS[3]: people(10, 14, 12, 0)})

    def finer(row: Row) -> Row:
        if row["area"] == UAIS[2] and row["mode"] == "car+other":
            row["mode"], row["estimate"] = "car", 28.0
        return row

    # He holds "car" from before and reads "car+other" now: other is what is left, nothing.
    earlier = tampered(protected, finer)
    assert "earlier-releases" in blocked(protected, cells, [earlier.table])


def test_he_catches_populations_pooled_or_too_small_to_name() -> None:
    cells, protected = split(USUAL)
    renamed = tampered(protected, lambda row: row | {"population": "everybody"})
    assert "populations-apart" in blocked(renamed, cells)
    few, _ = split({UAIS[2]: people(4, 3, 3, 0)})
    assert "small-populations-absent" in blocked(protected, few)


def test_a_balance_that_rounds_to_zero_is_not_shown_and_he_catches_it_if_it_is() -> None:
    measure = MEASURES["carbon-balance"]

    def balance(kilograms: float) -> Cells:
        each = [[kilograms + i / 50] * len(LABELS) for i in range(41)]
        return stored.cells({UAIS[2]: each}, PLAN, LABELS, "carbon-balance")

    assert shown(measure.protect(balance(1.0), PLAN)) == set()
    cells = balance(400.0)
    protected = measure.protect(cells, PLAN)
    assert ("lycee", UAIS[2]) in shown(protected)
    zero = tampered(protected, lambda row: row | ({} if row["suppressed"] else {"estimate": 0.0}))
    assert "published-zero" in blocked(zero, cells)


def test_a_lycee_merged_into_the_region_takes_its_departments_group_along() -> None:
    # A department that fails although its parts pass: "other lycées" must keep its meaning.
    cells = stored.cells(
        {
            UAIS[0]: people(5, 0, 0, 0),
            UAIS[2]: people(31, 0, 0, 0),
            UAIS[3]: people(20, 0, 0, 0),
            UAIS[4]: people(20, 0, 0, 0),
        },
        PLAN,
    )
    stratum = cells.strata[0]
    loiret = np.array([code == "45" for code in cells.departments])

    def passes(where: Bools) -> bool:
        return bool(stratum.people[where].sum() >= PLAN.k and (where != loiret).any())

    areas = choose(cells, stratum, passes, PLAN)
    assert [one.geography for one in areas] == ["region"]


# --- Hypothesis ---------------------------------------------------------------------------------

LYCEE = st.one_of(
    st.just(()),
    st.tuples(*(st.integers(0, n) for n in (12, 12, 12, 3))),
    st.tuples(*(st.integers(0, n) for n in (60, 60, 60, 8))),
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(30, 120), st.integers(0, 1)),
)
REGIONS = st.lists(LYCEE, min_size=len(UAIS), max_size=len(UAIS))


def check_rules(protected: Protected, cells: Cells) -> None:
    """The rules of publication, read from the table alone."""
    for row in protected.table.to_pylist():
        if row["suppressed"]:
            assert row["contributors"] == ""
            assert row["estimate"] is row["low"] is row["high"] is None
            continue
        size = PLAN.labelled(row["contributors"])
        assert size is not None
        assert row["low"] <= row["estimate"] <= row["high"]
        assert row["estimate"] > 0
        if "mode" in row:
            assert row["estimate"] < 90
            assert row["estimate"] % size.points == 0
            assert row["low"] % size.points == row["high"] % size.points == 0
        if row["geography"] == "lycee":
            assert cells.strata[0].people[cells.uais.index(row["area"])] >= PLAN.lycee_minimum


@given(counts=REGIONS)
@settings(max_examples=150, deadline=None)
def test_every_protected_split_obeys_the_rules_and_passes_its_attacker(
    counts: list[tuple[int, ...]],
) -> None:
    cells, protected = split({uai: people(*one) for uai, one in zip(UAIS, counts, strict=True)})
    check_rules(protected, cells)
    certificate = attack(protected, cells, PLAN, [protected.table])
    assert certificate.ok, certificate.findings


@given(
    sizes=st.lists(st.sampled_from([0, 1, 5, 12, 33, 60, 130]), min_size=6, max_size=6),
    giant=st.sampled_from([0.0, 1e3, 1e6]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_every_protected_balance_obeys_the_rules_and_passes_its_attacker(
    sizes: list[int], giant: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    where: dict[str, list[list[float]]] = {}
    for uai, size in zip(UAIS, sizes, strict=True):
        base = rng.exponential(300, size) * rng.integers(0, 2, size)
        if size:
            base[0] += giant
        where[uai] = [
            [one * (0.13 if "manufacture" in label else 1.0) for label in LABELS] for one in base
        ]
    cells = stored.cells(where, PLAN, LABELS, "carbon-balance")
    protected = MEASURES["carbon-balance"].protect(cells, PLAN)
    check_rules(protected, cells)
    certificate = attack(protected, cells, PLAN, [protected.table])
    assert certificate.ok, certificate.findings


def test_a_dominated_balance_is_not_shown_and_he_catches_it_if_it_is() -> None:
    where = {UAIS[2]: [[50.0] * len(LABELS)] * 40 + [[1e5] * len(LABELS)]}
    cells = stored.cells(where, PLAN, LABELS, "carbon-balance")
    measure = MEASURES["carbon-balance"]
    protected = measure.protect(cells, PLAN)
    assert shown(protected) == set()
    even = stored.cells(
        {UAIS[2]: [[50.0 + i] * len(LABELS) for i in range(41)]}, PLAN, LABELS, "carbon-balance"
    )
    assert {"dominance", "classmate"} <= blocked(measure.protect(even, PLAN), cells)
    assert not blocked(measure.protect(even, PLAN), even)

"""`presence`: means of whole cells only, rounded, attacked; and whose business a table shows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.measures.presence import PRESENCE, PRESENCE_TABLE
from analytics.model import Cells, Protected
from analytics.plan import Plan
from analytics.protect import attack, operators_shown

LYCEE, IRIS, TOWN = "Zone 0450062J", "IRIS 370330101", "Commune Blois"
MONDAY = date(2026, 3, 2)
DAYS = [MONDAY + timedelta(days=n) for n in range(7)]
Row = dict[str, Any]


def row(day: date, volume: int, zone: str = LYCEE, time: str = "07:30", kind: str = "F") -> Row:
    return {"zone": zone, "date": day, "time": time, "kind": kind, "volume": volume}


def cells(rows: list[Row]) -> Cells:
    table = ibis.memtable(pa.Table.from_pylist(rows))
    return PRESENCE.compute({PRESENCE_TABLE: table}, Plan(), np.random.default_rng(1))


def published(rows: list[Row]) -> list[Row]:
    made = PRESENCE.protect(cells(rows), Plan()).table
    assert made.schema.names == [column.name for column in PRESENCE.columns]
    found: list[Row] = made.to_pylist()
    return found


def test_weekdays_and_weekends_are_means_apart() -> None:
    made = published([row(day, 100 + 10 * n) for n, day in enumerate(DAYS)])
    figures = {one["day_type"]: (one["estimate"], one["days"]) for one in made}
    assert figures == {"monday-friday": (120.0, 5), "weekend": (160.0, 2)}
    assert {one["month"] for one in made} == {"2026-03"}
    assert not any(one["suppressed"] or one["note"] for one in made)


def test_a_cell_with_a_missing_day_is_withheld_and_silent() -> None:
    rows = [row(day, 500) for day in DAYS[:5]]
    rows += [row(day, 25, time="04:00") for day in DAYS[:4]]  # the fifth was under the floor
    by_time = {one["time"]: one for one in published(rows)}
    assert by_time["07:30"]["estimate"] == 500
    night = by_time["04:00"]
    assert (night["estimate"], night["suppressed"]) == (None, True)
    assert night["note"] == "withheld-by-source"


def test_what_is_delivered_twice_counts_once() -> None:
    rows = [row(day, 100) for day in DAYS[:5]]
    assert published([*rows, *rows]) == published(rows)


def test_a_zone_says_its_department() -> None:
    rows = [row(MONDAY, 90, zone=zone) for zone in (LYCEE, IRIS, TOWN)]
    made = {one["area"]: one["department"] for one in published(rows)}
    assert made == {LYCEE: "45", IRIS: "37", TOWN: ""}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda t: t.set_column(7, "estimate", pc.if_else(t["suppressed"], 30.0, t["estimate"])),
         "floor"),
        (lambda t: t.set_column(7, "estimate", pc.add(t["estimate"], 1.0)), "rounding"),
        (lambda t: t.set_column(7, "estimate", pc.multiply(t["estimate"], 0.02)), "below-floor"),
        (lambda t: t.set_column(9, "suppressed", pc.invert(t["suppressed"])),
         "suppressed-rows-are-silent"),
        (lambda t: t.slice(1), "rows"),
    ],
)  # fmt: skip
def test_the_attacker_finds_what_should_not_be_shown(change: Any, finding: str) -> None:
    rows = [row(day, 500) for day in DAYS[:5]] + [row(DAYS[0], 25, time="04:00")]
    counted = cells(rows)
    made = PRESENCE.protect(counted, Plan())
    assert attack(made, counted, Plan(), ()).ok
    changed = Protected(change(made.table), made.applied)
    assert finding in attack(changed, counted, Plan(), ()).findings


volumes = st.lists(
    st.builds(row, st.sampled_from(DAYS), st.integers(20, 5000), st.sampled_from([LYCEE, IRIS]),
              st.sampled_from(["07:00", "07:30"]), st.sampled_from(["F", "E"])),
    min_size=1, max_size=40,
)  # fmt: skip


@given(volumes)
def test_whatever_is_delivered_the_attacker_learns_nothing(rows: list[Row]) -> None:
    counted = cells(rows)
    made = PRESENCE.protect(counted, Plan())
    assert attack(made, counted, Plan(), ()).ok
    for one in made.table.to_pylist():
        assert one["suppressed"] or (one["estimate"] >= 20 and one["estimate"] % 10 == 0)


def test_an_operator_is_shown_where_it_is_the_dominant_part() -> None:
    half, all_of_one = np.array([50.0, 50.0]), np.array([10.0, 90.0])
    even = {"a": half, "b": half}
    uneven = {"a": all_of_one, "b": 100 - all_of_one}
    asking = {"a", "b"}
    assert operators_shown(even, asking, 0.85) == ()
    assert operators_shown(uneven, asking, 0.85) == ("a", "b")
    assert operators_shown(uneven, {"a"}, 0.85) == ("a",)
    assert operators_shown(uneven, set(), 0.85) == ()
    # At the limit it shows; a cell in which it is nothing does not show it.
    assert operators_shown({"a": np.array([85.0]), "b": np.array([15.0])}, {"a"}, 0.85) == ("a",)
    assert operators_shown({"a": np.array([0.0]), "b": np.array([0.0])}, {"a"}, 0.85) == ()
    # What a measure cannot tell protects nobody.
    assert operators_shown(even, {"c"}, 0.85) == ("c",)
    assert operators_shown({}, {"a"}, 0.85) == ("a",)

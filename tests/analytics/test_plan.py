from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.plan import InvalidPlan, Plan

CLASSES = [
    {"low": 11, "high": 20, "points": 10, "use_kg": 100, "manufacture_kg": 10},
    {"low": 21, "points": 5, "use_kg": 50, "manufacture_kg": 5},
]


def test_a_plan_is_read_described_and_read_again() -> None:
    plan = Plan.from_mapping({"version": "7", "classes": CLASSES, "departments": {"45": "Loiret"}})
    described = json.loads(json.dumps(plan.describe()))
    assert described["version"] == "7"
    assert Plan.from_mapping(described) == plan
    assert Plan.from_mapping({}) == Plan()


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"k": 10}, "k"),
        ({"lycee_minimum": 10}, "lycee_minimum"),
        ({"homogeneity": 0.95}, "homogeneity"),
        ({"dominance": 0.9}, "homogeneity"),
        ({"confidence": 1.0}, "confidence"),
        ({"days": 0}, "days"),
        ({"trip_km": 0}, "trip_km"),
        ({"car_occupants": 0.5}, "car_occupants"),
        ({"surprise": 1}, "surprise"),
        ({"k": "many"}, "plan"),
        ({"classes": [{"low": 11}]}, "plan"),
        ({"classes": [CLASSES[1]]}, "classes"),
        ({"classes": [CLASSES[0]]}, "classes"),
        ({"classes": [CLASSES[0], CLASSES[1] | {"low": 25}]}, "classes"),
        ({"classes": [CLASSES[0] | {"points": 7}, CLASSES[1]]}, "classes"),
        ({"classes": [CLASSES[0] | {"points": 5}, CLASSES[1]]}, "classes"),
        ({"categories": {"car": ["CAR"]}}, "categories"),
    ],
)
def test_a_wrong_plan_is_named(entry: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        Plan.from_mapping(entry)
    assert caught.value.where.startswith(where)


@given(people=st.integers(0, 5000))
def test_a_class_holds_its_people_and_its_label_finds_it(people: int) -> None:
    plan = Plan()
    size = plan.size_class(people)
    if people < plan.k:
        assert size is None
        return
    assert size is not None
    assert size.low <= people
    assert size.high is None or people <= size.high
    assert plan.labelled(size.label) is size

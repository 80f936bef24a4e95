"""The signed-off questions: each answered as written, and no missing fact ever opens a door."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hub.policy.gate import ENGINE_FAILED, OUT_OF_BOUNDS, RULES, EmbeddedGate, reason_words
from hub.protections import LEVELS, reached
from tests.policy.cases import ALLOWED, SOURCES, VECTORS, changed, facts

GATE = EmbeddedGate()
BY_TEXT = EmbeddedGate(by_text=True)
WRITTEN = {
    code
    for path in SOURCES
    for code in re.findall(r'refused contains "(\w+)"', path.read_text("utf-8"))
}


@pytest.mark.parametrize(
    ("rule", "name"), [(rule, name) for rule, cases in VECTORS.items() for name in cases]
)
def test_each_vector_is_answered_as_written(rule: str, name: str) -> None:
    case = VECTORS[rule][name]
    for gate in (GATE, BY_TEXT):
        made = gate.decide(rule, case["question"])
        assert {
            "allow": made.allow,
            "reasons": list(made.reasons),
            "obligations": dict(made.obligations),
        } == case["expected"]


def test_a_level_is_as_strict_to_the_hub_as_to_the_policies() -> None:
    """`hub.protections` lists the levels that `lib.rego` compares: the weakest first in both."""
    question = VECTORS["release_read"]["anyone, for any purpose"]["question"]
    for own in (*LEVELS, "unknown"):
        for asked in (*LEVELS, "unknown"):
            facts = question["release"] | {"protection": own, "protection_asked": asked}
            made = GATE.decide("release_read", question | {"release": facts})
            assert made.allow == reached({"protection": {"lane": own}}, asked), (own, asked)


def test_every_rule_has_vectors_that_allow_and_that_deny() -> None:
    assert set(VECTORS) == set(RULES)
    for rule, cases in VECTORS.items():
        answers = {case["expected"]["allow"] for case in cases.values()}
        assert answers == {True, False}, rule


def test_every_reason_is_reached_by_a_vector_and_put_into_words() -> None:
    reached = {
        reason
        for cases in VECTORS.values()
        for case in cases.values()
        for reason in case["expected"]["reasons"]
    }
    assert reached == WRITTEN
    words = reason_words()
    of_the_hub = {ENGINE_FAILED, OUT_OF_BOUNDS, "rule_unknown", "undecided", "everything_denied"}
    assert set(words) == WRITTEN | of_the_hub
    for said in words.values():
        assert set(said) == {"fr", "en"}
        assert all(said.values())


@pytest.mark.parametrize(("rule", "name"), ALLOWED)
def test_a_fact_taken_away_closes_the_door(rule: str, name: str) -> None:
    case = VECTORS[rule][name]
    question, optional = case["question"], set(case.get("optional", ()))
    for fact in facts(question):
        allowed = GATE.decide(rule, changed(question, fact)).allow
        assert allowed == (fact in optional), fact


@pytest.mark.parametrize("wrong", [None, [], {}, "", "?", 0, -1, 0.5], ids=repr)
@pytest.mark.parametrize(("rule", "name"), ALLOWED)
def test_a_fact_of_the_wrong_kind_closes_the_door(rule: str, name: str, wrong: Any) -> None:
    case = VECTORS[rule][name]
    question, optional = case["question"], set(case.get("optional", ()))
    for fact in facts(question):
        if fact in optional or any(fact.startswith(f"{above}.") for above in optional):
            continue
        value: Any = question
        for part in fact.split("."):
            value = value[part]
        if isinstance(wrong, type(value)) or (value is None and wrong is None):
            continue  # the right kind, whose value is the vectors' business
        if isinstance(value, int) and isinstance(wrong, float):
            continue
        if fact == "release.embargo_until" and isinstance(wrong, int | float | None):
            continue  # a time or none: both are the right kind
        assert not GATE.decide(rule, changed(question, fact, wrong)).allow, (fact, wrong)

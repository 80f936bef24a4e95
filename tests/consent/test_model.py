"""Grants: the table of states is total, and a new grant passes every check or says why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.model import (
    ADMITTING,
    ENDED,
    PROBLEMS,
    TRANSITIONS,
    Act,
    Age,
    ConsentError,
    Granted,
    Month,
    ParentalHalf,
    State,
    check_grant,
    check_refusal,
    diagram,
    step,
)

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
CHILD, TEEN = Month(2011, 9), Month(2009, 5)
PARENT = ParentalHalf(NOW - timedelta(days=1), "family account")


def offer(**changes: Any) -> Granted:
    asked: dict[str, Any] = {
        "purpose": "school-mobility",
        "notice_version": "2025-06",
        "population": "pupil",
        "given_at": NOW - timedelta(days=2),
        "expires_at": None,
        "birth": TEEN,
        "parent": None,
        "now": NOW,
    }
    return check_grant(**asked | changes)


def test_every_state_answers_every_act() -> None:
    assert set(TRANSITIONS) == set(State)
    for state in State:
        assert set(TRANSITIONS[state]) == set(Act), state


def test_a_step_is_taken_or_refused_never_anything_else() -> None:
    for state, act, joint in product(State, Act, (False, True)):
        following = TRANSITIONS[state][act][joint]
        if following is not None:
            assert step(state, act, joint=joint) is following
            continue
        with pytest.raises(ConsentError) as refused:
            step(state, act, joint=joint)
        assert refused.value.code == "impossible-step"


def test_a_parent_can_do_nothing_for_somebody_who_decides_alone() -> None:
    for state, act in product(State, (Act.PARENT_AGREES, Act.PARENT_ENDS)):
        assert TRANSITIONS[state][act][0] is None


def test_whoever_is_asked_can_end_it_and_an_end_is_final() -> None:
    for state, joint in product(State, (False, True)):
        if (state is State.ASKED_AGAIN and joint) or (
            state in {State.AWAITING_PARENT, State.AWAITING_PERSON} and not joint
        ):
            continue  # nobody is in that state
        assert TRANSITIONS[state][Act.PERSON_ENDS][joint] in ENDED
        assert TRANSITIONS[state][Act.TIME_ENDS][joint] in ENDED
        assert TRANSITIONS[state][Act.OBJECTS][joint] is State.OBJECTED
        if joint:
            assert TRANSITIONS[state][Act.PARENT_ENDS][joint] in ENDED
    for state, act, joint in product(ENDED, Act, (False, True)):
        assert TRANSITIONS[state][act][joint] in {state, State.OBJECTED, None}


@given(st.lists(st.sampled_from(Act), max_size=12))
def test_joint_consent_never_admits_without_both_halves(acts: list[Act]) -> None:
    state, said = State.ASKED, set[Act]()
    for act in acts:
        if act is Act.TURNS_15:
            return  # from there on the person is alone
        try:
            state = step(state, act, joint=True)
        except ConsentError:
            continue
        said.add(act)
        if state in ADMITTING:
            assert {Act.PERSON_AGREES, Act.PARENT_AGREES} <= said


def test_turning_15_stops_admission_until_the_person_answers() -> None:
    again = step(State.ACTIVE, Act.TURNS_15, joint=True)
    assert again not in ADMITTING
    assert step(again, Act.TIME_ENDS, joint=False) is State.EXPIRED
    assert step(again, Act.PERSON_AGREES, joint=False) is State.ACTIVE


def test_turning_18_changes_no_consent_and_happens_to_nobody_with_a_parent_beside() -> None:
    for state in State:
        alone, joint = TRANSITIONS[state][Act.TURNS_18]
        assert alone in {state, None}
        assert joint is None


def test_the_diagram_shows_every_move_of_the_table_and_no_other() -> None:
    shown = set()
    for line in diagram().splitlines()[1:]:
        before, _, after = line.strip().partition(" --> ")
        to, _, why = after.partition(": ")
        if before != "[*]" and to != "[*]":
            shown.add((before, to, why.split(" ")[0]))
    assert shown == {
        (str(state), str(to), str(act))
        for state, act in product(State, Act)
        for to in TRANSITIONS[state][act]
        if to not in {None, state}
    }
    assert "active --> asked_again: turns_15 (joint)" in diagram()
    assert "asked_again --> expired: time_ends (alone)" in diagram()


def test_from_15_the_person_decides_alone() -> None:
    granted = offer()
    assert (granted.state, granted.joint, granted.age) == (State.ACTIVE, False, Age.FROM_15)
    assert granted.expires_at is None
    assert granted.evidence() == {
        "age": "15_17",
        "joint": False,
        "fifteen": "2024-05",
        "eighteen": "2027-05",
        "parent_at": None,
        "parent_identified_by": None,
    }


def test_under_15_both_halves_make_a_grant_that_lapses_at_15() -> None:
    granted = offer(birth=CHILD, parent=PARENT)
    assert (granted.state, granted.joint, granted.age) == (State.ACTIVE, True, Age.UNDER_15)
    assert granted.expires_at == datetime(2026, 10, 1, tzinfo=UTC)
    assert granted.starts_at == PARENT.given_at
    assert granted.evidence()["parent_identified_by"] == "family account"
    sooner = NOW + timedelta(days=3)
    assert offer(birth=CHILD, parent=PARENT, expires_at=sooner).expires_at == sooner


@pytest.mark.parametrize(("population", "age"), [("staff", Age.ADULT), ("post-bac", Age.FROM_15)])
def test_only_pupils_must_give_a_month_of_birth(population: str, age: Age) -> None:
    assert offer(population=population, birth=None).age is age


BEFORE = NOW - timedelta(days=400)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown purpose": ({"purpose": "advertising"}, "unknown-purpose"),
    "a notice never published": ({"notice_version": "2031-01"}, "notice-never-published"),
    "a notice not yet published": ({"given_at": BEFORE}, "notice-never-published"),
    "a population nobody measures": ({"population": "driver"}, "unknown-population"),
    "a grant that ends now": ({"expires_at": NOW}, "already-ended"),
    "a grant that ended": ({"expires_at": NOW - timedelta(hours=1)}, "already-ended"),
    "an end before the start": (
        {"expires_at": NOW - timedelta(days=3)},
        "ends-before-it-starts",
    ),
    "a clock before the consent": (
        {"given_at": NOW + timedelta(seconds=1)},
        "given-in-the-future",
    ),
    "a time without zone": ({"given_at": NOW.replace(tzinfo=None)}, "time-without-zone"),
    "an end without zone": ({"expires_at": NOW.replace(tzinfo=None)}, "time-without-zone"),
    "a pupil of unknown age": ({"birth": None}, "age-unknown"),
    "a child alone": ({"birth": CHILD}, "parental-half-missing"),
    "a parent for a teenager": ({"parent": PARENT}, "parental-half-not-asked"),
    "a parent for an adult": (
        {"population": "staff", "birth": None, "parent": PARENT},
        "parental-half-not-asked",
    ),
    "a parent nobody identified": (
        {"birth": CHILD, "parent": ParentalHalf(NOW, " ")},
        "parent-not-identified",
    ),
    "a parent tomorrow": (
        {"birth": CHILD, "parent": ParentalHalf(NOW + timedelta(days=1), "call")},
        "given-in-the-future",
    ),
    "a parent before there was a notice": (
        {"birth": CHILD, "parent": ParentalHalf(BEFORE, "call")},
        "notice-never-published",
    ),
    "a person who is not born yet": (
        {"birth": Month(2027, 1), "parent": PARENT},
        "month-unreadable",
    ),
    "15 only where the day begins sooner": (
        {
            "birth": Month(2010, 12),
            "given_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        },
        "parental-half-missing",
    ),
    "an end before the parent agreed": (
        {"birth": CHILD, "parent": PARENT, "expires_at": PARENT.given_at - timedelta(hours=2)},
        "ends-before-it-starts",
    ),
    "a joint consent after the birthday": (
        {"birth": Month(2011, 2), "parent": PARENT, "given_at": datetime(2026, 2, 3, tzinfo=UTC)},
        "ends-before-it-starts",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_grant_that_cannot_stand_says_why(case: str) -> None:
    changes, code = REFUSED[case]
    with pytest.raises(ConsentError) as refused:
        offer(**changes)
    assert refused.value.code == code
    assert (refused.value.fr, refused.value.en) == PROBLEMS[code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "advertising"}, "unknown-purpose"),
        ({"notice_version": "2031-01"}, "notice-never-published"),
        ({"given_at": BEFORE}, "notice-never-published"),
        ({"population": "ada@people.example"}, "unknown-population"),
        ({"given_at": NOW + timedelta(seconds=1)}, "given-in-the-future"),
        ({"given_at": NOW.replace(tzinfo=None)}, "time-without-zone"),
    ],
)
def test_a_no_that_nobody_can_have_said_is_refused_too(changes: dict[str, Any], code: str) -> None:
    said: dict[str, Any] = {
        "purpose": "school-mobility", "notice_version": "2025-06", "population": "",
        "given_at": NOW, "now": NOW,
    }  # fmt: skip
    check_refusal(**said)
    with pytest.raises(ConsentError) as refused:
        check_refusal(**said | changes)
    assert refused.value.code == code


def test_every_problem_has_words_in_both_languages() -> None:
    for fr, en in PROBLEMS.values():
        assert fr.strip()
        assert en.strip()
        assert fr != en


@given(
    birth=st.builds(Month, st.integers(1960, 2014), st.integers(1, 12)),
    days=st.integers(0, 250),
    lasts=st.none() | st.integers(-300, 4000),
    parent=st.none() | st.integers(-5, 250),
    population=st.sampled_from(["pupil", "post-bac", "staff"]),
)
def test_what_passes_is_active_now_and_joint_exactly_under_15(
    birth: Month, days: int, lasts: int | None, parent: int | None, population: str
) -> None:
    given_at = NOW - timedelta(days=days)
    half = None if parent is None else ParentalHalf(NOW - timedelta(days=parent), "call")
    try:
        granted = offer(
            birth=birth,
            given_at=given_at,
            expires_at=None if lasts is None else NOW + timedelta(days=lasts),
            parent=half,
            population=population,
        )
    except ConsentError:
        return
    assert granted.state in ADMITTING
    assert granted.joint == (granted.age is Age.UNDER_15) == (granted.parent is not None)
    assert granted.starts_at <= NOW
    assert granted.expires_at is None or granted.expires_at > NOW

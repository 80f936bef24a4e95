"""DACC posts: the last day of a month stands, in a file and across files; schools by their name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.partners.coachco2 import resent
from connectors.partners.coachco2.samples import measure
from connectors.registry import DATASETS
from connectors.schools import directory, essential, match, spelled
from tests.connectors.reading import READING, Outcome, read, real

MEASURES = DATASETS["coachco2/measures"]


def post(day: str, value: float, name: str = "sections-count-monthly", **groups: str) -> Any:
    return measure(name, value, **groups) | {"startDate": day}


def outcome(*posts: Any, earlier: pa.Table | None = None) -> Outcome:
    content = b"".join(json.dumps(each).encode() + b"\n" for each in posts)
    return read(MEASURES, content, replace(READING, earlier=lambda: earlier))


def values(got: Outcome) -> list[float]:
    return sorted(got.table("measures")["value"].to_pylist())


# --- month to date --------------------------------------------------------------------------


def test_of_a_month_sent_every_day_only_the_last_stands() -> None:
    got = outcome(*(post(f"2026-03-{day:02d}", day) for day in (1, 3, 2)))
    assert values(got) == [3.0]
    assert (got.received, got.valid) == (3, 3)
    assert [(row.position, row.code) for row in got.warned] == [
        (1, "sent_again"), (3, "sent_again"),
    ]  # fmt: skip


def test_posts_of_one_day_are_several_participants() -> None:
    assert values(outcome(post("2026-03-02", 4), post("2026-03-02", 4))) == [4.0, 4.0]


@pytest.mark.parametrize(
    "other",
    [
        post("2026-04-01", 2),
        post("2026-03-09", 2, "sections-CO2-monthly"),
        post("2026-03-09", 2, school="Lycée Vaucanson"),
        post("2026-03-09", 2, mode="CAR"),
        post("2026-03-09", 2, isMainMode="0"),
        post("2026-03-09", 2, schoolTripDirection="return"),
        post("2026-03-09", 2, userType="other"),
        post("2026-03-09", 2) | {"createdBy": "another"},
        post("2025-03-09", 2),
    ],
    ids=["month", "measure", "school", "mode", "main", "direction", "user", "sender", "year"],
)
def test_another_group_or_month_is_no_resend(other: Any) -> None:
    assert values(outcome(post("2026-03-10", 1), other)) == [1.0, 2.0]


def test_a_later_push_replaces_what_it_sends_again() -> None:
    first = outcome(
        post("2026-03-10", 1), post("2026-03-10", 2, mode="CAR"), post("2026-02-28", 3)
    ).table("measures")
    second = outcome(post("2026-03-11", 9), post("2026-03-11", 8, mode="WALKING"), earlier=first)
    assert values(second) == [2.0, 3.0, 8.0, 9.0]
    assert not second.warned
    same_day = outcome(post("2026-03-10", 7), earlier=first)
    assert values(same_day) == [2.0, 3.0, 7.0]


def test_a_push_that_comes_late_replaces_nothing() -> None:
    first = outcome(post("2026-03-10", 1)).table("measures")
    late = outcome(post("2026-03-09", 9), earlier=first)
    assert late.warnings == {"sent_again": 1}
    assert not sum(late.rows.values()), "nothing new: the edition before stays"
    mixed = outcome(post("2026-03-09", 9), post("2026-04-01", 2), earlier=first)
    assert values(mixed) == [1.0, 2.0]


DAYS = st.tuples(st.integers(1, 28), st.sampled_from(["BUS", "CAR"]), st.integers(2, 4))


@given(st.lists(st.lists(DAYS, max_size=6), max_size=4), st.booleans())
def test_pushes_leave_the_posts_of_the_last_day(
    pushes: Sequence[Sequence[tuple[int, str, int]]], small: bool
) -> None:
    """Against a dict: group and month to day and values; equal days go to the later push."""
    table: pa.Table | None = None
    known: dict[tuple[str, int], tuple[int, list[float]]] = {}
    before, resent.HELD = resent.HELD, 2 if small else resent.HELD  # type: ignore[misc]
    try:
        for push in pushes:
            told: dict[tuple[str, int], tuple[int, list[float]]] = {}
            for number, (day, mode, month) in enumerate(push):
                last, rows = told.get((mode, month), (0, []))
                if day >= last:
                    told[mode, month] = day, [*(rows if day == last else []), float(number)]
            for key, (day, rows) in told.items():
                if day >= known.get(key, (0, []))[0]:
                    known[key] = day, rows
            posts = [post(f"2026-{m:02d}-{d:02d}", n, mode=k) for n, (d, k, m) in enumerate(push)]
            if posts:
                got = outcome(*posts, earlier=table)
                table = got.table("measures") if sum(got.rows.values()) else table
    finally:
        resent.HELD = before  # type: ignore[misc]
    rows = [] if table is None else table["value"].to_pylist()
    assert sorted(rows) == sorted(value for _, each in known.values() for value in each)


# --- sums, means, consent -------------------------------------------------------------------


def test_sums_and_means_are_told_apart() -> None:
    told = {
        name: outcome(post("2026-03-02", 1, name)).table("measures")["statistic"][0].as_py()
        for name in (
            "sections-count-monthly", "sections-CO2-monthly", "sections-duration-monthly",
            "sections-distance-monthly", "trips-count-monthly", "trips-CO2-monthly",
            "trips-duration-monthly", "trips-distance-monthly", "experimentation-consent",
        )
    }  # fmt: skip
    means = {name for name, statistic in told.items() if statistic == "mean"}
    assert means == {f"{w}-{f}-monthly" for w in ("sections", "trips")
                     for f in ("duration", "distance")}  # fmt: skip


def test_consent_said_every_day_is_counted_on_the_last() -> None:
    said = {"measureName": "experimentation-consent", "groups": [{"userType": "other"}]}
    got = outcome(*(post(f"2026-03-{day:02d}", 1) | said for day in (1, 2, 3, 3)))
    assert values(got) == [1.0, 1.0]
    (row, _) = got.table("measures").to_pylist()
    assert (row["user_type"], row["school"], row["uai"]) == ("other", None, None)


# --- schools --------------------------------------------------------------------------------

KNOWN = directory(
    [
        ("0280021W", "Lycee Polyvalent Edouard Branly Lycee Des Metiers Des Sciences"),
        ("0180006J", "Lycee General Et Technologique Jacques Coeur"),
        ("0180010N", "Lycee Professionnel Jacques Coeur"),
        ("0180042Y", "Lycee Polyvalent Prive St Jean Baptiste De La Salle"),
    ]
)


@pytest.mark.parametrize(
    ("name", "uai"),
    [
        ("Lycée Édouard Branly", "0280021W"),
        ("édouard  branly", "0280021W"),
        ("Lycée d’Édouard-Branly", "0280021W"),
        ("Lycée Saint-Jean-Baptiste-de-La-Salle", "0180042Y"),
        ("Lycée professionnel Jacques Cœur", "0180010N"),
        ("Lycée professionnel Jacques Coeur", "0180010N"),
        ("Lycée Jacques Coeur", None),  # two have it
        ("Collège Jules Verne", None),
        ("Lycée", None),
        ("", None),
        ("—", None),
    ],
)
def test_a_displayed_name_finds_its_lycee_or_none(name: str, uai: str | None) -> None:
    assert match(name, KNOWN) == uai


@given(st.text())
def test_any_name_is_spelled(name: str) -> None:
    assert set(spelled(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789 ")
    assert essential(spelled(name)) in spelled(name)


def test_an_unmatched_school_is_kept_and_told_with_its_line() -> None:
    posts = [
        post("2026-03-02", 1, school=name) for name in ("Lycée Édouard Branly", "Chez moi", "")
    ]
    content = b"".join(json.dumps(each).encode() + b"\n" for each in posts)
    got = read(MEASURES, content, replace(READING, schools=KNOWN))
    assert [(row.position, row.code, row.column) for row in got.warned] == [
        (2, "unknown_school", "school")
    ]
    assert got.table("measures")["uai"].to_pylist() == ["0280021W", None, None]
    assert not read(MEASURES, content).warned, "without a directory it cannot be told, and is not"


def test_the_real_directory_gives_every_lycee_its_own_code() -> None:
    with real("region/annuaire-lycees-cvl.csv").open("rb") as file:
        rows = read(DATASETS["region/lycees"], file).table("lycees").to_pylist()
    known = directory((row["uai"], row["name"]) for row in rows)
    assert len(rows) == 119
    assert [row["uai"] for row in rows] == [match(row["name"], known) for row in rows]
    with real("coachco2/dacc-measures-synthetic.json").open("rb") as posts:
        got = read(MEASURES, posts, replace(READING, schools=known))
    assert not got.warned
    assert set(got.table("measures")["uai"].to_pylist()) == {None, "0450049J"}

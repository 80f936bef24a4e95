"""Rights: the register's life is one table, its clock the law's, its words a closed list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hub import participation, rights
from hub.cli.app import app
from hub.errors import Conflict, Denied, HubError, NotFound, Rejected
from hub.participation import PERSON
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Case, Code
from tests.flows import world
from tests.flows.test_participation import APP, give

DPO = Actor("dpo-1", "dpo", "region")
AUDITOR = Actor("auditor-1", "auditor", "cnil")
NOW = datetime(2026, 3, 3, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = world.hub_in(tmp_path_factory.mktemp("home") / "var")
    yield replace(made, clock=lambda: NOW)
    made.books.close()


ADA = Code("c-ada", "ada", b"ada", "", "person", NOW)
BOB = replace(ADA, id="c-bob", participant="bob")


def opened(parts: Parts) -> Case:
    return rights.open_case(parts, PERSON, "rectification", "mode", ADA)


def in_state(parts: Parts, state: str) -> Case:
    case = opened(parts)
    return case if state == rights.OPEN else moved(parts, case, state)


def moved(parts: Parts, case: Case, to: str) -> Case:
    if to == rights.EXTENDED:
        return rights.extend(parts, DPO, case.id, "complexity")
    if to == rights.RETRACTED:
        return rights.retract(parts, PERSON, ADA, case.id)
    return rights.close(parts, DPO, case.id, to, "" if to == "done" else "excessive")


def test_the_table_is_total_and_an_answer_is_final() -> None:
    assert set().union(*rights.TRANSITIONS.values()) | {rights.OPEN} == set(rights.TRANSITIONS)
    for answer in (*rights.ANSWERS, rights.RETRACTED):
        assert rights.TRANSITIONS[answer] == frozenset()


@pytest.mark.parametrize(
    ("state", "to"),
    list(product(rights.TRANSITIONS, sorted(set(rights.TRANSITIONS) - {rights.OPEN}))),
)
def test_a_case_moves_as_the_table_says_and_not_otherwise(
    parts: Parts, state: str, to: str
) -> None:
    case = in_state(parts, state)
    if to in rights.TRANSITIONS[state]:
        assert moved(parts, case, to).state == to
        found = parts.books.case(case.id)
        assert found is not None
        assert found.state == to
    else:
        with pytest.raises(Conflict) as refused:
            moved(parts, case, to)
        assert refused.value.code == "case-moved"
        assert parts.books.case(case.id) == case


def test_nobody_takes_back_what_another_claimed(parts: Parts) -> None:
    case = opened(parts)
    by_officer = rights.open_case(parts, DPO, "access")
    for code, number in ((BOB, case.id), (ADA, by_officer.id), (ADA, "20260101T000000-00")):
        with pytest.raises(NotFound) as unknown:
            rights.retract(parts, PERSON, code, number)
        assert unknown.value.code == "unknown-case"
    with pytest.raises(Denied):
        rights.retract(parts, APP, ADA, case.id)
    with pytest.raises(Rejected):
        rights.close(parts, DPO, case.id, rights.RETRACTED)
    assert parts.books.case(case.id) == case


DUE = {
    "a month": ("2026-03-02T08:00+00:00", 1, "2026-04-02T21:59:59+00:00"),
    "to a shorter month": ("2026-01-31T08:00+00:00", 1, "2026-02-28T22:59:59+00:00"),
    "over the year's end": ("2026-12-15T08:00+00:00", 1, "2027-01-15T22:59:59+00:00"),
    "three months": ("2026-03-02T08:00+00:00", 3, "2026-06-02T21:59:59+00:00"),
    "after midnight at home": ("2026-03-02T23:30+00:00", 1, "2026-04-03T21:59:59+00:00"),
}


@pytest.mark.parametrize("case", DUE)
def test_the_clock_is_the_laws(case: str) -> None:
    at, months, until = DUE[case]
    assert rights.due(datetime.fromisoformat(at), months) == datetime.fromisoformat(until)


@given(st.integers(0, 40 * 366 * 24), st.sampled_from([1, 3]))
def test_a_month_is_never_longer_than_its_days(hours: int, months: int) -> None:
    aware = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    until = rights.due(aware, months)
    assert timedelta(27) * months < until - aware < timedelta(32) * months + timedelta(hours=1)


def test_an_extension_adds_two_months_within_the_first(parts: Parts) -> None:
    case = opened(parts)
    longer = rights.extend(parts, DPO, case.id, "number")
    assert longer.due_at == rights.due(case.opened_at, 3)
    assert longer.extended_for == "number"
    late = replace(parts, clock=lambda: case.due_at + timedelta(seconds=1))
    with pytest.raises(Rejected) as refused:
        rights.extend(late, DPO, opened(parts).id, "number")
    assert refused.value.code == "extension-too-late"


def test_what_is_late_is_said_and_comes_first(parts: Parts) -> None:
    old = rights.open_case(
        replace(parts, clock=lambda: NOW - timedelta(days=60)), DPO, "access", "everything"
    )
    first = rights.register(parts, AUDITOR)[0]
    assert first.id == old.id
    assert rights.shown(first, NOW)["late"]
    assert parts.books.late_cases(NOW) == 1
    rights.close(parts, DPO, old.id, "done")
    assert parts.books.late_cases(NOW) == 0
    assert b'"late":true' in parts.books.events(about=old.id)[-1].body


BAD: dict[str, tuple[Callable[[Parts, Case], object], type[HubError], str]] = {
    "a kind nobody listed": (
        lambda p, _: rights.open_case(p, DPO, "revenge"),
        Rejected,
        "not-in-the-list",
    ),
    "free text": (
        lambda p, _: rights.open_case(p, DPO, "access", "my name is"),
        Rejected,
        "not-in-the-list",
    ),
    "a reason the law does not know": (
        lambda p, c: rights.extend(p, DPO, c.id, "holidays"),
        Rejected,
        "not-in-the-list",
    ),
    "a refusal without ground": (
        lambda p, c: rights.close(p, DPO, c.id, "refused"),
        Rejected,
        "not-in-the-list",
    ),
    "a ground for what was done": (
        lambda p, c: rights.close(p, DPO, c.id, "done", "excessive"),
        Rejected,
        "not-in-the-list",
    ),
    "a case nobody opened": (
        lambda p, _: rights.close(p, DPO, "nobody's", "done"),
        NotFound,
        "unknown-case",
    ),
    "an auditor answers": (
        lambda p, c: rights.close(p, AUDITOR, c.id, "done"),
        Denied,
        "denied-by-policy",
    ),
    "a partner reads the register": (
        lambda p, _: rights.register(p, APP),
        Denied,
        "denied-by-policy",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_a_name(parts: Parts, case: str) -> None:
    act, family, code = BAD[case]
    with pytest.raises(family) as refused:
        act(parts, opened(parts))
    assert refused.value.code == code


@pytest.mark.parametrize("actor", [OPERATOR, DPO, AUDITOR, APP], ids=lambda a: a.role)
def test_nobody_but_the_person_reads_their_rows(parts: Parts, actor: Actor) -> None:
    _, handed = give(parts, f"ada-{actor.id}")
    door = participation.Door(parts)
    code = door.who(door.enter(handed[0].code, handed[0].secret, "here"))
    assert code is not None
    with pytest.raises(Denied):
        rights.own_rows(parts, actor, code, "page")
    assert rights.own_rows(parts, PERSON, code, "page") == []


def test_a_table_of_a_spreadsheet_never_calculates() -> None:
    rows = rights.Rows("a/b/c", "2026-03", "school-mobility", pa.table({"stop_id": ["=1+1", "S"]}))
    assert b"'=1+1" in rights.as_csv([rows])
    assert json.loads(rights.as_json([rows]))["tables"][0]["rows"][0] == {"stop_id": "=1+1"}


def test_the_command_line_keeps_the_register(tmp_path: Path) -> None:
    world.hub_in(tmp_path / "var").books.close()
    run = CliRunner()
    env = {"HUB_HOME": str(tmp_path / "var")}

    def said(*command: str) -> object:
        done = run.invoke(app, ["rights", *command, "--json"], env=env)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    case = said("open", "lost-code")
    assert isinstance(case, dict)
    assert (case["kind"], case["state"], case["late"]) == ("lost-code", "open", False)
    assert said("extend", case["id"], "--reason", "complexity")["state"] == "extended"  # type: ignore[index]
    assert said("close", case["id"])["state"] == "done"  # type: ignore[index]
    listed = said("list")[0]  # type: ignore[index]
    assert listed["id"] == case["id"]


def test_the_command_line_shows_codes_once_or_writes_a_sheet(tmp_path: Path) -> None:
    world.hub_in(tmp_path / "var").books.close()
    run = CliRunner()
    env = {"HUB_HOME": str(tmp_path / "var")}
    sheet = tmp_path / "sheet.html"
    give_ = ["consent", "give", "-", "--partner", "coachco2", "--birth-month", "2005-01"]
    done = run.invoke(app, [*give_, "--json", "--sheet", str(sheet)], input="ada\n", env=env)
    assert done.exit_code == 0, done.output
    grant = json.loads(done.stdout)
    (code,) = grant["codes"]
    assert code["code"] in sheet.read_text("utf-8")
    assert sheet.stat().st_mode & 0o077 == 0
    again = run.invoke(app, ["consent", "codes", grant["id"], "--json"], env=env)
    assert json.loads(again.stdout)["codes"][0]["code"] != code["code"]
    shown = run.invoke(app, ["consent", "show", grant["id"], "--json"], env=env)
    assert code["code"] not in shown.stdout
    assert "codes" not in json.loads(shown.stdout)

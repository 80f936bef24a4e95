"""The DPO's search: by a participation code, without the code in any record."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from consent import codes
from hub import lookup, participation, worker
from hub.application import application
from hub.cli.app import app
from hub.cli.operate import add_user
from hub.errors import NotFound
from hub.events import Kind
from hub.lookup import Question
from hub.parts import OPERATOR, Actor
from hub.records import Role
from hub.storage.books.records import AUDITED, NAMED
from tests.flows import world
from tests.flows.test_participation import asked

DPO = Actor("user-1", "dpo", "region")


def test_ids_that_people_know_are_those_of_audited_rows() -> None:
    assert set(NAMED) - set(AUDITED) <= {"requests"}


def test_everything_about_a_participation_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = world.hub_in(tmp_path / "var")
    add_user(parts, "dpo", Role.DPO, "region", "correct horse")
    _, [handed] = participation.give(parts, OPERATOR, "coachco2", asked("ada"))
    name = lookup.code_id(parts, handed.code)
    found = lookup.look(parts, DPO, Question(about=name)).events
    assert found
    for event in parts.books.events(limit=1000):
        assert handed.code.encode() not in event.body
    for wrong in ("", "AAAA-AAAA", handed.code[:-1]):
        with pytest.raises(NotFound):
            lookup.code_id(parts, wrong)
    # What befalls the person befalls the code: the grant, its end, the erasure; nobody else's.
    participation.give(parts, OPERATOR, "coachco2", asked("bob"))
    held = parts.books.code(codes.digest(parts.keyring.code_key, codes.read_code(handed.code)))
    assert held is not None
    participation.end(parts, held)
    worker.drain(parts)
    told = [
        json.loads(event.body)["kind"]
        for event in lookup.look(parts, DPO, Question(about=name)).events
    ]
    assert told.count(Kind.CONSENT_GIVEN) == 1
    assert {Kind.CONSENT_WITHDRAWN, Kind.WITHDRAWAL_COMPLETED} <= set(told)
    with TestClient(application(parts), base_url="https://hub.test") as http:
        address = "/v1/audit/events/code"
        assert http.post(address, json={"code": handed.code}).status_code == 401
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("HUB_PASSWORD", "correct horse")
    monkeypatch.setenv("HUB_CODE", handed.code)
    shown = CliRunner().invoke(app, ["audit", "events", "--login", "dpo", "--code", "--json"])
    assert shown.exit_code == 0, shown.output
    assert handed.code not in shown.stdout
    assert name in shown.stdout
    parts.books.close()

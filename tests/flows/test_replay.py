"""Decisions are replayed: the same policies say the same, new ones say what they would change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from hub import agreements, push, recipients, uploads, withdraw, worker
from hub.cli.app import app
from hub.errors import Denied
from hub.events import Kind
from hub.parts import OPERATOR, Actor, Parts
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.records import LoggedEvent, Role
from hub.replay import replay
from hub.storage.books import Search
from tests.flows import world

STRANGER = Actor("orange-1", "partner", "orange", ("push",))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A hub that said yes and no."""
    parts = world.hub_in(tmp_path / "var")
    world.pushed(parts, "transdev/validations", world.taps(["A"]))
    world.agree(parts, "acc-1")
    with pytest.raises(Denied):
        push.accept(parts, STRANGER, "transdev", "validations", [world.taps(["A"])])
    return parts


def stricter(tmp_path: Path) -> Path:
    """Policies under which nobody pushes taps."""
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    rule = folder / "push.rego"
    rule.write_text(
        rule.read_text("utf-8")
        + '\n# METADATA\n# title: No taps\nrefused contains "dataset_missing" if {\n'
        + '\tinput.dataset == "validations"\n}\n',
        "utf-8",
    )
    return folder


def test_the_same_policies_say_the_same(parts: Parts) -> None:
    made = replay(parts, parts.policy)
    assert made.same
    assert made.asked["push"] >= 2
    assert made.other_policies == 0


def test_new_policies_say_what_they_would_change(parts: Parts, tmp_path: Path) -> None:
    made = replay(parts, EmbeddedGate(stricter(tmp_path)))
    changed = {(one.was.partition(":")[0], one.now.partition(":")[0]) for one in made.differences}
    assert ("allowed", "denied") in changed
    assert {one.rule for one in made.differences} == {"push"}
    assert made.other_policies == made.asked.total()


def test_an_answer_that_was_made_up_is_found(parts: Parts) -> None:
    (denied,) = parts.books.events(kind="access.denied")
    body = msgspec.json.decode(denied.body)
    assert body["facts"]["policy"][0]["question"]["partner"] == "transdev"

    class Lying:
        """The books with one answer turned round."""

        def search(self, search: Search, after: int, limit: int) -> list[LoggedEvent]:
            body["facts"]["policy"][0]["allowed"] = True
            return [
                replace(one, body=msgspec.json.encode(body)) if one == denied else one
                for one in parts.books.search(search, after, limit)
            ]

    made = replay(replace(parts, books=Lying()), parts.policy)  # type: ignore[arg-type]
    assert [one.event for one in made.differences] == [denied.sequence]


def test_by_command_line(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(parts.settings.home))
    same = CliRunner().invoke(app, ["policy", "replay", "--json"])
    assert same.exit_code == 0, same.output
    assert msgspec.json.decode(same.stdout)["same"] is True
    other = CliRunner().invoke(
        app, ["policy", "replay", "--policies", str(stricter(tmp_path)), "--json"]
    )
    assert other.exit_code == 5, other.output
    assert CliRunner().invoke(app, ["policy", "replay", "--since", "x"]).exit_code == 2


def in_pieces(parts: Parts, data: bytes) -> str:
    """A whole upload that no worker has assembled yet."""
    upload = uploads.begin(parts, OPERATOR, "transdev", "validations", len(data))
    uploads.append(parts, upload, 0, [data])
    return upload.id


def test_an_upload_in_pieces_is_decided_when_it_is_acknowledged(parts: Parts) -> None:
    name = in_pieces(parts, world.taps(["B"]))
    worker.drain(parts)
    (event,) = parts.books.events(kind=Kind.PUSH_ACCEPTED, about=name)
    (told,) = msgspec.json.decode(event.body)["facts"]["policy"]
    assert (told["rule"], told["allowed"]) == ("push", True)
    assert told["question"]["actor"]["id"] == OPERATOR.id
    assert replay(parts, parts.policy).same
    stricter_says = [one.event for one in replay(parts, EmbeddedGate(POLICIES)).differences]
    assert event.sequence not in stricter_says


def test_an_upload_whose_agreement_ended_meanwhile_is_no_push(parts: Parts) -> None:
    name = in_pieces(parts, world.taps(["C"]))
    (number,) = [one.number for one in parts.books.agreements() if one.dataset == "validations"]
    agreements.end(parts, OPERATOR, number)
    worker.drain(parts)
    found = parts.books.upload(name)
    assert found is not None
    assert found.problem is not None
    assert found.problem["code"] == "denied-by-policy"
    assert parts.books.push(name) is None
    assert parts.books.segments(name) == []


def test_what_else_a_decision_allows_is_replayed_too(parts: Parts) -> None:
    asked = recipients.Asked("cd37", Role.COLLECTIVITY)
    client, _ = recipients.add(parts, asked)
    recipients.revoke(parts, client.id)
    withdraw.withdraw(parts, OPERATOR, "coachco2", b"0" * 32, via="cli")
    (number,) = [one.number for one in parts.books.agreements() if one.dataset == "flows"]
    agreements.end(parts, OPERATOR, number)
    made = replay(parts, parts.policy)
    assert made.same
    assert {"admin", "withdraw", "agreement", "push", "consent"} <= set(made.asked)

"""Decisions are replayed: the same policies say the same, new ones say what they would change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from typer.testing import CliRunner

from hub import (
    agreements,
    backup,
    clients,
    consent_proofs,
    decisions,
    lookup,
    participation,
    push,
    quarantine,
    recipients,
    rights,
    uploads,
    withdraw,
    worker,
)
from hub.cli.app import app
from hub.errors import Denied
from hub.events import Kind
from hub.main import zones_of
from hub.parts import OPERATOR, Actor, Parts
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.records import LoggedEvent, Role
from hub.replay import replay
from hub.storage import age
from hub.storage.books import Search
from tests.flows import test_quarantine as set_aside
from tests.flows import world
from tests.flows.test_participation import APP, BUS, GIVEN_AT, give, stop

DPO: Final = Actor("dpo-1", "dpo", "region")
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


# Each kind of event that follows from a decision ------------------------------------------------


@pytest.fixture(scope="module")
def after_it_all(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A hub in which everything was done that a policy decides and an event tells."""
    sealed_for = age.Identity.make().recipient.text
    home = tmp_path_factory.mktemp("replay") / "var"
    made = world.hub_in(home, backup_recipient=sealed_for, proof_recipient=sealed_for)
    parts = replace(made, clock=lambda: GIVEN_AT + timedelta(days=1))
    for act in (_persons_acts, _operators_acts, _partners_acts):
        act(parts)
    return parts


def _persons_acts(parts: Parts) -> None:
    grant, (code,) = give(parts)
    participation.Door(parts).link(BUS, code.code, "card-1")
    (code,) = participation.again(parts, APP, grant)
    rights.own_rows(parts, participation.PERSON, rights.holder_of(parts, code.code), "json")
    case = rights.open_for(parts, DPO, "access", "everything", code.code)
    rights.extend(parts, DPO, case.id, "complexity")
    rights.close(parts, DPO, case.id, "done")
    stop(parts, code.code)
    worker.drain(parts)
    consent_proofs.hand_out(parts, DPO, grant.id, "person")
    lookup.look(parts, DPO, lookup.Question())


def _operators_acts(parts: Parts) -> None:
    parts.rotate_log_key()
    backup.create(parts, OPERATOR, zones_of(parts.settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUB_HOME", str(parts.settings.home))
        for words in ("add anne --role dpo", "password anne", "lock anne", "totp anne"):
            done = CliRunner().invoke(app, ["user", *words.split()])
            assert done.exit_code == 0, done.output
    client = recipients.add(parts, recipients.Asked("cd37", Role.COLLECTIVITY))[0]
    recipients.revoke(parts, client.id)
    with pytest.raises(Denied):
        push.accept(parts, STRANGER, "transdev", "validations", [world.taps(["A"])])
    (event,) = parts.books.events(kind=Kind.ACCESS_DENIED)
    decisions.find(parts, DPO, str(msgspec.json.decode(event.body)["facts"]["decision"]))


def _partners_acts(parts: Parts) -> None:
    for last in (quarantine.drop, quarantine.replay):
        pushed = world.pushed(parts, "transdev/validations", set_aside.taps(9, 3))
        last(set_aside.fixed(parts), OPERATOR, pushed.id)
    made = next(c for c in parts.books.clients() if c.organisation == "transdev")
    clients.rotate(parts, OPERATOR, made.id)
    clients.revoke(parts, OPERATOR, made.id)
    (number,) = [one.number for one in parts.books.agreements() if one.dataset == "flows"]
    agreements.end(parts, OPERATOR, number)


KEPT: Final = {
    Kind.PARTNER_ADDED, Kind.AGREEMENT_RECORDED, Kind.AGREEMENT_ENDED, Kind.USER_ADDED,
    Kind.USER_CHANGED, Kind.CLIENT_CHANGED, Kind.KEY_ROTATED, Kind.PUSH_ACCEPTED,
    Kind.CONSENT_GIVEN, Kind.CODES_GIVEN, Kind.REFERENCE_LINKED, Kind.ROWS_SHOWN,
    Kind.CASE_OPENED, Kind.CASE_EXTENDED, Kind.CASE_CLOSED, Kind.CONSENT_WITHDRAWN,
    Kind.PROOF_OPENED, Kind.EVENTS_READ, Kind.BACKUP_BEGUN, Kind.QUARANTINE_DROPPED,
    Kind.QUARANTINE_REPLAYED, Kind.SHARE_ADDED, Kind.SHARE_REVOKED, Kind.ACCESS_DENIED,
}  # fmt: skip
"""Events of acts a policy allowed or refused. Those of requests and releases: see their tests."""


def test_every_event_that_follows_from_a_decision_keeps_it(after_it_all: Parts) -> None:
    told: dict[str, list[bool]] = {}
    for event in after_it_all.books.events(limit=10_000):
        body: dict[str, Any] = msgspec.json.decode(event.body)
        told.setdefault(body["kind"], []).append("policy" in body["facts"])
    assert {kind for kind in KEPT if not told.get(kind)} == set(), "was not done"
    assert {kind for kind in KEPT if not all(told[kind])} == set()


def test_all_of_it_is_replayed_and_comes_out_the_same(after_it_all: Parts) -> None:
    made = replay(after_it_all, after_it_all.policy)
    assert made.same, made.differences
    assert made.unasked == 0
    assert {
        "admin", "agreement", "audit_read", "client", "consent", "push", "rights", "withdraw",
    } == set(made.asked)  # fmt: skip

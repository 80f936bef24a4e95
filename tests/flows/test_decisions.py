"""A decision afterwards: its receipt for the one it concerned, proof included, and for the DPO."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from hub import decisions, release, worker
from hub.application import application
from hub.audit import receipts
from hub.cli.app import app
from hub.cli.operate import add_user
from hub.errors import Denied, NotFound, Rejected
from hub.identity.refusals import MOST
from hub.identity.sessions import Sessions
from hub.parts import Actor, Parts
from hub.records import Role
from tests.flows import world
from tests.flows.test_http import bearer

ORANGE = Actor("orange", "partner", "orange", ("push",))
OTHER = Actor("transdev", "partner", "transdev", ("push",))
DPO = Actor("user-1", "dpo", "region")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_in(tmp_path / "var")
    yield made
    made.books.close()


def refused(parts: Parts, actor: Actor, **question: object) -> Denied:
    with pytest.raises(Denied) as caught:
        parts.require("audit_read", actor, question)
    return caught.value


def name_in(error: Denied) -> str:
    return str(error.problem("en")["receipt"]).split("/")[3]


def test_a_refusal_has_a_receipt_that_proves_itself(parts: Parts, tmp_path: Path) -> None:
    name = name_in(refused(parts, ORANGE))
    with pytest.raises(NotFound, match="follows in a moment"):
        decisions.receipt(parts, ORANGE, name)
    parts.sequence()
    note = decisions.receipt(parts, ORANGE, name)
    receipt = receipts.verified(note, parts.log.keys)
    assert receipt.checkpoint is not None
    assert receipt.facts["kind"] == "decision"
    assert receipt.facts["answer"] == "denied"
    assert (receipt.facts["rule"], receipt.facts["actor"]) == ("audit_read", "orange")
    assert receipt.facts["reasons"]
    assert receipt.facts["bundle"] == parts.policy.bundle_digest
    file = tmp_path / "decision.receipt"
    file.write_bytes(note)
    key = str(parts.log.signer.verifier)
    done = CliRunner().invoke(app, ["receipt", "verify", str(file), "--key", key, "--json"])
    assert done.exit_code == 0, done.output
    assert '"proved_under"' in done.stdout
    assert "null" not in done.stdout.split("proved_under")[1].split("key_until")[0]
    file.write_bytes(note.replace(b'"denied"', b'"allowed"'))
    again = CliRunner().invoke(app, ["receipt", "verify", str(file), "--key", key])
    assert isinstance(again.exception, Rejected)


def test_nobody_else_has_it_but_who_reads_the_log(parts: Parts) -> None:
    name = name_in(refused(parts, ORANGE))
    parts.sequence()
    for actor in (OTHER, Actor("orange", "partner", "region"), Actor("x", "partner", "orange")):
        with pytest.raises(NotFound, match="No decision"):
            decisions.receipt(parts, actor, name)
    for wrong in ("", "audit_read", name + "x", "push.accepted"):
        with pytest.raises(NotFound, match="No decision"):
            decisions.receipt(parts, DPO, wrong)
    looks = len(parts.books.events(kind="events.read"))
    assert decisions.receipt(parts, DPO, name)
    assert len(parts.books.events(kind="events.read")) == looks + 1


def test_a_stranger_who_asks_for_ever_is_counted(parts: Parts) -> None:
    before = parts.books.event_count()
    errors = [refused(parts, ORANGE, n=n) for n in range(MOST + 30)]
    assert parts.books.event_count() == before + MOST
    assert "receipt" in errors[MOST - 1].problem("fr")
    assert "receipt" not in errors[MOST].problem("fr")
    again = refused(parts, ORANGE, n=3)
    assert name_in(again) == name_in(errors[3])
    assert parts.books.event_count() == before + MOST


def test_a_refusal_over_http_says_where_its_receipt_is(tmp_path: Path) -> None:
    parts = world.founded(tmp_path / "var")
    client = TestClient(application(parts))
    mine = bearer(client, parts, "orange")
    answer = client.get("/v1/audit/events", headers=mine)
    assert answer.status_code == 403
    parts.sequence()
    address = answer.json()["receipt"]
    assert client.get(address).status_code == 401
    note = client.get(address, headers=mine)
    assert note.status_code == 200, note.text
    assert receipts.verified(note.content, parts.log.keys).checkpoint is not None


def test_a_release_and_its_reading_have_receipts(parts: Parts) -> None:
    world.reference_data(parts)
    people = [f"acc-{n:03d}" for n in range(60)]
    world.agree(parts, *people)
    modes = ("CAR", "BUS", "WALKING", "BICYCLING")
    world.pushed(parts, "coachco2/trips", world.trips(people, days=4, modes=modes))
    worker.drain(parts)
    made, _ = release.build(parts, "modal-split")
    parts.sequence()
    client = TestClient(application(parts))
    address = f"/v1/releases/{made.id}/receipt"
    proved = receipts.verified(client.get(address).content, parts.log.keys)
    assert proved.checkpoint is not None
    assert (proved.facts["kind"], proved.facts["id"]) == ("release", made.id)
    assert client.get("/v1/releases/none-2025-1/receipt").status_code == 404
    assert "link" not in client.get(f"/v1/releases/{made.id}/data").headers
    add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
    token = Sessions(parts.books, parts.clock).login("desk", "correct horse")
    client.cookies.set(client.app.state.session_cookie, token)  # type: ignore[attr-defined]
    link = client.get(f"/v1/releases/{made.id}/data").headers["link"]
    parts.sequence()
    note = client.get(link.split("<")[1].split(">")[0])
    facts = receipts.verified(note.content, parts.log.keys).facts
    assert (facts["answer"], facts["about"], facts["rule"]) == ("allowed", made.id, "release_read")

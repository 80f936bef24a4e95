"""Agreements: two sides, versions, and a push only under what both have signed."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hub import agreements, push, release, worker
from hub.application import application
from hub.cli.operate import add_partner
from hub.errors import Conflict, Denied, NotFound, Rejected
from hub.events import Kind
from hub.main import compose
from hub.parts import OPERATOR, Actor, Parts
from hub.reconcile import reconcile
from hub.settings import DEFAULT_TERRITORY, Settings
from tests.flows import world

TRANSDEV = Actor("transdev-1", "partner", "transdev", ("push",))
ORANGE = Actor("orange-1", "partner", "orange", ("push",))
TERMS: dict[str, Any] = {
    "partner": "transdev",
    "dataset": "validations",
    "purpose": "school-mobility",
    "basis": "public_task",
    "controllers": ["Région Centre-Val de Loire"],
    "legal_text": "Code des transports, art. L. 3111-7",
    "impact_assessment": {
        "digest": f"sha256:{'ab' * 32}", "date": "2026-01-15", "opinion": "favourable",
    },
}  # fmt: skip


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A hub that is no demonstration: nothing is excused."""
    territory = tmp_path / "territory.toml"
    text = DEFAULT_TERRITORY.read_text("utf-8")
    territory.write_text(text.replace("demo = true", "demo = false"), "utf-8")
    assert tomllib.loads(territory.read_text("utf-8"))["demo"] is False
    made = compose(Settings(home=tmp_path / "var", territory=territory), opens=True)
    add_partner(made, "transdev")
    return made


def send(parts: Parts) -> None:
    push.accept(parts, TRANSDEV, "transdev", "validations", [world.taps(["A"])])


def refused(parts: Parts) -> list[str]:
    with pytest.raises(Denied) as denied:
        send(parts)
    reasons: list[str] = denied.value.facts["reasons"]
    return reasons


def test_nothing_may_be_pushed_before_both_sides_have_signed(parts: Parts) -> None:
    # What the territory file says was never signed, by hand or on paper.
    assert "agreement_not_signed" in refused(parts)
    made = agreements.propose(parts, OPERATOR, TERMS)
    assert "agreement_not_signed" in refused(parts)
    agreements.sign(parts, OPERATOR, made.number)
    assert "agreement_not_signed" in refused(parts)
    signed = agreements.sign(parts, TRANSDEV, made.number)
    assert signed.signed
    send(parts)
    agreements.end(parts, TRANSDEV, made.number)
    assert refused(parts) == ["agreement_missing"]
    assert len(parts.books.events(kind=Kind.AGREEMENT_SIGNED)) == 2
    assert len(parts.books.events(kind=Kind.AGREEMENT_ENDED)) == 1
    parts.sequence()
    assert reconcile(parts).problems == []


def test_a_version_replaces_the_one_before_only_when_both_signed(parts: Parts) -> None:
    first = agreements.propose(parts, TRANSDEV, TERMS)
    for actor in (OPERATOR, TRANSDEV):
        agreements.sign(parts, actor, first.number)
    second = agreements.propose(parts, OPERATOR, TERMS | {"legal_text": "another"})
    agreements.sign(parts, OPERATOR, second.number)
    standing = parts.books.agreement("transdev", "validations")
    assert standing is not None
    assert standing.number == first.number
    agreements.sign(parts, TRANSDEV, second.number)
    standing = parts.books.agreement("transdev", "validations")
    assert standing is not None
    assert (standing.number, standing.terms["legal_text"]) == (second.number, "another")
    # What was ended does not bring back what it had replaced.
    agreements.end(parts, OPERATOR, second.number)
    assert parts.books.agreement("transdev", "validations") is None


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"impact_assessment": None}, ["impact_assessment_missing"]),
        ({"legal_text": ""}, ["legal_text_missing"]),
        ({"valid_until": "2020-01-01"}, ["agreement_not_in_force"]),
        ({"valid_from": "2999-01-01"}, ["agreement_not_in_force"]),
    ],
)
def test_terms_that_do_not_carry_a_push(
    parts: Parts, change: dict[str, Any], reasons: list[str]
) -> None:
    made = agreements.propose(parts, OPERATOR, TERMS | change)
    for actor in (OPERATOR, TRANSDEV):
        agreements.sign(parts, actor, made.number)
    assert refused(parts) == reasons


def test_on_its_last_day_an_agreement_still_holds(parts: Parts) -> None:
    today = datetime.now(UTC).date()
    made = agreements.propose(
        parts, OPERATOR, TERMS | {"valid_from": str(today), "valid_until": str(today)}
    )
    for actor in (OPERATOR, TRANSDEV):
        agreements.sign(parts, actor, made.number)
    send(parts)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"basis": "interest"}, "basis"),
        ({"controllers": []}, "controllers"),
        ({"hosting_country": "France"}, "hosting_country"),
        ({"impact_assessment": {"digest": "md5:1", "date": "2026-01-15", "opinion": "x"}},
         "impact_assessment.digest"),
        ({"valid_from": "2026-02-01", "valid_until": "2026-01-01"}, ""),
        ({"surprise": 1}, "surprise"),
    ],
)  # fmt: skip
def test_terms_that_cannot_stand_are_named(
    parts: Parts, change: dict[str, Any], where: str
) -> None:
    with pytest.raises(Rejected) as error:
        agreements.propose(parts, OPERATOR, TERMS | change)
    assert (error.value.code, error.value.where) == ("agreement-invalid", where)


def test_nobody_signs_for_the_other_or_twice(parts: Parts) -> None:
    made = agreements.propose(parts, TRANSDEV, TERMS)
    agreements.sign(parts, TRANSDEV, made.number)
    with pytest.raises(Conflict):
        agreements.sign(parts, TRANSDEV, made.number)
    with pytest.raises(NotFound):
        agreements.sign(parts, ORANGE, made.number)
    with pytest.raises(Denied):
        agreements.propose(parts, ORANGE, TERMS)
    with pytest.raises(Denied):
        agreements.sign(parts, Actor("d", "dpo", "region"), made.number)
    assert not parts.books.agreement_version(made.number).signed
    with pytest.raises(NotFound):
        agreements.propose(parts, OPERATOR, TERMS | {"dataset": "nothing"})


def test_by_http_each_side_signs_and_reads_linked_data(parts: Parts) -> None:
    client, secret = add_partner(parts, "orange")
    with TestClient(application(parts), base_url="https://hub.test") as http:
        token = http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "scope": "push"},
            auth=(client.id, secret),
        ).json()["access_token"]
        bearer = {"authorization": f"Bearer {token}"}
        asked = {
            "partner": "orange", "dataset": "presence", "purpose": "school-mobility",
            "basis": "not_personal", "controllers": ["Orange"],
            "obligations": {"no_join": True, "embargo_until": "2027-01-01"},
            "protection": "estimates",
        }  # fmt: skip
        wrong = http.post("/v1/agreements", json=asked | {"protection": "secret"}, headers=bearer)
        assert (wrong.status_code, wrong.json()["where"]) == (422, "protection")
        made = http.post("/v1/agreements", json=asked, headers=bearer)
        assert made.status_code == 201
        address = f"/v1/agreements/{made.json()['number']}"
        assert http.get(f"{address}/odrl", headers=bearer).json()["@type"] == "Offer"
        assert list(http.post(f"{address}/signature", headers=bearer).json()["signatures"]) == [
            "partner"
        ]
        assert http.post(f"{address}/signature", headers=bearer).status_code == 409
        assert http.get(address).status_code == 401
        agreements.sign(parts, OPERATOR, made.json()["number"])
        linked = http.get(f"{address}/odrl", headers=bearer)
        assert linked.headers["content-type"] == "application/ld+json"
        assert linked.json()["@type"] == "Agreement"
        assert {p["action"] for p in linked.json()["prohibition"]} >= {"sell", "aggregate"}
        (protected,) = linked.json()["permission"][1]["duty"][0]["action"]
        assert protected["rdf:value"] == {"@id": "odrl:anonymize"}
        (level,) = protected["refinement"]
        assert (level["operator"], level["rightOperand"]) == ("gteq", "estimates")
        assert level["leftOperand"].startswith(linked.json()["profile"])
        seen = http.get("/v1/agreements", headers=bearer).json()
        assert {one["partner"] for one in seen} == {"orange"}


def test_times_of_signatures_are_those_of_the_clock(parts: Parts) -> None:
    made = agreements.propose(parts, OPERATOR, TERMS)
    signed = agreements.sign(parts, OPERATOR, made.number)
    assert abs(signed.signatures["hub"] - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_release_waits_for_the_embargo_of_its_sources(tmp_path: Path) -> None:
    parts = world.hub_in(tmp_path / "var")
    world.map_data(parts)
    steward, region = Actor("s", "steward", "region"), Actor("r", "partner", "region", ("push",))
    asked = {
        "partner": "region", "dataset": "gtfs", "purpose": "school-mobility",
        "basis": "not_personal", "controllers": ["Région Centre-Val de Loire"],
        "obligations": {"embargo_until": "2999-01-01"},
    }  # fmt: skip
    made = agreements.propose(parts, steward, asked)
    for actor in (steward, region):
        agreements.sign(parts, actor, made.number)
    shelved, _ = release.build(parts, "places")
    with TestClient(application(parts), base_url="https://hub.test") as http:
        assert http.get(f"/v1/releases/{shelved.id}/data").status_code == 403
        assert http.get("/v1/releases").json() == []
        assert shelved.id not in http.get("/v1/catalog").text


SECOND = TERMS | {"purpose": "linking"}


def test_no_table_comes_to_hold_two_purposes_pseudonyms(parts: Parts) -> None:
    """The second purpose is refused while the first is in force, and while rows of it remain."""
    for agreement in parts.books.agreements():
        if agreement.partner == "transdev" and agreement.dataset == "validations":
            agreements.end(parts, OPERATOR, agreement.number)
    early = agreements.propose(parts, OPERATOR, SECOND)
    first = agreements.propose(parts, OPERATOR, TERMS)
    for actor in (OPERATOR, TRANSDEV):
        agreements.sign(parts, actor, first.number)
    with pytest.raises(Conflict, match="another purpose") as refusal:
        agreements.propose(parts, OPERATOR, SECOND)
    assert refusal.value.code == "second-purpose"
    for actor in (OPERATOR, TRANSDEV):  # nor by one that was proposed before
        with pytest.raises(Conflict, match="another purpose"):
            agreements.sign(parts, actor, early.number)
    agreements.propose(parts, OPERATOR, TERMS | {"legal_text": "another"})
    send(parts)
    worker.drain(parts)
    assert parts.tables.periods("transdev/validations/validations") != {}
    agreements.end(parts, TRANSDEV, first.number)
    with pytest.raises(Conflict, match="another purpose"):
        agreements.sign(parts, TRANSDEV, early.number)
    name = "transdev/validations/validations"
    parts.tables.drop(name, list(parts.tables.periods(name)))
    for actor in (OPERATOR, TRANSDEV):
        agreements.sign(parts, actor, early.number)
    standing = parts.books.agreement("transdev", "validations")
    assert standing is not None
    assert standing.purpose == "linking"


def test_what_is_about_nobody_may_serve_many_purposes(parts: Parts) -> None:
    add_partner(parts, "orange")
    terms = TERMS | {"partner": "orange", "dataset": "presence", "basis": "not_personal"}
    for purpose in ("school-mobility", "linking"):
        agreements.propose(parts, OPERATOR, terms | {"purpose": purpose})

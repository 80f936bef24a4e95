"""Sealed proofs of ended consents: the officer alone, five years, and never unseen."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hub import birthdays, consent_proofs, consents, participation, retention, withdraw, worker
from hub.application import application
from hub.cli.operate import add_user
from hub.errors import Denied, NotFound, Rejected
from hub.parts import OPERATOR, Actor, Parts
from hub.reconcile import reconcile
from hub.records import Grant, Role
from hub.storage import age, sealing
from tests.flows import world
from tests.flows.test_participation import APP, CHILD, GIVEN_AT, give, stop
from tests.storage.scan import find

KEY = age.Identity.make()
DPO = Actor("dpo-1", "dpo", "region")
FIVE_YEARS = timedelta(days=5 * 365 + 2)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    world.hub_in(tmp_path / "var").books.close()
    made = world.hub_in(tmp_path / "var", proof_recipient=KEY.recipient.text)
    yield replace(made, clock=lambda: GIVEN_AT + timedelta(days=1))
    made.books.close()


def ended(parts: Parts, **facts: Any) -> tuple[Grant, participation.Handed]:
    """A consent that was given and withdrawn, all made true."""
    grant, handed = give(parts, **facts)
    stop(parts, handed[0].code)
    worker.drain(parts)
    found = parts.books.grant(grant.id)
    assert found is not None
    return found, handed[0]


def opened(sealed: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sealing.unseal(sealed, KEY))
    return told


def test_how_it_was_collected_is_sealed_at_the_end_and_leaves_the_books(parts: Parts) -> None:
    grant, _ = give(parts, **CHILD)
    standing = parts.books.grant(grant.id)
    assert standing is not None
    assert standing.evidence["parent_identified_by"] == "family account"
    assert parts.books.consent_proof(grant.id) is None
    grant, _ = ended(parts, reference="kim", **CHILD)
    assert not set(grant.evidence) & set(consent_proofs.COLLECTED)
    assert grant.evidence["record_id"] == grant.id, "the record itself stays"
    told = opened(consent_proofs.hand_out(parts, DPO, grant.id, "authority"))
    assert told["record"]["parent_identified_by"] == "family account"
    assert (told["record"]["fifteen"], told["record"]["joint"]) == ("2027-05", True)
    assert [e["event_state"] for e in told["record"]["event"]] == ["given", "given", "withdrawn"]
    assert told["notice"]["sha256"] == told["record"]["privacy_notice"]["sha256"]
    assert told["notice"]["why"]["fr"]
    assert reconcile(parts).problems == []


def test_the_record_says_which_half_ended_it(parts: Parts) -> None:
    for half, who in enumerate(("dpv:DataSubject", "dpv:ParentOfDataSubject")):
        grant, handed = give(parts, f"kid-{half}", **CHILD)
        stop(parts, handed[half].code)
        for settled in (False, True):
            if settled:
                worker.drain(parts)
            now = parts.books.grant(grant.id)
            assert now is not None
            last = consents.linked(parts, now)["dpv:hasConsentStatus"][-1]
            assert last["@type"] == "dpv:ConsentWithdrawn"
            assert last["dpv:isIndicatedBy"]["@type"] == who
        told = opened(consent_proofs.hand_out(parts, DPO, grant.id, "authority"))
        assert told["record"]["event"][-1]["entity_id"].split(" ", 1)[1] == (
            "parental authority" if half else "person"
        )


def test_how_a_parent_was_identified_is_nowhere_else_once_it_is_over(parts: Parts) -> None:
    how = "passport shown at the counter"
    _, (child, _) = give(parts, **CHILD | {"parent_identified_by": how})
    assert find(parts.settings.home, [how.encode()], parts.vault.unseal) != []
    stop(parts, child.code)
    worker.drain(parts)
    assert find(parts.settings.home, [how.encode()], parts.vault.unseal) == []


def test_it_names_nobody_and_the_hub_cannot_read_it(parts: Parts) -> None:
    grant, _ = ended(parts, reference="acc-somebody", **CHILD)
    digest = consents.digest_of(parts, "coachco2", "acc-somebody")
    proof = parts.books.consent_proof(grant.id)
    assert proof is not None
    inside = sealing.unseal(proof.sealed, KEY)
    for known in (b"acc-somebody", digest, digest.hex().encode(), grant.subject):
        assert known not in inside
    assert find(parts.settings.home, [digest, b"acc-somebody"], parts.vault.unseal) == []
    with pytest.raises(Exception, match="sealed"):
        parts.vault.unseal(proof.sealed)


def test_only_an_officer_opens_it_for_a_listed_ground(parts: Parts) -> None:
    grant, _ = ended(parts)
    for actor in (OPERATOR, APP, Actor("a", "auditor", "cnil"), Actor("s", "steward", "region")):
        with pytest.raises(Denied):
            consent_proofs.hand_out(parts, actor, grant.id, "person")
    with pytest.raises(Rejected):
        consent_proofs.hand_out(parts, DPO, grant.id, "curiosity")
    for unknown in ("nobody's", give(parts, "stands")[0].id):
        with pytest.raises(NotFound):
            consent_proofs.hand_out(parts, DPO, unknown, "person")
    assert consent_proofs.openings(parts, grant.id) == []


def test_opening_is_recorded_told_and_found_by_the_log(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    grant, handed = ended(parts)
    with caplog.at_level(logging.WARNING):
        sealed = consent_proofs.hand_out(parts, DPO, grant.id, "court")
    assert "court" in caplog.text
    assert grant.id not in caplog.text
    (opening,) = consent_proofs.openings(parts, grant.id)
    assert (opening.at, opening.ground) == (parts.clock(), "court")
    (completed,) = parts.books.events(kind="withdrawal.completed")
    assert hashlib.sha256(sealed).hexdigest().encode() in completed.body, "it is what was sealed"
    with TestClient(
        application(parts), headers={"accept": "text/html"}, follow_redirects=False
    ) as client:
        parts.books.close = lambda: None  # type: ignore[method-assign]  # the fixture closes them
        token = re.search(r'name="token" value="([0-9a-f]{64})"', client.get("/my-consent").text)
        assert token
        fields = {"code": handed.code, "secret": handed.secret, "token": token[1]}
        assert client.post("/my-consent/look", data=fields).status_code == 303
        page = client.get("/my-consent").text
        assert "a ouvert la preuve" in page
        assert "un tribunal l’a demandé" in page


def test_an_expired_consent_is_proved_too_and_twice_is_once(parts: Parts) -> None:
    grant, _ = give(parts, expires_at=GIVEN_AT + timedelta(days=2))
    later = replace(parts, clock=lambda: GIVEN_AT + timedelta(days=3))
    birthdays.sweep(later, later.clock())
    worker.drain(later)
    worker.drain(later)
    proof = parts.books.consent_proof(grant.id)
    assert proof is not None
    assert opened(proof.sealed)["record"]["event"][-1]["event_state"] == "expired"
    digest = consents.digest_of(parts, "coachco2", "ada")
    withdraw.withdraw(later, OPERATOR, "coachco2", digest, via="cli")
    withdraw.withdraw(later, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(later)
    assert parts.books.consent_proof(grant.id) == proof


def test_many_together_each_have_theirs(parts: Parts) -> None:
    grants = [give(parts, f"acc-{n}")[0] for n in range(70)]
    for n in range(70):
        digest = consents.digest_of(parts, "coachco2", f"acc-{n}")
        withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    for grant in grants:
        assert (
            opened(consent_proofs.hand_out(parts, DPO, grant.id, "person"))["consent"] == grant.id
        )
    events = parts.books.events(kind="withdrawal.completed")
    assert sum(len(json.loads(e.body)["facts"]["proofs"]) for e in events) == 70


def test_after_five_years_retention_destroys_it(parts: Parts) -> None:
    grant, _ = ended(parts)
    assert grant.ended_at is not None
    ends = grant.ended_at + FIVE_YEARS
    almost = replace(parts, clock=lambda: ends - timedelta(days=1))
    assert [one for one in retention.due(almost) if one.kind == "proof"] == []
    over = replace(parts, clock=lambda: ends)
    (due,) = [one for one in retention.due(over) if one.kind == "proof"]
    assert due.count == "1-10"
    sealed = parts.books.consent_proof(grant.id)
    assert sealed is not None
    retention.run(almost)
    assert parts.books.consent_proof(grant.id) is not None
    retention.run(over)
    assert parts.books.consent_proof(grant.id) is None
    assert find(parts.settings.home, [sealed.sealed[-64:]], None) == []
    with pytest.raises(NotFound):
        consent_proofs.hand_out(over, DPO, grant.id, "person")


def test_without_a_recipient_nothing_is_sealed_and_the_evidence_stays_as_long(
    tmp_path: Path,
) -> None:
    made = replace(world.hub_in(tmp_path / "var"), clock=lambda: GIVEN_AT + timedelta(days=1))
    grant, _ = ended(made)
    assert made.books.consent_proof(grant.id) is None
    assert grant.evidence["age"] == "15_17"
    stands, _ = give(made, "bob")
    assert grant.ended_at is not None
    ends = grant.ended_at + FIVE_YEARS
    retention.run(replace(made, clock=lambda: ends - timedelta(seconds=1)))
    assert set(consent_proofs.COLLECTED) <= set(_kept(made, grant))
    retention.run(replace(made, clock=lambda: ends))
    assert set(_kept(made, grant)) == set(grant.evidence) - set(consent_proofs.COLLECTED)
    assert _kept(made, stands) == stands.evidence, "it is needed while it stands"
    made.books.close()


def _kept(parts: Parts, grant: Grant) -> Mapping[str, Any]:
    found = parts.books.grant(grant.id)
    assert found is not None
    return found.evidence


def test_the_officers_page_hands_out_the_sealed_file(parts: Parts) -> None:
    grant, _ = ended(parts)
    now = datetime.now(UTC)
    there = replace(parts, clock=lambda: now)
    add_user(there, "officer", Role.DPO, "region", "correct horse battery")
    with TestClient(
        application(there), headers={"accept": "text/html"}, follow_redirects=False
    ) as client:
        parts.books.close = lambda: None  # type: ignore[method-assign]  # the fixture closes them

        def token(page: str) -> str:
            found = re.search(r'name="token" value="([0-9a-f]{64})"', client.get(page).text)
            assert found
            return found[1]

        login = {"login": "officer", "password": "correct horse battery", "token": token("/login")}
        assert client.post("/login", data=login).status_code == 303
        form = {"token": token("/dpo/rights"), "consent": grant.id, "ground": "complaint"}
        answer = client.post("/dpo/rights/proof", data=form)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert opened(answer.content)["consent"] == grant.id
        missing = client.post("/dpo/rights/proof", data=form | {"consent": "x"})
        assert (missing.status_code, "preuve scellée" in missing.text) == (404, True)

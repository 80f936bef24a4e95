"""The interface as partners, people and strangers meet it."""

from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey

from hub import consents, worker
from hub.application import application
from hub.cli.operate import add_partner, add_user
from hub.errors import Rejected
from hub.parts import Parts
from hub.records import Role
from tests.flows import world

PUSHES = "/v1/partners/transdev/datasets/validations/pushes"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.founded(tmp_path / "var")


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), raise_server_exceptions=False)


def bearer(client: TestClient, parts: Parts, partner: str) -> dict[str, str]:
    made, secret = add_partner(parts, partner)
    answer = client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.id, secret)
    )
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def is_problem(answer: httpx2.Response, status: int) -> bool:
    document = answer.json()
    return (
        answer.status_code == status == document["status"]
        and answer.headers["content-type"] == "application/problem+json"
        and {"type", "title", "status", "detail", "instance"} <= set(document)
    )


def test_a_push_by_http_from_token_to_receipt(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "transdev")
    sent = client.post(PUSHES, content=world.taps(["A", "B"]), headers=headers)
    assert sent.status_code == 202
    location = sent.headers["location"]
    assert client.get(location, headers=headers).json()["state"] == "accepted"
    assert is_problem(client.get(f"{location}/receipt", headers=headers), 404)
    worker.drain(parts)
    state = client.get(location, headers=headers).json()
    assert (state["state"], state["received"], state["valid"]) == ("stored", 10, 10)
    assert "kept" not in state
    note = client.get(f"{location}/receipt", headers=headers)
    assert note.text.startswith(f"{parts.log.signer.name}/receipt/v1\n")


def test_a_repeated_token_parameter_is_refused(client: TestClient, parts: Parts) -> None:
    made, secret = add_partner(parts, "transdev")
    answer = client.post(
        "/oauth/token",
        content="grant_type=client_credentials&scope=push&scope=consent",
        headers={"content-type": "application/x-www-form-urlencoded"},
        auth=(made.id, secret),
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_partner_with_a_key_needs_no_secret(client: TestClient, parts: Parts) -> None:
    key = ECKey.generate_key("P-256", private=True)
    with pytest.raises(Rejected, match="public half"):
        add_partner(parts, "orange", key.as_dict(private=True))
    made, secret = add_partner(parts, "transdev", key.as_dict(private=False))
    assert secret == ""
    now = int(parts.clock().timestamp())
    claims = {
        "iss": made.id,
        "sub": made.id,
        "aud": f"{parts.settings.public_url}/oauth/token",
        "jti": "once",
        "exp": now + 60,
        "iat": now,
    }
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES256"}, claims, key),
    }
    assert client.post("/oauth/token", data=form).status_code == 200
    assert client.post("/oauth/token", data=form).status_code == 401  # its jti is used up


def test_a_pseudonym_key_is_made_with_an_event(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "transdev")
    client.post(PUSHES, content=world.taps(["A"]), headers=headers)
    worker.drain(parts)
    made = [e.body.decode() for e in parts.books.events(kind="key.created")]
    assert sum("school-mobility/2026-01" in body for body in made) == 1


def test_idempotency_over_http(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "transdev") | {"idempotency-key": "k1"}
    first = client.post(PUSHES, content=world.taps(["A"]), headers=headers)
    again = client.post(PUSHES, content=world.taps(["A"]), headers=headers)
    other = client.post(PUSHES, content=world.taps(["B"]), headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert is_problem(other, 409)


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}])
def test_strangers_are_turned_away(client: TestClient, header: dict[str, str]) -> None:
    assert is_problem(client.post(PUSHES, content=b"x", headers=header), 401)


def test_partners_see_only_their_own(client: TestClient, parts: Parts) -> None:
    transdev = bearer(client, parts, "transdev")
    orange = bearer(client, parts, "orange")
    location = client.post(PUSHES, content=world.taps(["A"]), headers=transdev).headers["location"]
    assert is_problem(client.get(location, headers=orange), 404)
    assert is_problem(client.post(PUSHES, content=b"x", headers=orange), 403)
    assert client.get("/v1/pushes", headers=orange).json() == []
    assert is_problem(client.get("/v1/audit/events", headers=orange), 403)


def test_a_consent_by_http_and_its_end(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "coachco2")
    asked = {
        "reference": "acc-1",
        "purpose": "school-mobility",
        "population": "pupil",
        "given_at": "2025-09-10T08:00:00+02:00",
        "birth_month": "2009-01",
    }
    given = client.post("/v1/consents", json=asked, headers=headers)
    assert given.status_code == 201
    assert "acc-1" not in given.text
    address = f"/v1/consents/{given.json()['id']}"
    worker.drain(parts)
    assert client.get(f"{address}/receipt", headers=headers).status_code == 200
    ended = client.post(f"{address}/withdrawal", headers=headers)
    assert ended.status_code == 202
    worker.drain(parts)
    state = client.get(f"/v1/withdrawals/{ended.json()['id']}", headers=headers).json()
    assert state["state"] == "completed"
    assert is_problem(client.post(f"{address}/withdrawal", headers=headers), 409)
    record = client.get(f"{address}/record", headers=headers)
    assert record.headers["content-type"] == "application/ld+json"
    states = [event["@type"] for event in record.json()["dpv:hasConsentStatus"]]
    assert states == ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"]
    left = f"/v1/consents/{ended.json()['id']}.school-mobility"
    for none in ("", "/record", "/receipt", "/withdrawal"):  # what it left is no consent
        ask = client.post if none == "/withdrawal" else client.get
        assert is_problem(ask(f"{left}{none}", headers=headers), 404)
    no = client.post("/v1/consents", json=asked | {"agreed": False}, headers=headers)
    assert is_problem(no, 422)  # older than the withdrawal
    no = client.post(
        "/v1/consents", json=asked | {"reference": "acc-2", "agreed": False}, headers=headers
    )
    assert no.json()["state"] == "refused"
    refused = f"/v1/consents/{no.json()['id']}"
    assert is_problem(client.post(f"{refused}/withdrawal", headers=headers), 409)
    stranger = bearer(client, parts, "orange")
    for hidden in (address, f"{address}/record"):
        assert is_problem(client.get(hidden, headers=stranger), 404)


def test_a_fault_is_logged_by_its_route_not_by_what_somebody_put_into_the_address(
    client: TestClient, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer(client, parts, "coachco2")
    careful = TestClient(client.app, raise_server_exceptions=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consents, "found", lambda *_: 1 / 0)
        answer = careful.get("/v1/consents/CARD-CANARY/record", headers=headers)
    assert is_problem(answer, 500)
    told = [one.getMessage() for one in caplog.records if one.name == "hub.api"]
    assert len(told) == 1
    assert "/v1/consents/{consent_id}/record" in told[0]
    assert "CANARY" not in told[0]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"purpose": "advertising"}, "unknown-purpose"),
        ({"birth_month": "2012-01"}, "parental-half-missing"),
        ({"given_at": "2999-01-01T00:00:00+00:00"}, "given-in-the-future"),
        ({"reference": ""}, "invalid-request"),
        ({"given_at": "acc-secret"}, "invalid-request"),
    ],
)
def test_a_consent_that_cannot_stand_is_refused_by_name(
    client: TestClient, parts: Parts, change: dict[str, str], where: str
) -> None:
    asked = {
        "reference": "acc-secret",
        "purpose": "school-mobility",
        "population": "pupil",
        "given_at": "2025-09-10T08:00:00+02:00",
        "birth_month": "2009-01",
    }
    answer = client.post(
        "/v1/consents", json=asked | change, headers=bearer(client, parts, "coachco2")
    )
    assert answer.status_code in {403, 422}
    assert answer.json()["code"] in {where, "denied-by-policy"}
    assert "acc-secret" not in answer.text


def test_the_dpo_reads_events_with_a_session_and_others_do_not(
    client: TestClient, parts: Parts
) -> None:
    bearer(client, parts, "region")  # the accounts' organisation
    for login, role in (("dpo", Role.DPO), ("desk", Role.STEWARD)):
        add_user(parts, login, role, "region", "correct horse")
    page = client.get("/login").text
    token = page.split('name="token" value="')[1].split('"')[0]
    signed = client.post(
        "/login",
        data={"login": "dpo", "password": "correct horse", "token": token},
        headers={"origin": "http://testserver"},
        follow_redirects=False,
    )
    assert signed.status_code == 303, signed.text
    events = client.get("/v1/audit/events").json()
    assert "user.authenticated" in {e["event"]["kind"] for e in events}
    assert events[0]["event"]["kind"] == "hub.created"
    parts.sequence()
    proof = client.get("/v1/audit/events/0/proof").json()
    assert proof["index"] == 0
    assert "events.read" in {e["event"]["kind"] for e in client.get("/v1/audit/events").json()}


def test_the_log_is_public_and_bodies_are_not(client: TestClient, parts: Parts) -> None:
    assert is_problem(client.get("/audit/checkpoint"), 503)
    parts.sequence()
    parts.publish()
    assert client.get("/audit/checkpoint").text.startswith(parts.log.signer.name)
    bundle = client.get("/audit/tile/entries/000.p/1")
    assert bundle.status_code == 200
    assert b"hub.created" not in bundle.content
    assert is_problem(client.get("/audit/tile/0/999"), 404)
    assert is_problem(client.get("/v1/audit/events"), 401)


def test_problems_speak_the_readers_language(client: TestClient) -> None:
    french = client.get("/v1/releases/none").json()
    english = client.get("/v1/releases/none", headers={"accept-language": "en-GB"}).json()
    assert french["title"] == "Introuvable"
    assert english["title"] == "Not found"
    assert (
        "text/html"
        in client.get("/nowhere", headers={"accept": "text/html"}).headers["content-type"]
    )


def test_health_and_description(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"books": "ok", "policy": "ok"}
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/oauth/token", "/v1/consents", "/v1/releases", "/audit/checkpoint"} <= set(paths)

"""What an operator does about proofs by the command line, as it is felt over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey
from typer.testing import CliRunner

from hub.application import application
from hub.cli.app import app
from hub.cli.operate import add_partner, add_user
from hub.errors import Conflict, NotFound, Rejected, Unauthenticated
from hub.identity.sessions import Sessions
from hub.parts import Parts
from hub.reconcile import reconcile
from hub.records import Role
from tests.flows import world

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = {"grant_type": "client_credentials"}
Hub = Callable[..., Any]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.founded(tmp_path / "var")
    yield made
    made.books.close()


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), follow_redirects=False)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """Runs a command: the JSON it printed, or the error it raised."""

    def run(*words: str) -> Any:
        env = {"HUB_HOME": str(tmp_path / "var")}
        done = CliRunner().invoke(app, [*words, "--json"], env=env)
        return done.exception if done.exit_code else json.loads(done.stdout)

    return run


def test_a_secret_is_replaced_with_an_overlap_and_revoked_at_once(
    parts: Parts, client: TestClient, hub: Hub
) -> None:
    made, former = add_partner(parts, "transdev")

    def status(secret: str) -> int:
        return client.post("/oauth/token", data=GRANT, auth=(made.id, secret)).status_code

    token = client.post("/oauth/token", data=GRANT, auth=(made.id, former)).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    shown = hub("partner", "rotate", made.id)
    assert (status(shown["client_secret"]), status(former), status("wrong")) == (200, 200, 401)
    assert client.get("/v1/pushes", headers=bearer).status_code == 200
    again = hub("partner", "rotate", made.id, "--days", "0")["client_secret"]
    assert (status(again), status(shown["client_secret"]), status(former)) == (200, 401, 401)
    assert hub("partner", "revoke", made.id)["state"] == "revoked"
    assert status(again) == 401
    refused = client.get("/v1/pushes", headers=bearer)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid-token")
    assert isinstance(hub("partner", "rotate", made.id), NotFound)
    assert isinstance(hub("partner", "revoke", "nobody"), NotFound)
    parts.sequence()
    assert reconcile(parts).problems == []


def test_a_key_is_replaced_with_an_overlap(
    parts: Parts, client: TestClient, hub: Hub, tmp_path: Path
) -> None:
    first, second = ECKey.generate_key(), ECKey.generate_key()
    made, secret = add_partner(parts, "transdev", first.as_dict(private=False))
    assert secret == ""

    def status(key: ECKey) -> int:
        token = private_key_jwt_sign(
            key, made.id, f"{parts.settings.public_url}/oauth/token", alg="ES256"
        )
        form = GRANT | {"client_assertion": token, "client_assertion_type": ASSERTION}
        return client.post("/oauth/token", data=form).status_code

    def file(key: ECKey, *, private: bool = False) -> str:
        path = tmp_path / "key.json"
        path.write_text(json.dumps(key.as_dict(private=private)), "utf-8")
        return str(path)

    assert (status(first), status(second)) == (200, 401)
    assert isinstance(hub("partner", "rotate", made.id), Rejected)
    assert isinstance(
        hub("partner", "rotate", made.id, "--jwk", file(second, private=True)), Rejected
    )
    hub("partner", "rotate", made.id, "--jwk", file(second))
    assert (status(first), status(second)) == (200, 200)
    hub("partner", "rotate", made.id, "--jwk", file(second), "--days", "0")
    assert (status(first), status(second)) == (401, 200)
    hub("partner", "revoke", made.id)
    assert (status(first), status(second)) == (401, 401)
    parts.sequence()
    assert reconcile(parts).problems == []


def test_a_client_moves_from_a_secret_to_a_key_and_stays_who_it_is(
    parts: Parts, client: TestClient, hub: Hub, tmp_path: Path
) -> None:
    made, secret = add_partner(parts, "transdev")

    def by_secret() -> Any:
        return client.post("/oauth/token", data=GRANT, auth=(made.id, secret))

    bearer = {"authorization": f"Bearer {by_secret().json()['access_token']}"}
    assert client.get("/v1/pushes", headers=bearer).status_code == 200
    key, path = ECKey.generate_key(), tmp_path / "key.json"
    path.write_text(json.dumps(key.as_dict(private=False)), "utf-8")
    hub("partner", "rotate", made.id, "--jwk", str(path))
    assert by_secret().status_code == 401
    assert client.get("/v1/pushes", headers=bearer).status_code == 401
    audience = f"{parts.settings.public_url}/oauth/token"
    signed = private_key_jwt_sign(key, made.id, audience, alg="ES256")
    form = GRANT | {"client_assertion": signed, "client_assertion_type": ASSERTION}
    token = client.post("/oauth/token", data=form).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    assert client.get("/v1/pushes", headers=bearer).status_code == 200
    assert isinstance(hub("partner", "rotate", made.id), Rejected)
    kept = parts.books.client(made.id)
    assert kept is not None
    assert (kept.organisation, kept.scopes) == (made.organisation, made.scopes)
    parts.sequence()
    assert reconcile(parts).problems == []


def test_a_client_gives_its_token_back(parts: Parts, client: TestClient) -> None:
    made, secret = add_partner(parts, "transdev")
    other, others = add_partner(parts, "orange")
    token = client.post("/oauth/token", data=GRANT, auth=(made.id, secret)).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    form = {"token": token}
    assert client.post("/oauth/revoke", data=form).status_code == 401
    assert client.post("/oauth/revoke", data=form, auth=(other.id, others)).status_code == 200
    assert client.get("/v1/pushes", headers=bearer).status_code == 200
    given = client.post("/oauth/revoke", data=form, auth=(made.id, secret))
    assert (given.status_code, given.json()) == (200, {})
    assert client.get("/v1/pushes", headers=bearer).status_code == 401


def test_a_password_and_a_lock_end_sessions(parts: Parts, hub: Hub) -> None:
    add_user(parts, "dpo", Role.DPO, "region", "correct horse")
    people = Sessions(parts.books, parts.clock, key=parts.keyring.session_key)
    session = people.login("dpo", "correct horse")
    password = hub("user", "password", "dpo")["password"]
    assert people.who(session) is None
    session = people.login("dpo", password)
    assert hub("user", "lock", "dpo")["state"] == "locked"
    assert people.who(session) is None
    with pytest.raises(Unauthenticated):
        people.login("dpo", password)
    assert hub("user", "lock", "dpo")["state"] == "locked"
    assert hub("user", "unlock", "dpo")["state"] == "open"
    assert people.login("dpo", password)
    assert isinstance(hub("user", "lock", "nobody"), NotFound)
    parts.sequence()
    assert reconcile(parts).problems == []


def test_a_second_factor_from_the_command_to_the_page(
    parts: Parts, client: TestClient, hub: Hub
) -> None:
    add_user(parts, "dpo", Role.DPO, "region", "correct horse")
    app_ = pyotp.parse_uri(hub("user", "totp", "dpo")["address"])
    assert isinstance(app_, pyotp.TOTP)
    assert isinstance(hub("user", "totp", "dpo", "--confirm", "000000"), Rejected)
    assert isinstance(hub("user", "totp", "dpo", "--confirm", "1", "--off"), Rejected)
    # Codes of this half-minute and the next: both hold should the next begin in between.
    now = int(parts.clock().timestamp())
    used, next_ = app_.at(now), app_.at(now + 30)
    assert hub("user", "totp", "dpo", "--confirm", used)["totp"] == "on"
    assert isinstance(hub("user", "totp", "dpo"), Conflict)

    def signs_in(code: str) -> int:
        page = client.get("/login").text
        token = page.split('name="token" value="')[1].split('"')[0]
        form = {"login": "dpo", "password": "correct horse", "code": code, "token": token}
        answer = client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
        return answer.status_code

    assert signs_in("") == 401
    assert signs_in(used) == 401  # it confirmed the factor, and is used up
    assert signs_in(next_) == 303
    assert hub("user", "totp", "dpo", "--off")["totp"] == "off"
    written = b"".join(event.body for event in parts.books.events())
    assert app_.secret.encode() not in written
    parts.sequence()
    assert reconcile(parts).problems == []

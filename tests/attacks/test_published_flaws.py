"""Flaws others published, over HTTP: each kept from coming back here.

Those of logins, secrets and tokens are in `tests/identity/test_published_flaws.py`.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient

from hub import agreements
from hub.application import application
from hub.cli.operate import add_partner, add_user
from hub.events import AuditEvent, Kind
from hub.identity.sessions import Sessions
from hub.parts import OPERATOR, Parts
from hub.records import Role
from tests.attacks.places import TERMS
from tests.flows import world
from tests.flows.test_http import PUSHES, bearer, is_problem
from tests.listening import listening

GRANT = {"grant_type": "client_credentials"}
PAGES = ("/", "/login", "/map", "/indicators", "/partner", "/catalog", "/my-consent", "/trust")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.founded(tmp_path / "var")
    yield made
    made.books.close()


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), raise_server_exceptions=False, follow_redirects=False)


def test_an_updated_client_keeps_no_token_of_its_former_scopes(
    client: TestClient, parts: Parts
) -> None:
    made, secret = add_partner(parts, "transdev")
    token = client.post("/oauth/token", data=GRANT, auth=(made.id, secret)).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    assert client.get("/v1/pushes", headers=headers).status_code == 200
    fewer = replace(made, scopes=("consent",))
    event = AuditEvent(Kind.CLIENT_CHANGED, "hub", made.id, parts.clock())
    parts.books.change_client(fewer, event=event)
    assert is_problem(client.get("/v1/pushes", headers=headers), 401)
    asked = client.post("/oauth/token", data=GRANT | {"scope": "push"}, auth=(made.id, secret))
    assert (asked.status_code, asked.json()["error"]) == (400, "invalid_scope")
    given = client.post("/oauth/token", data=GRANT, auth=(made.id, secret)).json()
    assert given["scope"] == "consent"
    headers = {"authorization": f"Bearer {given['access_token']}"}
    assert is_problem(client.post(PUSHES, content=b"x", headers=headers), 403)


def test_a_duplicate_of_anothers_request_is_asked_who_it_is(
    client: TestClient, parts: Parts
) -> None:
    headers = bearer(client, parts, "transdev") | {"idempotency-key": "k1"}
    stranger = bearer(client, parts, "orange") | {"idempotency-key": "k1"}
    body = world.taps(["A"])
    first = client.post(PUSHES, content=body, headers=headers)
    assert first.status_code == 202
    assert is_problem(client.post(PUSHES, content=body, headers=stranger), 403)
    assert is_problem(client.post(PUSHES, content=body, headers={"idempotency-key": "k1"}), 401)
    again = client.post(PUSHES, content=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_sibling_site_does_nothing_with_our_cookie(
    client: TestClient, parts: Parts, site: str
) -> None:
    add_partner(parts, "transdev")
    add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
    made = agreements.propose(parts, OPERATOR, TERMS)
    cookie = Sessions(parts.books, parts.clock).login("desk", "correct horse")
    client.cookies.set("hub-session", cookie)
    address = f"/v1/agreements/{made.number}/signature"
    assert is_problem(client.post(address, headers={"sec-fetch-site": site}), 403)
    assert parts.books.agreement_version(made.number).signatures == {}
    assert client.post(address, headers={"sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("typed", ["{{ 7 * 191 }}", "${7*191}", "{% print(7*191) %}", "<b>x</b>"])
def test_what_is_typed_is_no_template_and_no_markup(client: TestClient, typed: str) -> None:
    for page in ("/indicators", "/map", "/catalog"):
        answer = client.get(page, params={"q": typed})
        assert answer.status_code == 200
        assert "1337" not in answer.text
        assert "<b>x</b>" not in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_no_page_holds_a_script_or_a_style_of_its_own(client: TestClient, page: str) -> None:
    answer = client.get(page, headers={"accept": "text/html"})
    scripts = re.findall(r"<script\b([^>]*)>([^<]*)", answer.text)
    assert all("src=" in attributes and not body.strip() for attributes, body in scripts)
    assert not re.search(r"<[^>]+\son[a-z]+\s*=|<style|\sstyle=|javascript:", answer.text)
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_large_headers_are_refused_and_said_by_code(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "transdev")
    for name, size in (("idempotency-key", 201), ("hub-reference", 1001)):
        answer = client.post(PUSHES, content=b"x", headers=headers | {name: "k" * size})
        assert is_problem(answer, 422)
        assert "kkk" not in answer.text
    long = client.get("/v1/pushes", headers={"authorization": "Bearer " + "x" * 60_000})
    assert is_problem(long, 401)


def test_headers_without_end_are_cut_off(parts: Parts) -> None:
    with listening(application(parts)) as address:
        at = urlsplit(address)
        with socket.create_connection((at.hostname, at.port), timeout=20) as line:
            answer = b"cut off"
            with suppress(OSError):  # cut off while it still sends
                line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ")
                for _ in range(64):
                    line.sendall(b"x" * 65_536)
                answer = line.recv(100)
            assert answer == b"cut off" or answer.startswith(b"HTTP/1.1 400")
        assert httpx2.get(f"{address}/healthz").status_code == 200


def test_no_secret_is_in_any_log_or_event(
    client: TestClient, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made, secret = add_partner(parts, "transdev")
    add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
    token = client.post("/oauth/token", data=GRANT, auth=(made.id, secret)).json()["access_token"]
    client.post("/oauth/token", data=GRANT, auth=(made.id, "wrong-secret"))
    client.get("/v1/pushes", headers={"authorization": f"Bearer {token}"})
    client.post("/oauth/revoke", data={"token": token}, auth=(made.id, secret))
    session = Sessions(parts.books, parts.clock).login("desk", "correct horse")
    client.cookies.set("hub-session", session)
    client.get("/v1/agreements")
    told = caplog.text + b"".join(event.body for event in parts.books.events()).decode()
    for hidden in (secret, token, session, "wrong-secret", "correct horse"):
        assert hidden not in told

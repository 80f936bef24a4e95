"""Signing in through Keycloak, set up as `deploy/identity.md` says, and out again on both sides."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx2
import pytest
from fastapi.testclient import TestClient

from hub.application import application
from hub.cli.doctor import examine
from hub.records import Role
from tests.flows.served import free_port
from tests.flows.test_openid import HUB, PAGE, Make, browser, entered, form_token, kinds, make
from tests.identity.providers import CLIENT, Keycloak, keycloak, signed_in
from tests.listening import listening

__all__ = ["make"]


@pytest.fixture
def provider() -> Keycloak:
    return keycloak()


def test_every_role_comes_in_as_itself(make: Make, provider: Keycloak) -> None:
    parts = make(provider.issuer)
    assert {one.part: one.state for one in examine(parts.settings)}["identity"] == "ok"
    for role in Role:
        assert entered(browser(parts), str(role)).status_code == 200
    found = {str(one.role): one.organisation for one in parts.books.accounts()}
    assert found == {
        "operator": "hub", "steward": "region", "dpo": "region", "auditor": "cnil",
        "partner": "transdev", "collectivity": "orleans", "school": "0450040H",
    }  # fmt: skip
    for nobody in ("visitor", "homeless"):
        assert entered(browser(parts), nobody).status_code == 403


def test_another_key_signs_while_the_hub_goes_on(make: Make, provider: Keycloak) -> None:
    app = application(make(provider.issuer))
    for _ in range(2):
        client = TestClient(app, headers=PAGE, follow_redirects=False)
        assert entered(client, "steward").status_code == 200
        provider.rotate()


def test_signing_out_here_signs_out_there(make: Make, provider: Keycloak) -> None:
    parts = make(provider.issuer)
    client = browser(parts)
    assert entered(client, "dpo").status_code == 200
    left = client.post("/logout", data={"token": form_token(client.get("/").text)})
    [after] = re.findall(r'url=([^"]+)"', left.text)
    answer = httpx2.get(after.replace("&amp;", "&"))
    # It believed the ID token it had signed: it asks nothing, and sends the person back.
    assert (answer.status_code, answer.headers["location"]) == (302, f"{HUB}/")
    assert client.get("/dpo").status_code == 303


def test_signing_out_there_ends_the_session_here(make: Make, provider: Keycloak) -> None:
    port = free_port()
    hub = f"http://127.0.0.1:{port}"
    [client] = provider.administer("GET", f"clients?clientId={CLIENT}")
    told = {
        "redirectUris": [*client["redirectUris"], f"{hub}/login/callback"],
        "attributes": {**client["attributes"], "backchannel.logout.url": f"{hub}/login/ended"},
    }
    provider.administer("PUT", f"clients/{client['id']}", client | told)
    [person] = provider.administer("GET", "users?username=dpo&exact=true")
    provider.administer("POST", f"users/{person['id']}/logout")  # of what other tests have left
    parts = make(provider.issuer, public_url=hub)
    try:
        with (
            listening(application(parts), port),
            httpx2.Client(base_url=hub, headers=PAGE) as here,
        ):
            begun = here.get("/login/openid")
            answer = signed_in(begun.headers["location"], "dpo", f"{hub}/login/callback")
            assert here.get("/login/callback", params=answer).status_code == 200
            assert here.get("/dpo").status_code == 200
            until(lambda: provider.administer("GET", f"users/{person['id']}/sessions"))
            provider.administer("POST", f"users/{person['id']}/logout")
            assert here.get("/dpo").status_code == 303, "Keycloak told the hub"
    finally:
        provider.administer("PUT", f"clients/{client['id']}", client)
    assert kinds(parts) == ["user.authenticated", "user.left"]


def until(there: Callable[[], object]) -> None:
    """Keycloak writes a session down a moment after the person has come in."""
    for _ in range(200):
        if there():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")

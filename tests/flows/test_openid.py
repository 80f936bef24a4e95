"""Signing in through a real OpenID provider, as a browser does, and out again on both sides."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx2
import msgspec
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from hub.application import application
from hub.cli.app import app as command
from hub.cli.doctor import examine
from hub.cli.operate import add_user
from hub.errors import Rejected
from hub.events import Kind
from hub.main import compose
from hub.parts import Parts
from hub.reconcile import reconcile
from hub.records import Role
from hub.settings import Settings
from tests.flows.served import free_port
from tests.identity.providers import CLIENT, SECRET, Real, real, signed_in
from tests.listening import listening
from tests.web.html import Page

HUB: Final = "http://testserver"
BACK: Final = f"{HUB}/login/callback"
PAGE: Final = {"accept": "text/html", "accept-language": "fr"}
Make = Callable[..., Parts]


@pytest.fixture(scope="module")
def provider() -> Iterator[Real]:
    with real(HUB) as running:
        yield running


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a hub whose people come from a provider."""
    made: list[Parts] = []

    def make_(issuer: str, **settings: Any) -> Parts:
        about = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET, "public_url": HUB}
        home = tmp_path / "var"
        said = Settings(home=home, oidc_issuer=issuer, **{**about, **settings})
        made.append(compose(said, opens=True))
        return made[-1]

    yield make_
    for parts in made:
        parts.books.close()


def browser(parts: Parts) -> TestClient:
    return TestClient(
        application(parts), headers=PAGE, follow_redirects=False, raise_server_exceptions=False
    )


def entered(client: TestClient, person: str) -> httpx2.Response:
    """The answer to who comes back from the provider."""
    begun = client.get("/login/openid")
    assert begun.status_code == 303, begun.text
    return client.get(BACK, params=signed_in(begun.headers["location"], person, BACK))


def form_token(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


def kinds(parts: Parts) -> list[str]:
    told = [msgspec.json.decode(event.body)["kind"] for event in parts.books.events()]
    return [kind for kind in told if kind.startswith("user.")]


def test_in_through_the_provider_and_out_on_both_sides(
    make: Make, provider: Real, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    parts = make(provider.issuer)
    client = browser(parts)
    assert 'href="/login/openid"' in client.get("/login").text
    begun = client.get("/login/openid")
    assert begun.headers["cache-control"] == "no-store"
    assert begun.headers["location"].startswith(f"{provider.issuer}/auth?")
    [cookie] = begun.headers.get_list("set-cookie")
    assert re.search(r"^hub-login=.*HttpOnly; Max-Age=600; Path=/; SameSite=lax", cookie)
    answer = signed_in(begun.headers["location"], "dpo", BACK)
    back = client.get(BACK, params=answer)
    assert back.status_code == 200
    # A page, not a redirect: a cookie that is Strict does not come along with one from elsewhere.
    assert '<meta http-equiv="refresh" content="0;url=/">' in back.text
    cookies = {one.split("=")[0]: one for one in back.headers.get_list("set-cookie")}
    assert "SameSite=strict" in cookies["hub-session"]
    assert "HttpOnly" in cookies["hub-session"]
    assert "Max-Age=0" in cookies["hub-login"]
    assert client.get("/dpo").status_code == 200
    [account] = parts.books.accounts()
    assert (account.role, account.organisation) == (Role.DPO, "region")

    session = client.cookies["hub-session"]
    home = client.get("/").text
    assert account.login not in home, "a digest is nobody's name"
    left = client.post("/logout", data={"token": form_token(home)})
    assert left.status_code == 200
    [after] = re.findall(r'url=([^"]+)"', left.text)
    assert after.startswith(f"{provider.issuer}/session/end?client_id=hub")
    assert "id_token_hint=ey" in after
    client.cookies.set("hub-session", session)
    assert client.get("/dpo").status_code == 303
    assert kinds(parts) == ["user.authenticated", "user.left"]
    # Clients of HTTP log too, but the person's browser is of this process: `test_remote` has them.
    ours = ("hub", "authlib", "uvicorn", "fastapi")
    told = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith(ours))
    told += b"".join(event.body for event in parts.books.events()).decode()
    for hidden in (answer["code"], answer["state"], SECRET, session, "hub-dpo"):
        assert hidden not in told
    parts.sequence()
    assert reconcile(parts).problems == []


def test_every_role_comes_in_as_itself(make: Make, provider: Real) -> None:
    parts = make(provider.issuer)
    for role in Role:
        assert entered(browser(parts), str(role)).status_code == 200
    found = {str(one.role): one.organisation for one in parts.books.accounts()}
    assert found == {
        "operator": "hub",
        "steward": "region",
        "dpo": "region",
        "auditor": "cnil",
        "partner": "transdev",
        "collectivity": "orleans",
        "school": "0450040H",
    }


@pytest.mark.parametrize("person", ["visitor", "homeless"])
def test_who_has_no_role_is_told_whom_to_ask(make: Make, provider: Real, person: str) -> None:
    parts = make(provider.issuer)
    client = browser(parts)
    answer = entered(client, person)
    assert answer.status_code == 403
    assert "aucun rôle" in Page(answer.text).text
    assert "hub-session" not in client.cookies
    assert parts.books.accounts() == []
    assert kinds(parts) == ["user.refused"]


def test_an_answer_is_of_use_once_and_in_one_browser(make: Make, provider: Real) -> None:
    parts = make(provider.issuer)
    client, other = browser(parts), browser(parts)
    begun = client.get("/login/openid")
    kept = client.cookies["hub-login"]
    answer = signed_in(begun.headers["location"], "dpo", BACK)
    other.get("/login/openid")
    stolen = other.get(BACK, params=answer)
    assert stolen.status_code == 401
    assert "n’a pas commencé dans ce navigateur" in Page(stolen.text).text
    assert client.get(BACK, params=answer).status_code == 200
    client.cookies.clear()
    client.cookies.set("hub-login", kept)
    replayed = client.get(BACK, params=answer)
    assert replayed.status_code == 401
    assert "hub-session" not in replayed.headers.get("set-cookie", "")
    assert client.get(BACK).status_code == 401
    assert client.get(BACK, params={"error": "access_denied", "state": "x"}).status_code == 401


def test_keys_change_while_people_sign_in(make: Make, provider: Real) -> None:
    parts = make(provider.issuer)
    app = application(parts)
    for _ in range(2):
        client = TestClient(app, headers=PAGE, follow_redirects=False)
        assert entered(client, "steward").status_code == 200
        provider.rotate()


def test_a_provider_that_is_away_is_told_and_sessions_go_on(make: Make) -> None:
    with real(HUB) as running:
        parts = make(running.issuer)
        add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
        client = browser(parts)
        assert entered(client, "dpo").status_code == 200
        running.stop()
        other = browser(parts)
        away = other.get("/login/openid")
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        assert "son exploitant" in Page(away.text).text
        assert client.get("/dpo").status_code == 200, "who is in stays in"
        token = form_token(other.get("/login").text)
        form = {"login": "desk", "password": "correct horse", "token": token}
        assert other.post("/login", data=form).status_code == 303, "local accounts go on"
        found = {one.part: one for one in examine(parts.settings)}
        assert (found["identity"].state, found["identity"].who) == (
            "provider-unreachable",
            "operator",
        )
        left = client.post("/logout", data={"token": form_token(client.get("/").text)})
        assert left.status_code in {200, 303}
        assert client.get("/dpo").status_code == 303, "one signs out here, whoever is away"
        running.start()
        assert entered(browser(parts), "dpo").status_code == 200
        assert {one.part: one.state for one in examine(parts.settings)}["identity"] == "ok"


def test_passwords_can_be_switched_off(make: Make, provider: Real, tmp_path: Path) -> None:
    parts = make(provider.issuer, local_login=False)
    add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
    client = browser(parts)
    page = client.get("/login").text
    assert 'name="password"' not in page
    token = form_token(client.get("/my-consent").text)
    form = {"login": "desk", "password": "correct horse", "token": token}
    refused = client.post("/login", data=form)
    assert refused.status_code == 403
    assert "fournisseur d’identité" in Page(refused.text).text
    with pytest.raises(Rejected) as raised:
        application(make("", local_login=False))
    assert (raised.value.code, raised.value.who) == ("no-way-in", "operator")


def test_signing_out_at_the_provider_ends_the_session_here(make: Make) -> None:
    port = free_port()
    hub = f"http://127.0.0.1:{port}"
    with real(hub) as running:
        parts = make(running.issuer, public_url=hub)
        with (
            listening(application(parts), port),
            httpx2.Client() as there,
            httpx2.Client(base_url=hub, headers=PAGE) as here,
        ):
            begun = here.get("/login/openid")
            answer = signed_in(begun.headers["location"], "dpo", f"{hub}/login/callback", there)
            assert here.get("/login/callback", params=answer).status_code == 200
            assert here.get("/dpo").status_code == 200
            page = there.get(f"{running.issuer}/session/end")
            action = re.search(r'action="([^"]+)"', page.text)
            secret = re.search(r'name="xsrf" value="([^"]+)"', page.text)
            assert action
            assert secret
            form = {"xsrf": secret[1], "logout": "yes"}
            there.post(urljoin(str(page.url), action[1]), data=form)
            assert here.get("/dpo").status_code == 303, "the provider told the hub"
        assert kinds(parts) == ["user.authenticated", "user.left"]
        forged = browser(parts).post("/login/ended", data={"logout_token": "a.b.c"})
        assert (forged.status_code, forged.json()["error"]) == (400, "invalid_request")


def test_an_operator_keeps_somebody_out(make: Make, provider: Real, tmp_path: Path) -> None:
    parts = make(provider.issuer)
    client = browser(parts)
    assert entered(client, "dpo").status_code == 200
    [account] = parts.books.accounts()

    def hub(*words: str) -> Any:
        env = {"HUB_HOME": str(tmp_path / "var")}
        done = CliRunner().invoke(command, ["user", *words, account.login, "--json"], env=env)
        return done.exception or msgspec.json.decode(done.stdout)

    assert isinstance(hub("password"), Rejected)
    assert isinstance(hub("totp"), Rejected)
    assert hub("lock")["state"] == "locked"
    assert client.get("/dpo").status_code == 303
    assert entered(browser(parts), "dpo").status_code == 401
    assert hub("unlock")["state"] == "open"
    assert entered(browser(parts), "dpo").status_code == 200
    assert Kind.USER_REFUSED in kinds(parts)

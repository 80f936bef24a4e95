"""Signing in and out: only from our own form, with words when it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from hub.identity.people import MemoryPeople
from hub.web.pages import site
from tests.web import published
from tests.web.html import Page

GOOD = {"login": "dpo", "password": "correct horse"}
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def people() -> MemoryPeople:
    return published.some_people()


@pytest.fixture
def client(people: MemoryPeople) -> Iterator[TestClient]:
    with TestClient(
        published.application(people=people),
        headers={"accept": "text/html", "accept-language": "fr"},
        follow_redirects=False,
    ) as client:
        yield client


def token(client: TestClient, address: str = "/login") -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', client.get(address).text)
    assert found
    return found[1]


def test_in_and_out(client: TestClient, people: MemoryPeople) -> None:
    answer = client.post("/login", data=GOOD | {"token": token(client)}, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookies = answer.headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("hub-session="))
    assert "HttpOnly" in session
    assert "samesite=strict" in session.lower()
    assert len(people.begun) == 1
    home = client.get("/")
    assert "Se déconnecter" in home.text
    assert home.headers["cache-control"] == "no-store"
    assert client.get("/login").status_code == 303
    assert client.post("/logout", data={"token": token(client, "/")}).status_code == 303
    assert people.begun == {}
    assert "Se connecter" in client.get("/").text


def test_in_leads_to_the_page_that_was_wanted_once(client: TestClient) -> None:
    wanted = "/partner/pushes/p2?lang=fr"
    assert client.get(wanted).headers["location"] == "/login"
    answer = client.post("/login", data=GOOD | {"token": token(client)}, headers=SAME)
    assert answer.headers["location"] == "/partner/pushes/p2"
    client.post("/logout", data={"token": token(client, "/")})
    answer = client.post("/login", data=GOOD | {"token": token(client)}, headers=SAME)
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/a\r\nx: y",
        "/\t/evil",
        "x",
        "é",
    ],
)
def test_in_leads_to_no_other_site_whatever_the_cookie_says(
    client: TestClient, address: str
) -> None:
    sent = GOOD | {"token": token(client)}
    client.cookies.set("hub-wanted", quote(address))
    assert client.post("/login", data=sent, headers=SAME).headers["location"] == "/"


def test_the_address_is_told_to_the_gate(client: TestClient, people: MemoryPeople) -> None:
    client.post("/login", data=GOOD | {"token": token(client)})
    assert [facts and facts.address for facts in people.asked] == ["testclient"]


def test_a_wrong_password_is_said_and_never_repeated(client: TestClient) -> None:
    sent = {"login": 'd"><b>', "password": "s3cret-typed", "token": token(client)}
    answer = client.post("/login", data=sent)
    assert answer.status_code == 401
    read = Page(answer.text)
    assert "Identifiant ou mot de passe incorrect." in read.text
    assert "s3cret-typed" not in answer.text
    assert {"value": 'd"><b>'}.items() <= next(
        field.items() for field in read.all("input") if field.get("name") == "login"
    )
    english = client.post("/login?lang=en", data=sent)
    assert "Wrong user name or password." in english.text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"content-type": "text/plain"},
    ],
)
def test_a_form_from_elsewhere_is_refused(
    client: TestClient, people: MemoryPeople, headers: dict[str, str]
) -> None:
    answer = client.post("/login", data=GOOD | {"token": token(client)}, headers=headers)
    assert answer.status_code == 403
    assert people.asked == []


@pytest.mark.parametrize("sent", ["", "0" * 64, "é"])
def test_a_form_without_its_token_is_refused(
    client: TestClient, people: MemoryPeople, sent: str
) -> None:
    token(client)
    assert client.post("/login", data=GOOD | {"token": sent}).status_code == 403
    assert people.asked == []


def test_a_token_belongs_to_one_browser(client: TestClient, people: MemoryPeople) -> None:
    other = TestClient(published.application(people=people))
    stolen = token(other)
    token(client)
    assert client.post("/login", data=GOOD | {"token": stolen}).status_code == 403
    client.cookies.clear()
    assert client.post("/login", data=GOOD | {"token": stolen}).status_code == 403


def test_logging_out_needs_the_form_too(client: TestClient, people: MemoryPeople) -> None:
    client.post("/login", data=GOOD | {"token": token(client)})
    assert client.post("/logout", data={"token": "0" * 64}).status_code == 403
    assert client.get("/logout").status_code == 405 or len(people.begun) == 1
    assert len(people.begun) == 1


def test_a_large_or_broken_form_is_refused(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=b"login=" + b"a" * 9000, headers=form).status_code == 413
    assert client.post("/login", content=b"\xff\xfe", headers=form).status_code == 422
    assert client.post("/login", content="&".join(["a=b"] * 99), headers=form).status_code == 422


def test_behind_https_cookies_are_bound_to_the_host(people: MemoryPeople) -> None:
    secure = site(published.full_shelf(), people, secure=True)
    assert secure.session_cookie.startswith("__Host-")
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(secure.router)
    cookie = TestClient(app, base_url="https://hub.example").get("/login").headers["set-cookie"]
    assert cookie.startswith("__Host-hub-form=")
    assert "; Secure" in cookie
    assert "Path=/" in cookie

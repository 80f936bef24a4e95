"""Flaws others published, each kept from coming back here."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from hub.errors import Rejected, Unauthenticated
from hub.events import Kind
from hub.identity import passwords, tokens, totp
from hub.identity.limits import SPREAD
from hub.identity.oauth import TokenServer
from hub.identity.own import Own
from hub.identity.people import RequestFacts
from hub.identity.sessions import LOCKED, Sessions
from hub.records import Account, Role
from tests.hashing import QUICK
from tests.identity import helpers
from tests.identity.helpers import NOW, MemoryBooks

DPO = Account("acc-1", "dpo@region.test", "region", Role.DPO, QUICK.hash("pass"))
CHOSEN = "correct horse battery"


@dataclass
class Clock:
    now = NOW

    def __call__(self):  # type: ignore[no-untyped-def]
        return self.now


@pytest.fixture
def books() -> MemoryBooks:
    books = MemoryBooks()
    books.people[DPO.login] = DPO
    return books


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(books: MemoryBooks, clock: Clock) -> Sessions:
    return Sessions(books, clock, key=b"k" * 32)


@pytest.fixture
def own(books: MemoryBooks, clock: Clock) -> Own:
    return Own(books, clock, issuer="Hub", key=b"k" * 32)


def refused(people: Sessions, login: str, password: str, address: str) -> bool:
    try:
        people.login(login, password, RequestFacts(address))
    except Unauthenticated:
        return True
    return False


def test_sessions_do_not_survive_a_password_change(
    people: Sessions, own: Own, books: MemoryBooks
) -> None:
    here, stolen = people.login(DPO.login, "pass"), people.login(DPO.login, "pass")
    own.change_password(here, "pass", CHOSEN)
    assert people.who(stolen) is None
    assert people.who(here) is not None
    assert refused(people, DPO.login, "pass", "")
    assert people.login(DPO.login, CHOSEN)
    changed = [event for event in books.recorded if event.kind is Kind.USER_CHANGED]
    assert [event.facts for event in changed] == [{"change": "password"}]


def test_a_stolen_session_does_not_change_the_password(
    people: Sessions, own: Own, books: MemoryBooks
) -> None:
    stolen = people.login(DPO.login, "pass")
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            own.change_password(stolen, "guess", CHOSEN)
    with pytest.raises(Unauthenticated):  # ten guesses, and even the right one waits
        own.change_password(stolen, "pass", CHOSEN)
    with pytest.raises(Unauthenticated):
        own.change_password("no session", "pass", CHOSEN)
    assert books.people[DPO.login] == DPO


def test_a_short_password_is_not_taken(people: Sessions, own: Own, books: MemoryBooks) -> None:
    here = people.login(DPO.login, "pass")
    with pytest.raises(Rejected, match="12"):
        own.change_password(here, "pass", "elevensigns")
    assert books.people[DPO.login] == DPO


def test_guessing_from_everywhere_meets_the_accounts_limit(people: Sessions, clock: Clock) -> None:
    assert not refused(people, DPO.login, "pass", "192.0.2.1")
    for number in range(SPREAD):
        assert refused(people, DPO.login, "guess", f"198.51.100.{number}")
    # An attacker's next address finds the right password refused; the person's own does not.
    assert refused(people, DPO.login, "pass", "203.0.113.9")
    assert not refused(people, DPO.login, "pass", "192.0.2.1")
    clock.now += timedelta(minutes=15)
    assert not refused(people, DPO.login, "pass", "203.0.113.9")


def test_an_attack_that_goes_on_keeps_nobody_out_for_longer(people: Sessions, clock: Clock) -> None:
    for number in range(3 * SPREAD):
        assert refused(people, DPO.login, "guess", f"198.51.{number // 250}.{number % 250}")
    clock.now += timedelta(minutes=15)
    assert not refused(people, DPO.login, "pass", "203.0.113.9")


def test_one_password_tried_on_every_account_meets_the_addresss_limit(people: Sessions) -> None:
    for number in range(SPREAD):
        assert refused(people, f"somebody-{number}", "Spring2026", "198.51.100.1")
    assert refused(people, DPO.login, "pass", "198.51.100.1")
    assert not refused(people, DPO.login, "pass", "198.51.100.2")


@pytest.mark.parametrize("who", ["unknown", "wrong", "locked", "no code", "limited"])
def test_a_refused_login_costs_the_same_whoever_it_is(
    people: Sessions, books: MemoryBooks, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Calls, not seconds: what is measured on a busy machine is the machine."""
    if who == "locked":
        books.people[DPO.login] = replace(DPO, password_hash=LOCKED + DPO.password_hash)
    if who == "no code":
        factors = totp.Factors(books, b"k" * 32)
        factors.begin(DPO, "Hub", NOW)
        books.factors[DPO.id] = replace(books.factors[DPO.id], confirmed=True)
    if who == "limited":
        for _ in range(10):
            refused(people, DPO.login, "guess", "192.0.2.1")
    passwords.verify(None, "warm")
    done: list[str] = []
    verify, generate = type(QUICK).verify, pyotp.TOTP.generate_otp

    def counted_verify(self, *asked):  # type: ignore[no-untyped-def]
        done.append("argon2")
        return verify(self, *asked)

    def counted_code(self, step):  # type: ignore[no-untyped-def]
        done.append("code")
        return generate(self, step)

    monkeypatch.setattr(type(QUICK), "verify", counted_verify)
    monkeypatch.setattr(pyotp.TOTP, "generate_otp", counted_code)
    login = "ghost" if who == "unknown" else DPO.login
    password = "guess" if who == "wrong" else "pass"
    assert refused(people, login, password, "192.0.2.1")
    assert done == ["argon2", "code", "code", "code"]


def test_a_locked_account_is_told_from_no_other(people: Sessions, books: MemoryBooks) -> None:
    books.people[DPO.login] = replace(DPO, password_hash=LOCKED + DPO.password_hash)
    answers = []
    for login in (DPO.login, "ghost"):
        with pytest.raises(Unauthenticated) as caught:
            people.login(login, "pass")
        answers.append(caught.value.problem("fr"))
    assert answers[0] == answers[1]
    assert tokens.digest("x") not in books.begun


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def test_a_replaced_secret_holds_until_its_day_and_a_wrong_one_costs_the_same(
    books: MemoryBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.clients["transdev-1"] = helpers.client(secret_hash=QUICK.hash("new"))
    books.former["transdev-1"] = (QUICK.hash("former"), NOW + timedelta(days=7))
    server = TokenServer(books, helpers.ENDPOINT)
    form = {"grant_type": "client_credentials"}

    def status(secret: str, now: datetime = NOW, client: str = "transdev-1") -> int:
        return server.issue(form, basic(client, secret), now).status

    assert (status("new"), status("former")) == (200, 200)
    assert status("former", NOW + timedelta(days=7)) == 401
    verified: list[bool] = []
    verify = passwords.verify

    def counted(hashed: str | None, password: str) -> bool:
        verified.append(True)
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counted)
    for client in ("transdev-1", "nobody"):
        verified.clear()
        assert status("wrong", client=client) == 401
        assert len(verified) == 2


def test_a_replaced_key_holds_until_its_day_beside_the_new_one(books: MemoryBooks) -> None:
    former, present, other = (ECKey.generate_key() for _ in range(3))
    rsa = RSAKey.generate_key(2048)
    known = helpers.client(secret_hash=None, public_jwk=present.as_dict(private=False))
    books.clients["transdev-1"] = known
    until = NOW + timedelta(days=7)
    server = TokenServer(books, helpers.ENDPOINT)

    def status(key: Key, alg: str = "ES256", now: datetime = NOW) -> int:
        said: dict[str, Any] = {"iss": "transdev-1", "sub": "transdev-1", "aud": helpers.ENDPOINT}
        said |= {"exp": int(now.timestamp()) + 60, "jti": secrets.token_hex(8)}
        token = jwt.encode({"alg": alg}, said, key, algorithms=[alg])
        form = {"grant_type": "client_credentials", "client_assertion": token}
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return server.issue(form, None, now).status

    assert (status(present), status(former)) == (200, 401)
    books.former_jwk["transdev-1"] = (former.as_dict(private=False), until)
    assert (status(present), status(former), status(other)) == (200, 200, 401)
    assert status(former, now=until) == 401
    books.former_jwk["transdev-1"] = (rsa.as_dict(private=False), until)  # of another kind
    assert (status(present), status(rsa, "RS256"), status(rsa, "PS256")) == (200, 200, 200)
    # What was revoked has no key, whatever it had before.
    books.clients["transdev-1"] = replace(known, public_jwk=None)
    assert (status(present), status(rsa, "RS256")) == (401, 401)


def test_a_token_given_back_is_over_and_only_its_own_client_gives_it(books: MemoryBooks) -> None:
    books.clients |= {
        "transdev-1": helpers.client(),
        "orange-1": helpers.client(id="orange-1", organisation="orange"),
    }
    server = TokenServer(books, helpers.ENDPOINT)
    mine, theirs = basic("transdev-1", "s3cret"), basic("orange-1", "s3cret")
    token = server.issue({"grant_type": "client_credentials"}, mine, NOW).body["access_token"]
    bearer = f"Bearer {token}"
    assert server.revoke({"token": token}, theirs, NOW).status == 200
    assert server.revoke({"token": token}, basic("transdev-1", "wrong"), NOW).status == 401
    assert server.revoke({"token": token}, None, NOW).status == 401
    assert server.revoke({}, mine, NOW).status == 400
    assert server.check(bearer, NOW)
    for _ in range(2):
        assert server.revoke({"token": token}, mine, NOW).status == 200
    with pytest.raises(Unauthenticated):
        server.check(bearer, NOW)
    [event] = [one for one in books.recorded if one.kind is Kind.TOKEN_REVOKED]
    assert (event.actor, event.about) == ("transdev", "transdev-1")
    assert token not in b"".join(one.canonical() for one in books.recorded).decode()

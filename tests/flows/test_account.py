"""A person's own account, as their browser shows it: password, second factor, sessions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import msgspec
import pyotp
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from hub import clients, worker
from hub.application import application
from hub.cli.operate import add_partner, add_user
from hub.errors import Denied
from hub.identity.limits import FAILURES, WINDOW
from hub.identity.people import LIFETIME
from hub.main import compose
from hub.parts import Actor, Parts
from hub.reconcile import reconcile
from hub.records import Role
from tests.flows import world
from tests.web.html import Page

FIRST = "correct horse"
CHOSEN = "battery staple battery"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.founded(tmp_path / "var")
    add_user(made, "desk", Role.STEWARD, "region", FIRST)
    yield made
    made.books.close()


class Browser:
    """A person's browser, in French."""

    def __init__(self, parts: Parts) -> None:
        self.client = TestClient(
            application(parts),
            headers={"accept": "text/html", "accept-language": "fr"},
            follow_redirects=False,
        )

    def sent(self, path: str, **fields: str) -> httpx2.Response:
        """The answer to a form of that page."""
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.client.get(path).text)
        assert found
        return self.client.post(path, data=fields | {"token": found[1]})

    def signs_in(self, password: str = FIRST, code: str = "") -> int:
        return self.sent("/login", login="desk", password=password, code=code).status_code

    def acts(self, act: str, **fields: str) -> httpx2.Response:
        return self.sent("/account", act=act, **fields)

    def text(self, path: str = "/account") -> str:
        return Page(self.client.get(path).text).text

    def inside(self) -> bool:
        return self.client.get("/account").status_code == 200


def changes(parts: Parts) -> list[str]:
    """What the log says was done, in a word each."""
    told = [msgspec.json.decode(event.body) for event in parts.books.events()]
    return [
        body["facts"].get("change", body["kind"])
        for body in told
        if body["kind"] in {"user.changed", "user.left"}
    ]


def test_guesses_count_for_every_process_until_the_worker_forgets_them(parts: Parts) -> None:
    for _ in range(FAILURES):
        assert Browser(parts).signs_in("a guess") == 401
    second = compose(parts.settings, opens=False)
    assert Browser(second).signs_in() == 401, "in another process, too"
    second.books.close()
    later = parts.clock() + WINDOW
    assert Browser(replace(parts, clock=lambda: later)).signs_in() == 303
    worker.tidy(parts, later + LIFETIME)
    assert parts.books.forget_expired(later + LIFETIME) == 0, "the session went, too"
    parts.sequence()
    assert reconcile(parts).problems == []


def test_nobody_is_shown_the_door(parts: Parts) -> None:
    answer = Browser(parts).client.get("/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_password_is_changed_and_other_sessions_end(parts: Parts) -> None:
    here, elsewhere = Browser(parts), Browser(parts)
    assert (here.signs_in(), elsewhere.signs_in()) == (303, 303)
    wrong = here.acts("password", password="wrong", chosen=CHOSEN)
    assert wrong.status_code == 401
    assert "incorrect" in Page(wrong.text).text
    short = here.acts("password", password=FIRST, chosen="elevensigns")
    assert short.status_code == 422
    assert "au moins 12 caractères" in Page(short.text).text
    assert here.acts("password", password=FIRST, chosen=FIRST).status_code == 422
    done = here.acts("password", password=FIRST, chosen=CHOSEN)
    assert (done.status_code, done.headers["location"]) == (303, "/account?done=password")
    assert "Mot de passe changé" in here.text("/account?done=password")
    assert here.inside()
    assert not elsewhere.inside()
    assert (elsewhere.signs_in(FIRST), elsewhere.signs_in(CHOSEN)) == (401, 303)
    for typed in (FIRST, CHOSEN, "wrong"):
        assert typed not in wrong.text + short.text + str(parts.books.events())


def test_a_second_factor_from_the_square_to_the_lost_phone(parts: Parts) -> None:
    here, elsewhere = Browser(parts), Browser(parts)
    here.signs_in()
    elsewhere.signs_in()
    assert here.acts("begin", password="wrong").status_code == 401
    begun = here.acts("begin", password=FIRST)
    assert begun.status_code == 200
    assert begun.headers["cache-control"] == "no-store"
    assert "<svg" in begun.text
    letters = re.search(r'class="letters">([A-Z2-7 ]+)<', begun.text)
    assert letters
    secret = letters[1].replace(" ", "")
    app = pyotp.TOTP(secret)
    assert secret not in here.client.get("/account").text.replace(" ", ""), "shown once"
    assert here.acts("confirm", code="000000").status_code == 422
    assert elsewhere.inside(), "not asked for yet"
    now = int(parts.clock().timestamp())
    confirmed = here.acts("confirm", code=app.at(now))
    codes = re.findall(r"<li><code>([A-Z2-7-]{19})</code>", confirmed.text)
    assert len(set(codes)) == 10
    assert not elsewhere.inside(), "it came in without one"
    assert "Il vous reste 10 codes de secours" in here.text()
    assert codes[0] not in here.text()

    assert elsewhere.signs_in() == 401
    assert elsewhere.signs_in(code=app.at(now)) == 401, "used up"
    assert elsewhere.signs_in(code=app.at(now + 30)) == 303
    # The phone is lost: one code gets in, another takes the factor off; none is of use twice.
    lost = Browser(parts)
    assert lost.signs_in(code=codes[0].lower().replace("-", " ")) == 303
    assert Browser(parts).signs_in(code=codes[0]) == 401
    assert "Il vous reste 9 codes" in lost.text()
    assert lost.acts("drop", password=FIRST, code=codes[0]).status_code == 401
    assert lost.acts("drop", password="wrong", code=codes[1]).status_code == 401
    renewed = lost.acts("recovery", password=FIRST, code=codes[2])
    fresh = re.findall(r"<li><code>([A-Z2-7-]{19})</code>", renewed.text)
    assert lost.acts("drop", password=FIRST, code=codes[3]).status_code == 401, "replaced"
    assert lost.acts("drop", password=FIRST, code=fresh[0]).status_code == 303
    assert Browser(parts).signs_in() == 303
    assert changes(parts) == [
        "factor_begun",
        "factor_confirmed",
        "recovery_used",
        "recovery_used",
        "recovery_replaced",
        "recovery_used",
        "factor_dropped",
    ]
    written = b"".join(event.body for event in parts.books.events()).decode()
    for hidden in (secret, *codes, *fresh):
        assert hidden not in written
    parts.sequence()
    assert reconcile(parts).problems == []


def test_sessions_are_listed_and_ended(parts: Parts) -> None:
    browsers = [Browser(parts) for _ in range(4)]
    for one in browsers:
        one.signs_in()
    here, second, third, fourth = browsers
    names = re.findall(r'name="session" value="([0-9a-f]{16})"', here.client.get("/account").text)
    assert len(names) == 3, "this one has no button"
    assert here.acts("end", session=names[-1]).headers["location"] == "/account?done=end"
    assert [one.inside() for one in (here, second, third, fourth)] == [True, False, True, True]
    assert here.acts("end", session=names[-1]).status_code == 404
    add_user(parts, "other", Role.DPO, "region", FIRST)
    other = Browser(parts)
    other.sent("/login", login="other", password=FIRST)
    assert other.acts("end", session=names[0]).status_code == 404, "somebody else's"
    assert here.acts("others").headers["location"] == "/account?done=others"
    assert [one.inside() for one in (here, third, fourth, other)] == [True, False, False, True]
    assert changes(parts) == ["user.left", "user.left"]


def test_ten_wrong_passwords_and_even_the_right_one_waits(parts: Parts) -> None:
    here = Browser(parts)
    here.signs_in()
    for _ in range(10):
        assert here.acts("begin", password="guess").status_code == 401
    assert here.acts("password", password=FIRST, chosen=CHOSEN).status_code == 401
    assert here.acts("begin", password=FIRST).status_code == 401
    assert here.inside(), "whoever guesses does not put the person out"


def test_a_form_that_asks_nothing_known_is_refused(parts: Parts) -> None:
    here = Browser(parts)
    here.signs_in()
    assert here.acts("promote").status_code == 422
    assert here.client.post("/account", data={"act": "others"}).status_code == 403


def test_a_session_that_ends_meanwhile_is_shown_the_door(parts: Parts) -> None:
    here = Browser(parts)
    here.signs_in()
    [account] = parts.books.accounts()
    [session] = parts.books.sessions(parts.clock(), account=account.id)
    assert session.expires - session.begun == timedelta(hours=8)
    page = here.client.get("/account").text
    token = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert token
    Browser(parts).signs_in()
    other = Browser(parts)
    other.signs_in()
    other.acts("others")
    answer = here.client.post("/account", data={"act": "others", "token": token[1]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


# Machines -------------------------------------------------------------------------------------


def grants(here: Browser, client: str, secret: str) -> int:
    form = {"grant_type": "client_credentials"}
    answer = here.client.post("/oauth/token", data=form, auth=(client, secret))
    return answer.status_code


def test_a_partners_person_renews_a_secret_and_ends_a_client(parts: Parts) -> None:
    made, former = add_partner(parts, "transdev")
    others, _ = add_partner(parts, "orange")
    add_user(parts, "rail", Role.PARTNER, "transdev", FIRST)
    here = Browser(parts)
    here.sent("/login", login="rail", password=FIRST)
    page = here.client.get("/account/clients").text
    assert made.id in page
    assert others.id not in page
    assert here.sent("/account/clients", act="rotate", client=others.id).status_code == 403
    assert here.sent("/account/clients", act="rotate", client="nobody").status_code == 404
    assert here.sent("/account/clients", act="rotate", client=made.id, days="91").status_code == 422
    renewed = here.sent("/account/clients", act="rotate", client=made.id, days="3")
    assert (renewed.status_code, renewed.headers["cache-control"]) == (200, "no-store")
    secret = re.findall(r'<code class="letters">([0-9a-f]{64})</code>', renewed.text)[0]
    assert secret not in here.client.get("/account/clients").text, "shown once"
    assert (grants(here, made.id, secret), grants(here, made.id, former)) == (200, 200)
    assert "Le précédent vaut encore" in here.text("/account/clients")
    ended = here.sent("/account/clients", act="revoke", client=made.id)
    assert "Client révoqué." in Page(ended.text).text
    assert (grants(here, made.id, secret), grants(here, made.id, former)) == (401, 401)
    assert here.sent("/account/clients", act="rotate", client=made.id).status_code == 404
    told = [msgspec.json.decode(event.body) for event in parts.books.events()]
    changed = [body["facts"] for body in told if body["kind"] == "client.changed"]
    assert [facts["change"] for facts in changed] == ["secret_replaced", "revoked"]
    assert {facts["by"] for facts in changed} == {parts.books.accounts()[1].id}
    assert secret not in str(told)


def test_a_key_is_pasted_and_a_private_one_refused(parts: Parts) -> None:
    first, second = ECKey.generate_key(), ECKey.generate_key()
    made, _ = add_partner(parts, "transdev", first.as_dict(private=False))
    add_user(parts, "rail", Role.PARTNER, "transdev", FIRST)
    here = Browser(parts)
    here.sent("/login", login="rail", password=FIRST)

    def pasted(text: str) -> httpx2.Response:
        return here.sent("/account/clients", act="rotate", client=made.id, jwk=text)

    private = json.dumps(second.as_dict(private=True))
    for wrong in (private, "", "{", "[]", '{"kty": "oct", "k": "c2VjcmV0"}', '{"kty": "EC"}'):
        answer = pasted(wrong)
        assert answer.status_code == 422, wrong
        assert str(second.as_dict(private=True)["d"]) not in answer.text
    answer = pasted(json.dumps(second.as_dict(private=False)))
    assert "Nouvelle clé enregistrée." in Page(answer.text).text
    kept = parts.books.client(made.id)
    assert kept is not None
    assert kept.public_jwk == second.as_dict(private=False)
    assert parts.books.former_key(made.id, parts.clock()) == first.as_dict(private=False)


def test_a_machine_does_not_renew_itself(parts: Parts) -> None:
    made, secret = add_partner(parts, "transdev")
    machine = Actor(made.id, "partner", "transdev", ("push",))
    for act in (clients.rotate, clients.revoke):
        with pytest.raises(Denied) as raised:
            act(parts, machine, made.id)
        assert raised.value.facts["reasons"] == ["person_needed"]
    assert grants(Browser(parts), made.id, secret) == 200

"""`/my-consent` and the interfaces around it, over a whole hub."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from fastapi.testclient import TestClient

from connectors.partners.coachco2 import modes
from consent import codes
from hub import birthdays, consents, participation, withdraw, worker
from hub.application import application
from hub.cli.operate import add_user
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.identity.limits import WINDOW
from hub.participation import Handed
from hub.parts import Parts
from hub.records import Role
from hub.sheets import sheet
from hub.web import labels
from tests.flows import world
from tests.flows.test_participation import APP, BUS, CHILD, NOBODYS, asked
from tests.web.html import Page

GIVEN_AT = datetime(2025, 9, 10, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """A hub that holds ten days of trips of two people."""
    made = world.hub_with_places(tmp_path_factory.mktemp("home") / "var")
    world.agree(made, "ada", "bob")
    world.pushed(made, "coachco2/trips", world.trips(["ada", "bob"]))
    yield made
    made.books.close()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with TestClient(
        application(parts),
        headers={"accept": "text/html", "accept-language": "fr"},
        follow_redirects=False,
    ) as made:
        parts.books.close = lambda: None  # type: ignore[method-assign]  # the module closes them
        parts.books.forget_expired(parts.clock() + WINDOW)  # what another test tried
        yield made


@pytest.fixture
def ada(parts: Parts) -> Handed:
    """Ada's code and secret, anew for each test."""
    grant = next(g for g in parts.books.grants_of(digest(parts, "ada")) if g.state == "given")
    return participation.again(parts, APP, grant)[0]


def digest(parts: Parts, reference: str, partner: str = "coachco2") -> bytes:
    return consents.digest_of(parts, partner, reference)


def token(client: TestClient) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', client.get("/my-consent").text)
    assert found
    return found[1]


def post(client: TestClient, where: str, **fields: str) -> httpx2.Response:
    return client.post(f"/my-consent/{where}", data=fields | {"token": token(client)})


def bearer(parts: Parts, partner: str) -> dict[str, str]:
    """Headers of a partner's machine."""
    (made,) = [one for one in parts.books.clients() if one.organisation == partner]
    held = tokens.new()
    event = AuditEvent(Kind.TOKEN_ISSUED, partner, made.id, parts.clock())
    until = parts.clock() + timedelta(hours=1)
    parts.books.add_token(tokens.digest(held), made.id, made.scopes, until, event=event)
    return {"authorization": f"Bearer {held}", "accept": "application/json"}


def told(answer: httpx2.Response) -> tuple[int, bytes]:
    """All that an answer tells."""
    return answer.status_code, answer.content


def visit(client: TestClient, handed: Handed) -> Page:
    return Page(visit_text(client, handed))


def visit_text(client: TestClient, handed: Handed) -> str:
    answer = post(client, "look", code=handed.code, secret=handed.secret)
    assert (answer.status_code, answer.headers["location"]) == (303, "/my-consent")
    assert "HttpOnly" in answer.headers["set-cookie"]
    return client.get("/my-consent").text


def test_the_ways_in_are_a_page_for_anybody(client: TestClient) -> None:
    answer = client.get("/my-consent")
    page = Page(answer.text)
    assert "Ici, c’est toi qui décides" in page.text
    assert "Code perdu" in page.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    english = client.get("/my-consent?lang=en").text
    assert "You decide here" in english


def test_a_code_that_is_nobodys_is_answered_with_the_same_bytes(
    client: TestClient, parts: Parts
) -> None:
    grant, (live,) = participation.give(parts, APP, "coachco2", asked("eve", given_at=GIVEN_AT))
    (other,) = participation.again(parts, APP, grant)
    answers = {
        told(post(client, "stop", code=code, purpose="every"))
        for code in (NOBODYS, live.code, other.code, other.code)
    }
    assert len(answers) == 1
    found = parts.books.grant(grant.id)
    assert found is not None
    assert found.state == "withdrawn", "and yet it was done"
    wrong = codes.new_secret(lambda n: bytes(range(n)))
    refusals = {
        told(post(client, "look", code=code, secret=wrong))
        for code in (NOBODYS, live.code, other.code)
    }
    assert len(refusals) == 1
    assert next(iter(refusals))[0] == 403


def test_a_visitor_sees_what_was_agreed_and_ends_it(client: TestClient, parts: Parts) -> None:
    _, (handed,) = participation.give(parts, APP, "coachco2", asked("kim", given_at=GIVEN_AT))
    page = visit(client, handed)
    assert "Comprendre comment on va au lycée" in page.text
    assert "Tu as dit oui" in page.text
    answer = post(client, "end", purpose="school-mobility")
    assert (answer.status_code, answer.headers["location"]) == (303, "/my-consent#agreed")
    page = Page(client.get("/my-consent").text)
    assert "Tu as arrêté" in page.text
    assert "l’effacement est en cours" in page.text
    worker.drain(parts)
    page = Page(client.get("/my-consent").text)
    assert "Effacé le" in page.text
    (address,) = [a["href"] for a in page.all("a") if "/receipts/" in a.get("href", "")][-1:]
    note = client.get(address)
    assert note.text.startswith(f"{parts.log.signer.name}/receipt/v1\n")
    assert note.headers["cache-control"] == "no-store"
    assert post(client, "leave").status_code == 303
    assert client.get(address).status_code == 401
    assert "Ici, c’est toi qui décides" in client.get("/my-consent").text


def test_a_visitor_sees_and_takes_their_own_rows_and_nobody_elses(
    client: TestClient, parts: Parts, ada: Handed
) -> None:
    visit(client, ada)
    page = Page(client.get("/my-consent/rows").text)
    assert "Ta commune" in page.text
    assert "16 lignes" in page.text  # eight school days, to and fro
    assert "{" not in page.text, "legs are shown as words"
    assert "Mes trajets · 2025-2026" in page.text
    assert "lundi 17 novembre 2025 07:30" in page.text
    assert "vers le lycée" in page.text
    assert "voiture 4 km 20 min" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert f"Lycée d'essai ({world.UAI})" in page.text
    data = client.get("/my-consent/rows.json").json()
    (table,) = data["tables"]
    assert len(table["rows"]) == 16
    assert {row["uai"] for row in table["rows"]} == {world.UAI}
    assert set(table["rows"][0]) <= set(data["columns"])
    assert data["places"]["uai"] == {world.UAI: "Lycée d'essai"}
    assert data["places"].keys() <= table["rows"][0].keys()
    assert not {"pseudonym", "bucket", "digest"} & set(table["rows"][0])
    rows = list(csv.DictReader(io.StringIO(client.get("/my-consent/rows.csv").text)))
    assert [row["date"] for row in rows] == [row["date"] for row in table["rows"]]
    shown = parts.books.events(kind="rows.shown", limit=1000)
    assert [b'"format":"page"' in e.body for e in shown[-3:]] == [True, False, False]


def test_rows_of_theirs_that_could_not_be_read_are_told_too(
    client: TestClient, parts: Parts
) -> None:
    _, (handed,) = participation.give(parts, APP, "coachco2", asked("kay", given_at=GIVEN_AT))
    days = world.trips(["kay", "other"], days=1).replace(
        b'"distance": 4000.0', b'"distance": "far"', 1
    )
    world.pushed(parts, "coachco2/trips", days)
    visit(client, handed)
    told = client.get("/my-consent/rows.json").json()["set_aside"]
    assert [(one["dataset"], one["rows"]) for one in told] == [("coachco2/trips", 1)]
    assert told[0]["reason"]["fr"]
    page = Page(client.get("/my-consent/rows").text).text
    assert "Mises de côté" in page
    assert "Mes trajets · 1 ligne · Gardées jusqu’au" in page
    assert told[0]["reason"]["fr"] in page


def test_every_stored_column_is_said_in_words(parts: Parts) -> None:
    from analytics import recognise
    from hub.rights import COLUMNS, HIDDEN

    stored = {
        name
        for schema in (recognise.TRIPS, recognise.TAPS)
        for name in recognise.stored(schema).names
    }
    assert stored == set(COLUMNS) | HIDDEN
    assert set(COLUMNS) == set(labels.LABELS["column"])


def test_every_means_of_transport_is_said_in_words() -> None:
    assert set(labels.LABELS["means"]) == modes.MODES


def test_a_page_of_somebody_with_a_card_too_says_all_of_it(
    client: TestClient, parts: Parts
) -> None:
    _, (handed,) = participation.give(parts, APP, "coachco2", asked("lia", given_at=GIVEN_AT))
    participation.Door(parts).link(BUS, handed.code, "card-lia")
    world.pushed(parts, "transdev/validations", world.taps(["card-lia"]))
    page = visit(client, handed)
    assert "Compté pour le service public" in page.text
    rows = Page(client.get("/my-consent/rows").text).text
    assert "Les validations de ma carte" in rows
    assert "montée" in rows


def test_without_a_visit_nothing_is_shown(client: TestClient) -> None:
    for address in ("rows", "rows.json", "rows.csv", "receipts/x"):
        answer = client.get(f"/my-consent/{address}")
        assert answer.status_code == 401, address
    for address in ("end", "claims", "secret"):
        assert post(client, address, purpose="every").status_code == 401, address


def test_forms_of_another_site_are_refused(client: TestClient, ada: Handed) -> None:
    for where in ("stop", "look", "object", "end", "claims", "leave", "secret"):
        fields = {"code": ada.code, "secret": ada.secret, "card": "1", "token": "0" * 64}
        assert client.post(f"/my-consent/{where}", data=fields).status_code == 403, where
        fields["token"] = token(client)
        elsewhere = {"sec-fetch-site": "cross-site"}
        answer = client.post(f"/my-consent/{where}", data=fields, headers=elsewhere)
        assert answer.status_code == 403, where


def test_nothing_typed_is_shown_again(client: TestClient, ada: Handed) -> None:
    for where, fields in {
        "stop": {"code": "<b>typed", "purpose": "every"},
        "look": {"code": ada.code, "secret": "typed-secret"},
        "object": {"card": "typed-card"},
    }.items():
        text = post(client, where, **fields).text
        assert "typed" not in text
        assert ada.code not in text


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("stop", {"code": "mistyped", "purpose": "every"}),
        ("look", {"code": NOBODYS, "secret": "mistyped"}),
        ("object", {"card": ""}),
    ],
)
def test_an_error_stands_in_its_form_which_has_the_focus(
    client: TestClient, form: str, fields: dict[str, str]
) -> None:
    answer = post(client, form, **fields)
    assert answer.status_code >= 400
    _, _, after = answer.text.partition(f'action="/my-consent/{form}"')
    inside, _, _ = after.partition("</form>")
    assert 'role="alert" id="error"' in inside
    page = Page(answer.text)
    (wrong,) = [field for field in page.all("input") if "aria-invalid" in field]
    assert wrong["name"] == next(iter(fields))
    assert "autofocus" in wrong
    assert wrong["aria-describedby"] == "error"
    assert page.ids.count("error") == 1


def test_yes_and_no_look_alike_to_whoever_is_asked_again(client: TestClient, parts: Parts) -> None:
    now = parts.clock()
    fifteen = now.replace(day=1) - timedelta(days=20)
    before = replace(parts, clock=lambda: now - timedelta(days=60))
    child = CHILD | {
        "birth": f"{fifteen.year - 15}-{fifteen.month:02d}", "parent_at": GIVEN_AT,
    }  # fmt: skip
    _, handed = participation.give(
        before, APP, "coachco2", asked("turns", given_at=GIVEN_AT, **child)
    )
    birthdays.sweep(parts, now)
    html = visit_text(client, handed[0])
    buttons = re.findall(r"<button([^>]*)>(Oui, je continue|Non, j’arrête)", html)
    assert [style for style, _ in buttons] == ["", ""]
    assert "Tu avais dit oui avec un parent, le" in html


def test_whoever_has_a_question_finds_whom_to_write_to(
    client: TestClient, parts: Parts, ada: Handed
) -> None:
    assert 'href="/trust#who"' in client.get("/my-consent").text
    assert 'href="/trust#who"' in visit_text(client, ada)
    trust = Page(client.get("/trust").text)
    assert "who" in trust.ids
    for party in parts.territory.parties:
        assert party.name in trust.text
        assert party.contact in trust.text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_visit_that_is_over_leads_back_to_the_ways_in(client: TestClient) -> None:
    page = Page(client.get("/my-consent/rows").text)
    assert "Ta visite est terminée" in page.text
    assert "Authentification" not in page.text
    assert "Vous pouvez" not in page.text
    links = [link["href"] for link in page.all("a") if "button" in link.get("class", "")]
    assert links == ["/my-consent"]


def test_an_objection_by_card_answers_the_same_and_holds(client: TestClient, parts: Parts) -> None:
    cards = ["card-known", "45001234"]
    world.pushed(parts, "transdev/validations", world.taps(cards))
    answers = {
        post(client, "object", card=card).content
        for card in ("card-known", "card-unknown", "card-known", " 4500 1234")
    }
    assert len(answers) == 1
    worker.drain(parts)
    again = world.pushed(parts, "transdev/validations", world.taps(cards, days=6))
    assert again.kept == 0


def test_too_many_tries_are_told_to_wait(client: TestClient) -> None:
    for _ in range(participation.TRIES_BY_PREFIX):
        assert post(client, "stop", code=NOBODYS, purpose="every").status_code == 200
    answer = post(client, "stop", code=NOBODYS, purpose="every")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "900"


def test_who_has_many_addresses_of_one_line_is_one(client: TestClient, parts: Parts) -> None:
    """A household has 2 to the 64 of them: each alone would never meet the limit."""

    def tried(address: str) -> int:
        there = TestClient(client.app, headers={"accept": "text/html"}, client=(address, 50000))
        return post(there, "object", card="card-none").status_code

    most = participation.TRIES_BY_ADDRESS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(withdraw, "withdraw", lambda *_, **__: None)
        statuses = {tried(f"2001:db8:1:2::{number:x}") for number in range(most)}
        assert statuses == {200}
        assert tried("2001:db8:1:2:ffff::1") == 429
        assert tried("2001:db8:1:3::1") == 200
        assert tried("::ffff:192.0.2.7") == tried("192.0.2.7") == 200


def test_a_claim_is_answered_by_the_officer_and_seen_by_the_person(
    client: TestClient, parts: Parts, ada: Handed
) -> None:
    visit(client, ada)
    assert post(client, "claims", kind="rectification", concerns="mode").status_code == 303
    assert "Reçue, réponse attendue" in client.get("/my-consent").text
    add_user(parts, "dpo-claims", Role.DPO, "region", "correct horse battery")
    client.cookies.clear()
    assert client.get("/dpo/rights").headers["location"] == "/login"
    at = re.search(r'name="token" value="([0-9a-f]{64})"', client.get("/login").text)
    assert at
    login = {"login": "dpo-claims", "password": "correct horse battery", "token": at[1]}
    assert client.post("/login", data=login).status_code == 303
    page = client.get("/dpo/rights").text
    assert "Corriger quelque chose de faux" in page
    case = re.search(r'name="case" value="([^"]+)"', page)
    form = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert case
    assert form
    moved = {"token": form[1], "case": case[1], "act": "close", "answer": "refused"}
    assert client.post("/dpo/rights", data=moved | {"ground": ""}).status_code == 422
    assert client.post("/dpo/rights", data=moved | {"ground": "unfounded"}).status_code == 303
    client.cookies.clear()
    visit(client, ada)
    assert "La demande n’est pas fondée" in client.get("/my-consent").text


def test_a_claim_is_taken_back_on_the_page(client: TestClient, parts: Parts, ada: Handed) -> None:
    visit(client, ada)
    post(client, "claims", kind="access", concerns="trips")
    (case,) = [one for one in parts.books.cases() if one.closed_at is None]
    assert "Reprendre ma demande" in client.get("/my-consent").text
    assert post(client, "claims/retract", case=case.id).status_code == 303
    page = client.get("/my-consent").text
    assert "Reprise par la personne" in page
    assert "Reprendre ma demande" not in page
    assert post(client, "claims/retract", case=case.id).status_code == 409


def test_a_parents_page_is_the_young_persons_consent(client: TestClient, parts: Parts) -> None:
    child = CHILD | {"birth": f"{parts.clock().year - 13}-01", "parent_at": GIVEN_AT}
    _, handed = participation.give(parts, APP, "coachco2", asked("kid", given_at=GIVEN_AT, **child))
    assert "Ce code est celui du parent" in visit(client, handed[1]).text


def test_a_new_secret_is_shown_once(client: TestClient, ada: Handed) -> None:
    visit(client, ada)
    answer = post(client, "secret")
    fresh = re.search(r"<code>([A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4})</code>", answer.text)
    assert fresh
    assert fresh[1] not in client.get("/my-consent").text
    assert post(client, "look", code=ada.code, secret=ada.secret).status_code == 403
    assert post(client, "look", code=ada.code, secret=fresh[1]).status_code == 303


# The interface --------------------------------------------------------------------------------


def test_codes_come_with_the_consent_and_links_are_noted(client: TestClient, parts: Parts) -> None:
    app, bus = bearer(parts, "coachco2"), bearer(parts, "transdev")
    consent = {
        "reference": "lou",
        "purpose": "school-mobility",
        "population": "pupil",
        "given_at": GIVEN_AT.isoformat(),
        "birth_month": "2009-01",
    }
    first = client.post("/v1/consents", json=consent, headers=app).json()
    (code,) = first["codes"]
    assert code["holder"] == "person"
    assert code["code"] in first["sheet"]
    assert client.post("/v1/consents", json=consent, headers=app).json()["codes"] == []
    for reference in ("card-lou", "card-lou"):
        link = {"code": code["code"], "reference": reference}
        answer = client.post("/v1/links", json=link, headers=bus)
        assert (answer.status_code, answer.json()) == (202, {"state": "noted"})
    nobody = {"code": NOBODYS, "reference": "card-2"}
    assert client.post("/v1/links", json=nobody, headers=bus).json() == {"state": "noted"}
    mistyped = {"code": NOBODYS[:-1] + "C", "reference": "card-2"}
    answer = client.post("/v1/links", json=mistyped, headers=bus)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/code-unreadable")
    address = f"/v1/consents/{first['id']}/codes"
    (new,) = client.post(address, headers=app).json()["codes"]
    assert new["code"] != code["code"]
    assert client.post(address, headers=bus).status_code == 404
    # Back to the first code, which the new one replaced at the bus company in the meantime.
    for tried, status in ((new, 202), (code, 409)):
        link = {"code": tried["code"], "reference": "card-lou"}
        assert client.post("/v1/links", json=link, headers=bus).status_code == status


def test_the_officer_keeps_the_register_by_the_interface(client: TestClient, parts: Parts) -> None:
    machine = {"accept": "application/json"}
    app = bearer(parts, "coachco2")
    assert client.get("/v1/rights", headers=app).status_code == 403
    assert client.get("/v1/rights", headers=machine).status_code == 401


def test_the_sheet_stands_alone_and_never_joins_address_and_code() -> None:
    handed = [Handed("person", "C-1", "S-1"), Handed("parent", "C-2", "S-2")]
    page = Page(sheet(handed, "https://hub.example/", "fr"))
    assert "https://hub.example/my-consent" in page.text
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 4
    assert not page.all("script")
    assert not page.all("link")
    assert not any("C-1" in a.get("href", "") for a in page.all("a"))
    assert page.text.count("https://hub.example/trust#who") == 2
    assert page.text.count("ce que le hub sait de toi") == 1
    assert page.text.count("ce que le hub sait du jeune") == 1
    assert "Under 15" in sheet(handed, "https://hub.example", "en")
    assert timedelta(0) < participation.VISIT

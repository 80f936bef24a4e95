"""Every route, for everyone who may come to it: who is let in, and nobody else.

`TABLE` says it, route by route. A route that is not in it fails, an entry without a route fails,
and who is not named is refused: with a problem document, or shown the door where it is a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from hub import agreements, rights
from hub.participation import PERSON
from hub.parts import OPERATOR
from hub.web.mine import EXAMPLE
from tests.attacks.places import EMBARGOED, MARK, SPARE, TERMS, Places, actors, furnished

EVERYONE: Final = frozenset(actors())
NOBODY: Final = frozenset[str]()
REFUSED: Final = frozenset({401, 403, 404})
OWN: Final = frozenset({"client own", "partner own"})
CLIENT: Final = frozenset({"client own"})
CLIENTS: Final = frozenset({"client own", "client other"})
"""A client's scopes are asked after wherever something is done, not where it is only read."""
READS: Final = OWN | {"client without scopes"}
COLLECTOR: Final = READS
"""Of a consent: whoever is entered under the partner's name with another role is not it."""
ASKER: Final = frozenset({f"{role} own" for role in ("collectivity", "operator", "school")})
VISITOR: Final = frozenset({"visitor"})


def people(*roles: str) -> frozenset[str]:
    """These roles, of whichever organisation."""
    return frozenset(f"{role} {whose}" for role in roles for whose in ("own", "other"))


IDENTIFIED: Final = EVERYONE - {"anyone", "visitor"}
PUSHERS: Final = READS | {"operator own", "dpo own"}
PARTNERS: Final = READS | {"client other", "partner other"}
CLIENT_KEEPERS: Final = people("partner", "operator")
SIGNED_IN: Final = IDENTIFIED - {"client own", "client other", "client without scopes"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, but for who sends it."""

    path: str
    sent: dict[str, Any] = field(default_factory=dict)
    form: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A route: how to ask, who is let in, whose it is, and what only `sees` may find in it."""

    ask: Callable[[Places], Asked]
    admits: frozenset[str]
    owner: str = "transdev"
    holds: str = ""
    sees: frozenset[str] = EVERYONE


def at(path: str, **sent: Any) -> Callable[[Places], Asked]:
    """A request whose address names what is in the hub."""

    def ask(places: Places) -> Asked:
        known = {name: getattr(places, name) for name in ("push", "consent", "case", "agreement")}
        known |= {"ended": places.ended, "withdrawal": places.withdrawal}
        known |= {"own": places.own}
        known |= {"release": places.release.id, "decision": places.decision}
        return Asked(path.format(**known), dict(sent))

    return ask


def filled(path: str, **fields: str) -> Callable[[Places], Asked]:
    """A form of our own, with its token."""
    return lambda places: Asked(path.format(case=places.case), form=fields)


def presented(_: Places) -> Asked:
    """A file in the form that takes receipts; it is none, which is said to anybody."""
    return Asked("/my-consent/receipt", {"files": {"file": ("r.txt", b"x")}}, {"act": "verify"})


def uploaded(**sent: Any) -> Callable[[Places], Asked]:
    """A request about an upload of the owner's own client, fresh each time."""

    def ask(places: Places) -> Asked:
        headers = {"tus-resumable": "1.0.0"} | sent.get("headers", {})
        return Asked(f"{PUSHES}/{places.upload()}", {**sent, "headers": headers})

    return ask


def taken_back(places: Places) -> Asked:
    """A claim the visitor made just now, in the form that takes it back."""
    made = rights.open_case(places.parts, PERSON, "access", code=places.code)
    return Asked("/my-consent/claims/retract", form={"case": made.id})


def ending(places: Places) -> Asked:
    """The end of a consent that was given just now."""
    return Asked(f"/v1/consents/{places.given('to end')}/withdrawal")


def acting(act: str) -> Callable[[Places], Asked]:
    """An act on an agreement nothing else rests on, fresh each time."""

    def ask(places: Places) -> Asked:
        about = {"partner": "coachco2", "dataset": "measures", "basis": "not_personal"}
        terms = {**TERMS, **about}
        made = agreements.propose(places.parts, OPERATOR, terms)
        return Asked(f"/v1/agreements/{made.number}/{act}")

    return ask


def tile(places: Places) -> Asked:
    """A file of the public log."""
    size = int(places.parts.publisher.checkpoint().split(b"\n")[1])
    return Asked("/audit/tile/0/000" if size >= 256 else f"/audit/tile/0/000.p/{size}")


def requested(after: str = "", *, approved: bool = False, **sent: Any) -> Callable[[Places], Asked]:
    """Something about a request for data of the owner's collectivity, fresh each time."""
    return lambda places: Asked(f"/v1/requests/{places.request(approved)}{after}", dict(sent))


def decided(places: Places) -> Asked:
    """The receipt of a decision, once the log holds it."""
    made = places.request(approved=True)
    places.parts.sequence()
    return Asked(f"/v1/requests/{made}/receipt")


def linked(places: Places) -> Asked:
    """A link that the owner's collectivity made."""
    headers = places.headers("collectivity own", "transdev")
    made = places.request(approved=True)
    url = places.client.post(f"/v1/requests/{made}/links", headers=headers).json()["url"]
    return Asked(url)


PUSHES: Final = "/v1/partners/transdev/datasets/validations/pushes"
PUSH: Final = "/v1/partners/{partner}/datasets/{dataset}/pushes"
CONSENT: Final = {
    "reference": "somebody",
    "purpose": "school-mobility",
    "population": "pupil",
    "given_at": "2025-09-10T08:00:00+02:00",
    "birth_month": "2009-01",
}
SHARED: Final = {
    "share": "centre-val-de-loire",
    "schema": "modal-split",
    "table": "2025-2026",
    "release_id": EMBARGOED,
}
WATCH: Final = people("operator", "steward", "dpo", "auditor")
SLUG: Final = "01-ten-taps"
DATASET: Final = "/partner/transdev/validations"


def pages(*paths: str) -> dict[str, Entry]:
    """Pages open to everyone, by GET and HEAD; none may show what is under embargo."""
    return {
        f"{method} {path}": Entry(at(path), EVERYONE, holds=EMBARGOED, sees=NOBODY)
        for path in paths
        for method in ("GET", "HEAD")
    }


def both(path: str, entry: Entry) -> dict[str, Entry]:
    """A page by GET and HEAD."""
    return {f"GET {path}": entry, f"HEAD {path}": entry}


TABLE: Final[dict[str, Entry]] = {
    # Operation, the log, the catalogue: for everyone.
    **both("/openapi.json", Entry(at("/openapi.json"), EVERYONE)),
    "GET /healthz": Entry(at("/healthz"), EVERYONE),
    "GET /readyz": Entry(at("/readyz"), EVERYONE),
    "GET /audit/checkpoint": Entry(at("/audit/checkpoint"), EVERYONE),
    "GET /audit/{path}": Entry(tile, EVERYONE),
    # The key is a witness's signature: nobody here has one.
    "POST /audit/cosignatures": Entry(at("/audit/cosignatures", content=b"x"), EVERYONE),
    "GET /v1/catalog": Entry(at("/v1/catalog"), EVERYONE, holds=EMBARGOED, sees=NOBODY),
    "GET /v1/catalog/{dataset}": Entry(at("/v1/catalog/{release}"), EVERYONE),
    # Tokens: each proves who it is in the request itself.
    "POST /oauth/token": Entry(
        at("/oauth/token", data={"grant_type": "client_credentials"}), NOBODY
    ),
    "POST /oauth/revoke": Entry(at("/oauth/revoke", data={"token": "x"}), NOBODY),
    # Pushes.
    f"POST {PUSH}": Entry(at(PUSHES, content=b"x"), CLIENT | people("operator")),
    f"OPTIONS {PUSH}": Entry(at(PUSHES), EVERYONE),
    f"HEAD {PUSH}/{{upload_id}}": Entry(uploaded(), CLIENT),
    f"PATCH {PUSH}/{{upload_id}}": Entry(
        uploaded(
            content=b"abcd",
            headers={"content-type": "application/offset+octet-stream", "upload-offset": "0"},
        ),
        CLIENT,
    ),
    f"DELETE {PUSH}/{{upload_id}}": Entry(uploaded(), CLIENT),
    "GET /v1/pushes": Entry(
        at("/v1/pushes"), PARTNERS | people("operator", "dpo"), holds="transdev", sees=PUSHERS
    ),
    "GET /v1/pushes/{push_id}": Entry(at("/v1/pushes/{push}"), READS | people("operator", "dpo")),
    "GET /v1/pushes/{push_id}/events": Entry(
        at("/v1/pushes/{push}/events"), READS | people("operator", "dpo")
    ),
    "GET /v1/pushes/{push_id}/rejected": Entry(
        at("/v1/pushes/{push}/rejected"), READS | people("operator", "dpo")
    ),
    "GET /v1/pushes/{push_id}/receipt": Entry(
        at("/v1/pushes/{push}/receipt"), READS | people("operator", "dpo")
    ),
    # Agreements.
    "GET /v1/agreements": Entry(
        at("/v1/agreements"), PARTNERS | WATCH, holds=MARK, sees=READS | WATCH
    ),
    "POST /v1/agreements": Entry(
        at("/v1/agreements", json=dict(TERMS)), CLIENT | people("operator", "steward")
    ),
    "GET /v1/agreements/{number}": Entry(at("/v1/agreements/{agreement}"), READS | WATCH),
    "GET /v1/agreements/{number}/odrl": Entry(at("/v1/agreements/{agreement}/odrl"), READS | WATCH),
    "POST /v1/agreements/{number}/signature": Entry(
        acting("signature"), CLIENT | people("operator", "steward"), owner="coachco2"
    ),
    "POST /v1/agreements/{number}/end": Entry(
        acting("end"), CLIENT | people("operator", "steward"), owner="coachco2"
    ),
    # Consents: the partner that collected them, and nobody who only bears its name.
    "POST /v1/consents": Entry(
        # The policy lets an operator act for a partner it is entered under.
        at("/v1/consents", json=CONSENT),
        CLIENT | {"operator own"},
        owner="coachco2",
    ),
    "POST /v1/consents/{consent_id}/codes": Entry(
        at("/v1/consents/{consent}/codes"), CLIENT, owner="coachco2"
    ),
    "POST /v1/links": Entry(
        at("/v1/links", json={"code": "x", "reference": "y"}), CLIENTS, owner="coachco2"
    ),
    "GET /v1/consents/{consent_id}": Entry(
        at("/v1/consents/{consent}"), COLLECTOR, owner="coachco2"
    ),
    "GET /v1/consents/{consent_id}/receipt": Entry(
        at("/v1/consents/{consent}/receipt"), COLLECTOR, owner="coachco2"
    ),
    "GET /v1/consents/{consent_id}/record": Entry(
        at("/v1/consents/{consent}/record"), COLLECTOR, owner="coachco2"
    ),
    "POST /v1/consents/{consent_id}/withdrawal": Entry(ending, CLIENT, owner="coachco2"),
    "GET /v1/withdrawals/{withdrawal_id}": Entry(
        at("/v1/withdrawals/{withdrawal}"), COLLECTOR, owner="coachco2"
    ),
    # Rights: codes only, for those who keep the clock.
    "GET /v1/rights": Entry(at("/v1/rights"), people("operator", "dpo", "auditor")),
    "POST /v1/rights/proofs": Entry(
        at("/v1/rights/proofs", json={"consent": "x", "ground": "x"}), people("dpo")
    ),
    "POST /v1/rights": Entry(at("/v1/rights", json={"kind": "access"}), people("operator", "dpo")),
    "POST /v1/rights/{case_id}/extension": Entry(
        at("/v1/rights/{case}/extension", json={"reason": "number"}), people("operator", "dpo")
    ),
    "POST /v1/rights/{case_id}/answer": Entry(
        at("/v1/rights/{case}/answer", json={"answer": "done"}), people("operator", "dpo")
    ),
    # Whoever holds a receipt: it is the key, whoever brings it.
    "GET /v1/releases/{release_id}/contributors/{position}": Entry(
        at("/v1/releases/{release}/contributors/" + "0" * 64), EVERYONE
    ),
    "POST /v1/receipts/contribution": Entry(
        at("/v1/receipts/contribution", content=b"x"), EVERYONE
    ),
    # Releases.
    "GET /v1/releases": Entry(at("/v1/releases"), EVERYONE, holds=EMBARGOED, sees=WATCH),
    **{
        f"GET /v1/releases/{{release_id}}{what}": Entry(
            at(f"/v1/releases/{EMBARGOED}{what}"), WATCH
        )
        for what in ("", "/manifest", "/data", "/receipt")
    },
    "GET /v1/decisions/{decision_id}/receipt": Entry(
        at("/v1/decisions/{decision}/receipt"), CLIENT | people("dpo", "auditor")
    ),
    # Delta Sharing: recipients only, and none of these is one (see tests/flows/test_sharing.py).
    **{
        f"{method} /delta-sharing/{path}": Entry(
            at(f"/delta-sharing/{path.format(**SHARED)}"), NOBODY
        )
        for method, path in (
            ("GET", "shares"),
            ("GET", "shares/{share}"),
            ("GET", "shares/{share}/schemas"),
            ("GET", "shares/{share}/all-tables"),
            ("GET", "shares/{share}/schemas/{schema}/tables"),
            ("HEAD", "shares/{share}/schemas/{schema}/tables/{table}"),
            ("GET", "shares/{share}/schemas/{schema}/tables/{table}/version"),
            ("GET", "shares/{share}/schemas/{schema}/tables/{table}/metadata"),
            ("POST", "shares/{share}/schemas/{schema}/tables/{table}/query"),
            ("GET", "shares/{share}/schemas/{schema}/tables/{table}/changes"),
            ("GET", "files/{release_id}.parquet"),
            ("HEAD", "files/{release_id}.parquet"),
        )
    },
    # Requests: of the owner's collectivity, decided by others than itself.
    "GET /v1/requests": Entry(at("/v1/requests"), IDENTIFIED),
    "POST /v1/requests": Entry(
        at("/v1/requests", json={"measure": "modal-split", "purpose": "evaluation"}),
        people("collectivity", "school", "operator"),
    ),
    "GET /v1/requests/{request_id}": Entry(requested(), ASKER | WATCH),
    "GET /v1/requests/{request_id}/receipt": Entry(decided, ASKER | WATCH),
    "POST /v1/requests/{request_id}/decision": Entry(
        requested("/decision", json={"approve": True}),
        frozenset({"steward other", "operator other"}),
    ),
    "POST /v1/requests/{request_id}/veto": Entry(
        requested("/veto", json={"ground": "misuse"}), NOBODY
    ),
    "POST /v1/requests/{request_id}/opinion": Entry(
        requested("/opinion", json={"opinion": "reserved"}), people("dpo")
    ),
    "POST /v1/requests/{request_id}/revocation": Entry(
        requested("/revocation", json={"ground": "misuse"}), people("steward", "operator")
    ),
    "POST /v1/requests/{request_id}/withdrawal": Entry(requested("/withdrawal"), ASKER),
    "POST /v1/requests/{request_id}/renewal": Entry(
        requested("/renewal", json={"days": 30}), ASKER
    ),
    **both("/v1/requests/{request_id}/data", Entry(requested("/data", approved=True), ASKER)),
    "POST /v1/requests/{request_id}/links": Entry(requested("/links", approved=True), ASKER),
    "POST /v1/requests/{request_id}/profile": Entry(requested("/profile", approved=True), ASKER),
    "DELETE /v1/requests/{request_id}/links": Entry(requested("/links", approved=True), ASKER),
    # The link is the key, whoever follows it; it is bound to who made it, and ends with it.
    **both("/v1/requests/{request_id}/file", Entry(linked, EVERYONE)),
    "GET /v1/usage": Entry(at("/v1/usage"), IDENTIFIED),
    **both("/usage", Entry(at("/usage"), SIGNED_IN)),
    **both("/requests", Entry(at("/requests"), SIGNED_IN)),
    "POST /requests": Entry(
        filled("/requests", act="submit", measure="modal-split", purpose="evaluation"), SIGNED_IN
    ),
    # Events: those who watch over the hub, and each look is an event.
    "POST /v1/audit/events/code": Entry(
        lambda places: Asked("/v1/audit/events/code", {"json": {"code": places.typed}}),
        people("dpo", "auditor"),
    ),
    "GET /v1/audit/events": Entry(at("/v1/audit/events"), people("dpo", "auditor")),
    "GET /v1/audit/events/{index}": Entry(at("/v1/audit/events/0"), people("dpo", "auditor")),
    "GET /v1/audit/events/{index}/proof": Entry(
        at("/v1/audit/events/0/proof"), people("dpo", "auditor")
    ),
    # Pages for everyone.
    **pages(
        "/",
        "/indicators",
        "/map",
        "/methodology",
        "/trust",
        "/login",
        "/catalog",
        "/partner",
        "/my-consent",
        "/my-consent/receipt",
    ),
    **both("/map/layers/{name}.geojson", Entry(at("/map/layers/lycee.geojson"), EVERYONE)),
    **both("/static/{name}", Entry(at("/static/hub.css"), EVERYONE)),
    **both("/catalog/{name}", Entry(at("/catalog/{release}"), EVERYONE)),
    **both("/partner/{partner}/{name}", Entry(at(DATASET), EVERYONE)),
    **both("/partner/{partner}/{name}/schema.json", Entry(at(f"{DATASET}/schema.json"), EVERYONE)),
    **both(
        "/partner/{partner}/{name}/examples/{slug}",
        Entry(at(f"{DATASET}/examples/{SLUG}"), EVERYONE),
    ),
    # Signing in and out: nobody is let in by a wrong password.
    "POST /login": Entry(filled("/login", login="x", password="x"), NOBODY),
    "POST /logout": Entry(filled("/logout"), EVERYONE),
    # This hub has no provider of identities; with one, see tests/flows/test_openid.py.
    "GET /login/openid": Entry(at("/login/openid"), NOBODY),
    "GET /login/callback": Entry(at("/login/callback?code=x&state=y"), NOBODY),
    "POST /login/ended": Entry(at("/login/ended", data={"logout_token": "x"}), NOBODY),
    # Pages of those who are signed in; what they do with their own account asks for the password.
    **both("/account", Entry(at("/account"), SIGNED_IN)),
    **both("/account/clients", Entry(at("/account/clients"), CLIENT_KEEPERS)),
    "POST /account/clients": Entry(
        filled("/account/clients", act="rotate", client=SPARE),
        people("operator") | {"partner own"},
    ),
    "POST /account": Entry(filled("/account", act="begin", password="x"), NOBODY),
    **both(
        "/partner/pushes/{push_id}",
        Entry(at("/partner/pushes/{push}"), people("operator", "dpo") | {"partner own"}),
    ),
    **both("/dpo", Entry(at("/dpo"), people("dpo", "auditor"))),
    **both("/dpo/rights", Entry(at("/dpo/rights"), people("operator", "dpo", "auditor"))),
    "POST /dpo/rights": Entry(
        filled("/dpo/rights", act="open", kind="access", concerns="trips"),
        people("operator", "dpo"),
    ),
    "POST /dpo/rights/proof": Entry(
        filled("/dpo/rights/proof", consent="x", ground="x"), people("dpo")
    ),
    # A person's own page: what a code alone does, it does for whoever has it.
    "POST /my-consent/stop": Entry(filled("/my-consent/stop", code=EXAMPLE), EVERYONE),
    "POST /my-consent/look": Entry(filled("/my-consent/look", code="x", secret="x"), EVERYONE),
    "POST /my-consent/object": Entry(filled("/my-consent/object", card="C"), EVERYONE),
    "POST /my-consent/receipt": Entry(presented, EVERYONE),
    "POST /my-consent/leave": Entry(filled("/my-consent/leave"), EVERYONE),
    "POST /my-consent/end": Entry(filled("/my-consent/end", purpose="x"), VISITOR),
    "POST /my-consent/claims": Entry(
        filled("/my-consent/claims", kind="access", concerns="trips"), VISITOR
    ),
    "POST /my-consent/claims/retract": Entry(taken_back, VISITOR),
    "POST /my-consent/agree": Entry(filled("/my-consent/agree", purpose="recontact"), VISITOR),
    "POST /my-consent/correct": Entry(
        filled("/my-consent/correct", dataset="x/y", first="x", last="x"), VISITOR
    ),
    "POST /my-consent/secret": Entry(filled("/my-consent/secret"), VISITOR),
    **both("/my-consent/rows", Entry(at("/my-consent/rows"), VISITOR)),
    "GET /my-consent/rows.json": Entry(at("/my-consent/rows.json"), VISITOR),
    "GET /my-consent/rows.csv": Entry(at("/my-consent/rows.csv"), VISITOR),
    "GET /my-consent/receipts/{record}": Entry(at("/my-consent/receipts/{own}"), VISITOR),
}


def asked(places: Places, key: str, entry: Entry, actor: str) -> httpx2.Response:
    """The answer to one actor."""
    made = entry.ask(places)
    headers = places.headers(actor, entry.owner)
    sent = dict(made.sent)
    if made.form is not None:
        sent["data"] = made.form | {"token": places.form_token(headers)}
    headers = {"sec-fetch-site": "same-origin", **headers, **sent.pop("headers", {})}
    places.client.cookies.clear()
    return places.client.request(key.split(" ")[0], made.path, headers=headers, **sent)


def admitted(answer: httpx2.Response) -> bool:
    """Whether somebody was let in; to be shown the door is not."""
    shown_out = answer.status_code == 303 and answer.headers["location"] == "/login"
    return answer.status_code not in REFUSED and not shown_out


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with furnished(tmp_path_factory.mktemp("places") / "var") as made:
        yield made


def routes(app: FastAPI) -> list[str]:
    """Every method and address the application answers to."""

    def walked(found: Iterable[BaseRoute]) -> Iterator[str]:
        for route in found:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                prefix = getattr(route, "include_context", inner).prefix
                assert prefix == "", "addresses are as they are declared"
                yield from walked(inner.routes)
                continue
            methods, path = getattr(route, "methods", None), getattr(route, "path", "")
            assert methods, f"a route of an unknown kind: {route!r}"
            for method in methods:
                yield f"{method} {re.sub(':path}', '}', path)}"

    return sorted(walked(app.routes))


def test_no_route_is_missing_and_no_entry_is_left_over(places: Places) -> None:
    found = routes(places.app)
    assert found == sorted(set(found)), "two routes for one request"
    assert found == sorted(TABLE)


@pytest.mark.parametrize("key", TABLE)
def test_who_is_not_named_is_refused(places: Places, key: str) -> None:
    entry = TABLE[key]
    answers = {actor: asked(places, key, entry, actor) for actor in actors()}
    assert {actor for actor in answers if admitted(answers[actor])} == entry.admits
    for actor, answer in answers.items():
        assert answer.status_code < 500, (actor, answer.text)
        if not admitted(answer):
            assert no_more_than_a_refusal(answer), (actor, answer.text)
        if entry.holds:
            assert entry.holds not in answer.text or actor in entry.sees, actor
        assert keeps_to_itself(answer), (actor, answer.headers)


def keeps_to_itself(answer: httpx2.Response) -> bool:
    """No script or style in a page, and no cookie a script or another site could read or send."""
    cookies = [one.lower() for one in answer.headers.get_list("set-cookie")]
    if not all("; httponly" in one and "; samesite=" in one for one in cookies):
        return False
    if not answer.headers.get("content-type", "").startswith("text/html"):
        return True
    scripts = re.findall(r"<script\b([^>]*)>([^<]*)", answer.text)
    within = re.search(r"<[^>]+\son[a-z]+\s*=|<style|\sstyle=|javascript:", answer.text)
    whole = all("src=" in attributes and not body.strip() for attributes, body in scripts)
    policy = answer.headers["content-security-policy"]
    return whole and within is None and "unsafe" not in policy and "script-src 'self'" in policy


FORMS_OF_OURS: Final = ("/login", "/logout", "/requests", "/dpo", "/my-consent", "/account")
SIGNED: Final = frozenset({"POST /login/ended"})
"""A provider's word, by its signature: no cookie opens it, so no site can borrow one."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")


def of_a_person(entry: Entry) -> str | None:
    """Somebody with a session who is let in; None where a session makes no difference."""
    let_in = sorted(entry.admits - {"visitor"} - CLIENTS - {"client without scopes"})
    return let_in[0] if let_in and "anyone" not in entry.admits else None


@pytest.mark.parametrize(
    "key",
    [
        key
        for key in TABLE
        if key.startswith("POST /") and key[5:].startswith(FORMS_OF_OURS) and key not in SIGNED
    ],
)
def test_no_form_is_taken_without_its_token(places: Places, key: str) -> None:
    entry = TABLE[key]
    made = entry.ask(places)
    assert made.form is not None
    actor = of_a_person(entry) or "steward own"
    headers = {"sec-fetch-site": "same-origin", **places.headers(actor, entry.owner)}
    for token in ({}, {"token": ""}, {"token": "0" * 64}):
        places.client.cookies.clear()
        answer = places.client.post(made.path, data=made.form | token, headers=headers)
        assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    "key", [key for key in TABLE if not key.startswith(SAFE) and of_a_person(TABLE[key])]
)
def test_nothing_is_done_for_another_site(places: Places, key: str) -> None:
    entry = TABLE[key]
    actor = of_a_person(entry)
    assert actor
    made = entry.ask(places)
    headers = {**places.headers(actor, entry.owner), "sec-fetch-site": "cross-site"}
    sent = dict(made.sent)
    if made.form is not None:
        sent["data"] = made.form | {"token": places.form_token(headers)}
    places.client.cookies.clear()
    headers |= sent.pop("headers", {})
    answer = places.client.request(key.split(" ")[0], made.path, headers=headers, **sent)
    assert answer.status_code == 403, answer.text


def no_more_than_a_refusal(answer: httpx2.Response) -> bool:
    """A problem document, a page that says so, an OAuth error, or the door."""
    if answer.status_code == 303 or answer.request.method == "HEAD":
        return answer.content == b""
    kind = answer.headers["content-type"]
    if kind == "application/problem+json":
        told = answer.json()
        return told["status"] == answer.status_code and "code" in told
    if answer.request.url.path.startswith("/delta-sharing/"):
        return set(answer.json()) == {"errorCode", "message"}
    if answer.request.url.path.startswith("/oauth/"):
        return set(answer.json()) == {"error", "error_description"}
    return kind == "text/html; charset=utf-8" and not answer.request.url.path.startswith("/v1/")

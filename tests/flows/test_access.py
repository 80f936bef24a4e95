"""From the catalogue to a table: what an exception restricts is asked for, given, and ended.

A telephone operator's agreement asks for business secrecy, so `presence` is restricted: everything
a collectivité, the steward, the operator and the officer do with it, over HTTP alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rdflib
from fastapi.testclient import TestClient
from rdflib.namespace import DCTERMS

from analytics.measures import MEASURES
from hub import protections, release, requests
from hub.application import application
from hub.errors import Denied
from hub.events import AuditEvent, Kind
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Role, Side
from hub.release import question
from hub.replay import replay
from tests.flows import world
from tests.flows.test_catalog import check_dcat_ap
from tests.flows.world import People

V1 = "/v1/requests"
PRESENCE = {"measure": "presence", "purpose": "mobility-planning", "territory": "45"}
TABLE = "/delta-sharing/shares/centre-val-de-loire/schemas/presence/tables/2025-2026"


def presence(volume: int = 500) -> bytes:
    """A working week in two zones of two departments, in the operator's layout."""
    rows = ["Zone; Date; Heures; Type; Volume"]
    for zone in ("Zone 0450062J", "Zone 0370016S"):
        for day in range(5):
            on = date(2026, 3, 2) + timedelta(days=day)
            rows += [f"{zone}; {on}; 07:30:00; Français; {volume + day}"]
            if day:  # one night is under the operator's floor, and was not delivered
                rows += [f"{zone}; {on}; 04:00:00; Français; 25"]
    return "\n".join([*rows, ""]).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    parts = world.hub_in(tmp_path_factory.mktemp("access") / "var")
    world.pushed(parts, "orange/presence", presence())
    release.build(parts, "presence")
    yield parts
    parts.books.close()


@pytest.fixture(scope="module")
def people(made: Parts) -> People:
    """A session of each."""
    accounts = {
        "collectivity": (Role.COLLECTIVITY, "orleans"),
        "other": (Role.COLLECTIVITY, "tours"),
        "steward": (Role.STEWARD, "hub"),
        "dpo": (Role.DPO, "hub"),
        "operator": (Role.PARTNER, "orange"),
    }
    return world.signed_in(made, accounts)


class Hub:
    """The hub at a time one can turn, and a request about `presence`."""

    def __init__(self, made: Parts, people: People) -> None:
        self.late, self.people = timedelta(), people
        self.parts = replace(made, clock=lambda: made.clock() + self.late)
        self.http = TestClient(application(self.parts), raise_server_exceptions=False)
        asked = self.as_("collectivity", "POST", V1, json=PRESENCE)
        assert (asked.status_code, asked.json()["state"]) == (201, "submitted"), asked.text
        self.address = f"{V1}/{asked.json()['id']}"

    def as_(self, name: str, method: str, path: str, **sent: Any) -> httpx2.Response:
        return self.http.request(method, path, headers=self.people[name], **sent)

    def act(self, name: str, act: str, **body: Any) -> httpx2.Response:
        return self.as_(name, "POST", f"{self.address}/{act}", json=body or None)

    def approve(self) -> None:
        assert self.act("steward", "decision", approve=True).json()["state"] == "approved"

    def profile(self, name: str = "collectivity", **query: Any) -> httpx2.Response:
        return self.as_(name, "POST", f"{self.address}/profile", params=query)

    def shared(self, path: str, token: str, method: str = "GET", **sent: Any) -> httpx2.Response:
        return self.http.request(method, path, headers={"authorization": f"Bearer {token}"}, **sent)


@pytest.fixture
def hub(made: Parts, people: People) -> Iterator[Hub]:
    one = Hub(made, people)
    yield one
    one.late = timedelta()
    one.as_("collectivity", "POST", f"{one.address}/withdrawal")


def test_what_would_show_an_operators_business_is_restricted(made: Parts) -> None:
    shelved = made.books.latest_release("presence")
    assert shelved is not None
    said = shelved.manifest
    assert (said["open"], said["licence"]) == (False, "")
    assert said["exception"]["code"] == "business_secret"
    assert said["exception"]["partners"] == ["orange"]
    assert "L. 151-1" in said["exception"]["legal_text"]
    assert said["policy"]["obligations"]["on_request_only"] is True
    assert said["protection"]["source_floor"] == 20


def agree(parts: Parts, terms: Mapping[str, Any]) -> None:
    """A new version of Orange's agreement, signed by both sides."""
    agreement = parts.books.agreement("orange", "presence")
    assert agreement is not None
    event = AuditEvent(Kind.AGREEMENT_RECORDED, "hub", "orange/presence", parts.clock())
    parts.books.add_agreement(replace(agreement, terms=terms), event=event)
    for side in Side:
        newest = parts.books.agreement_versions("orange")[-1].number
        parts.books.act_on_agreement(newest, side, "signed", "x", parts.clock(), event=event)


@pytest.mark.parametrize(
    ("asked", "reason", "code"),
    [
        ("estimates", "protection_too_weak", "protection-too-weak"),
        ("as in the annex", "protection_unknown", "denied-by-policy"),
    ],
)
def test_what_is_protected_less_than_its_agreement_asks_goes_nowhere(
    tmp_path: Path, asked: str, reason: str, code: str
) -> None:
    parts = world.hub_in(tmp_path / "var")
    people = world.signed_in(
        parts, {"collectivity": (Role.COLLECTIVITY, "orleans"), "steward": (Role.STEWARD, "hub")}
    )
    agreement = parts.books.agreement("orange", "presence")
    assert agreement is not None
    world.pushed(parts, "orange/presence", presence())
    shelved, _ = release.build(parts, "presence")
    assert shelved.manifest["policy"]["obligations"]["protection"] == "volumes"
    hub = Hub(parts, people)
    hub.approve()
    profile = hub.profile().json()
    query = (f"{TABLE}/query", profile["bearerToken"], "POST")
    handed = msgspec.json.decode(hub.shared(*query, json={}).text.splitlines()[-1])
    link = handed["file"]["url"].split("8000", 1)[1]
    assert hub.http.get(link).status_code == 200
    agree(parts, {**agreement.terms, "protection": asked})
    refused = hub.as_("collectivity", "GET", f"{hub.address}/data")
    assert (refused.status_code, refused.json()["code"]) == (403, code)
    assert hub.shared(*query, json={}).status_code == 403
    assert hub.http.get(link).status_code == 403
    world.pushed(parts, "orange/presence", presence(700))
    with pytest.raises(Denied) as denied:
        release.build(parts, "presence")
    assert reason in str(denied.value.facts)
    parts.books.close()


def test_without_the_obligation_the_same_table_is_open(tmp_path: Path) -> None:
    parts = world.hub_in(tmp_path / "var")
    agreement = parts.books.agreement("orange", "presence")
    assert agreement is not None
    agree(parts, {**agreement.terms, "obligations": {}})
    world.pushed(parts, "orange/presence", presence())
    shelved, _ = release.build(parts, "presence")
    assert (shelved.manifest["open"], shelved.manifest["exception"]) == (True, None)
    parts.books.close()


def test_the_catalogue_describes_it_and_hands_nothing_out(hub: Hub) -> None:
    (name,) = [one.id for one in hub.parts.books.releases("presence")]
    said = hub.http.get(f"/v1/catalog/{name}").json()
    assert said["dct:accessRights"]["@id"].endswith("/RESTRICTED")
    (way,) = said["dcat:distribution"]
    assert way["dcat:accessURL"]["@id"].endswith("/requests?measure=presence")
    assert "dcat:downloadURL" not in way
    assert "spdx" not in msgspec.json.encode(said["dcat:distribution"]).decode()
    page = hub.http.get(f"/catalog/{name}", headers={"accept-language": "en"}).text
    assert "/requests?measure=presence#ask" in page
    assert "on request, by a decision with its reasons" in page
    assert "<dd>Orange</dd>" in page
    assert f"/v1/releases/{name}/data" not in page
    for path in ("", "/manifest", "/data", "/receipt"):
        for who in ({}, hub.people["collectivity"], hub.people["operator"]):
            assert hub.http.get(f"/v1/releases/{name}{path}", headers=who).status_code == 403
    assert "presence" not in {one["measure"] for one in hub.http.get("/v1/releases").json()}


def test_the_catalogue_with_it_is_valid_dcat_ap(hub: Hub) -> None:
    (name,) = [one.id for one in hub.parts.books.releases("presence")]
    made = check_dcat_ap(hub.http.get("/v1/catalog").content, name)
    entry = made.value(None, DCTERMS.identifier, rdflib.Literal(name))
    assert str(made.value(entry, DCTERMS.accessRights)).endswith("/RESTRICTED")


def test_from_the_catalogue_to_pandas(hub: Hub) -> None:
    advised = hub.act("dpo", "opinion", opinion="favourable")
    assert advised.json()["opinion"] == "favourable"
    assert hub.as_("collectivity", "GET", f"{hub.address}/data").status_code == 403
    hub.approve()
    said = hub.as_("collectivity", "GET", hub.address).json()
    assert said["obligations"] == {
        "attribution": True, "no_reidentification": True, "record_read": True,
        "business_secret": True, "no_onward_sharing": True,
        "k_min": 11, "protection": "volumes", "territory": "45", "granularity": "all", "days": 90,
    }  # fmt: skip
    link = hub.as_("collectivity", "POST", f"{hub.address}/links?format=csv").json()["url"]
    table = pd.read_csv(io.BytesIO(hub.http.get(link).content))
    assert set(table["area"]) == {"Zone 0450062J"}  # the other department is not given
    assert dict(zip(table["time"], table["estimate"].fillna(-1), strict=True)) == {
        "04:00": -1, "07:30": 500,
    }  # fmt: skip
    profile = hub.profile().json()
    handed = hub.shared(f"{TABLE}/query", profile["bearerToken"], "POST", json={}).text
    file = msgspec.json.decode(handed.splitlines()[-1])["file"]
    read = pq.read_table(io.BytesIO(hub.http.get(file["url"].split("8000", 1)[1]).content))
    assert len(read) == len(table)
    assert read["estimate"].to_pylist()[1] == 500
    assert msgspec.json.decode(file["stats"])["numRecords"] == len(read)


def test_every_format_gives_the_same_figures(hub: Hub) -> None:
    hub.approve()

    def got(kind: str) -> bytes:
        answer = hub.as_("collectivity", "GET", f"{hub.address}/data?format={kind}")
        assert answer.status_code == 200, answer.text
        return answer.content

    table = pd.read_csv(io.BytesIO(got("csv")))
    book = openpyxl.load_workbook(io.BytesIO(got("xlsx")))
    header, *cells = book["Données"].iter_rows(values_only=True)
    sheet = pd.DataFrame(cells, columns=header)
    parquet = pq.read_table(io.BytesIO(got("parquet"))).to_pandas()
    json = pd.DataFrame(msgspec.json.decode(got("json")))
    for other in (sheet, parquet, json):
        assert list(other.columns) == list(table.columns)
        assert other["estimate"].astype(float).fillna(-1).tolist() == [-1, 500]
        assert other["time"].tolist() == table["time"].tolist()
    notice = {str(cell.value) for row in book["Notice"].iter_rows() for cell in row if cell.value}
    assert hub.address.rpartition("/")[2] in notice
    assert "mobility-planning" in notice
    assert any(line.startswith("To be named: centre-val-de-loire") for line in notice)
    assert any("not passed on" in line for line in notice)
    assert protections.LEVELS["volumes"]["en"] in notice
    assert MEASURES["presence"].licence not in notice


ENDS: dict[str, Callable[[Hub], object]] = {
    "the operator's veto": lambda hub: hub.act("operator", "veto", ground="business-secret"),
    "the steward's revocation": lambda hub: hub.act("steward", "revocation", ground="misuse"),
    "its asker": lambda hub: hub.act("collectivity", "withdrawal"),
    "links ended": lambda hub: hub.as_("collectivity", "DELETE", f"{hub.address}/links"),
    "its date": lambda hub: setattr(hub, "late", timedelta(days=90, seconds=1)),
}


@pytest.mark.parametrize("oauth", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_a_profile_ends_with_its_request(hub: Hub, end: str, oauth: bool) -> None:
    hub.approve()
    profile = hub.profile(oauth=oauth).json()
    token = profile.get("bearerToken") or hub.http.post(
        "/oauth/token", data={"grant_type": "client_credentials", "scope": "read"},
        auth=(profile["clientId"], profile["clientSecret"]),
    ).json()["access_token"]  # fmt: skip
    hub.late = timedelta(days=90) - timedelta(minutes=5) if end == "its date" else timedelta()
    if oauth and end == "its date":
        hub.late = timedelta()  # its access token is short-lived: the link is what outlives it
    query = (f"{TABLE}/query", token, "POST")
    lines = hub.shared(*query, json={}).text.splitlines()
    link = msgspec.json.decode(lines[-1])["file"]["url"].split("8000", 1)[1]
    assert hub.http.get(link).status_code == 200
    ENDS[end](hub)
    assert hub.http.get(link).status_code == 403
    assert hub.shared(*query, json={}).status_code in {401, 403}
    assert hub.shared("/delta-sharing/shares", token).status_code in {401, 403}


def test_a_profile_opens_what_was_asked_for_and_nothing_else(hub: Hub) -> None:
    hub.approve()
    answer = hub.profile()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].endswith('.share"')
    profile = answer.json()
    assert profile["expirationTime"].startswith(
        hub.as_("collectivity", "GET", hub.address).json()["expires_at"][:19]
    )
    token = profile["bearerToken"]
    tables = "/delta-sharing/shares/centre-val-de-loire/all-tables"
    assert [one["schema"] for one in hub.shared(tables, token).json()["items"]] == ["presence"]
    other = TABLE.replace("presence", "places")
    assert hub.shared(f"{other}/metadata", token).status_code == 404
    # A token of an OAuth profile is no login either.
    oauth = hub.profile(oauth=True).json()
    access = hub.http.post(
        "/oauth/token", data={"grant_type": "client_credentials", "scope": "read"},
        auth=(oauth["clientId"], oauth["clientSecret"]),
    ).json()["access_token"]  # fmt: skip
    assert hub.shared(tables, access).status_code == 200
    for path in (V1, "/v1/releases", hub.address, f"{hub.address}/data"):
        assert hub.shared(path, access).status_code == 403
        assert hub.shared(path, token).status_code == 401


def test_who_is_given_a_profile(hub: Hub) -> None:
    assert hub.profile().status_code == 403  # nothing is approved
    hub.approve()
    for name in hub.people:
        refused = 404 if name == "other" else 403
        assert hub.profile(name).status_code == (201 if name == "collectivity" else refused), name
    assert hub.http.post(f"{hub.address}/profile").status_code == 401


def test_an_organisation_holds_so_many_profiles(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.recipients.AT_ONCE", 2)
    hub.approve()
    assert [hub.profile().status_code for _ in range(3)] == [201, 201, 409]
    hub.as_("collectivity", "DELETE", f"{hub.address}/links")
    assert hub.profile().status_code == 201


def test_use_is_metered_under_the_request_and_decisions_are_replayed(hub: Hub) -> None:
    hub.approve()
    token = hub.profile().json()["bearerToken"]
    hub.shared(f"{TABLE}/query", token, "POST", json={})
    name = hub.address.rpartition("/")[2]
    for reader in ("collectivity", "operator", "steward"):
        uses = hub.as_(reader, "GET", "/v1/usage").json()
        mine = [one for one in uses if one["request"] == name]
        assert [(one["format"], one["partners"], one["organisation"]) for one in mine] == [
            ("delta-sharing", ["orange"], "orleans")
        ]
    (event,) = [
        one
        for one in hub.parts.books.events(kind=Kind.SHARE_ADDED)
        if msgspec.json.decode(one.body)["facts"].get("request") == name
    ]
    said = msgspec.json.decode(event.body)["facts"]
    assert (said["profile"], said["policy"][0]["rule"]) == ("bearer", "request")
    again = replay(hub.parts, hub.parts.policy)
    assert again.same
    assert again.asked["request"] > 3


def test_the_page_hands_the_profile_out(hub: Hub) -> None:
    hub.approve()
    page = hub.as_("collectivity", "GET", "/requests").text
    token = page.split('name="token" value="')[1].split('"')[0]
    assert 'value="profile"' in page
    assert "format=parquet" in page
    name = hub.address.rpartition("/")[2]
    form = {"token": token, "act": "profile", "request": name}
    headers = hub.people["collectivity"] | {"sec-fetch-site": "same-origin"}
    answer = hub.http.post("/requests", data=form, headers=headers)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.json()["shareCredentialsVersion"] == 1
    assert hub.shared("/delta-sharing/shares", answer.json()["bearerToken"]).status_code == 200
    chosen = hub.as_("collectivity", "GET", "/requests?measure=presence").text
    assert '<option value="presence" selected>' in chosen


def test_an_edition_of_a_request_is_asked_of_the_policy(hub: Hub, made: Parts) -> None:
    """The facts of the edition that is read are asked about, not those of the newest."""
    hub.approve()
    found = requests.seen(hub.parts, OPERATOR, hub.address.rpartition("/")[2])
    newest = requests.release_for(hub.parts, found)
    assert newest is not None
    assert question(hub.parts, newest)["release"]["open"] is False
    later = int(made.clock().timestamp()) + 3600
    held = replace(newest, manifest={**newest.manifest, "embargo_until": later})
    asker = Actor("user-collectivity", "collectivity", "orleans")
    assert requests.may(hub.parts, asker, "deliver", found, newest)
    assert not requests.may(hub.parts, asker, "deliver", found, held)


def test_the_statement_page_says_what_the_csv_says(hub: Hub) -> None:
    hub.approve()
    hub.as_("collectivity", "GET", f"{hub.address}/data?format=csv")
    name = hub.address.rpartition("/")[2]
    for reader in ("collectivity", "operator", "steward"):
        page = hub.as_(reader, "GET", "/usage").text
        assert name in page
        assert "of=orange" in page
        assert "of=orleans" in page
        assert '<th scope="row">Orléans Métropole</th>' in page
        assert "Orange</td>" in page
        assert hub.as_(reader, "GET", "/usage?lang=en").text.count("Statement of use") >= 2
    assert name not in hub.as_("other", "GET", "/usage").text
    of_one = hub.as_("steward", "GET", "/v1/usage?of=orange").json()
    assert name in {one["request"] for one in of_one}
    assert hub.as_("steward", "GET", "/v1/usage?of=transdev").json() == []
    assert name not in hub.as_("steward", "GET", "/usage?of=transdev").text
    assert hub.as_("steward", "GET", "/usage?month=2026-13").status_code == 422
    assert hub.http.get("/usage", follow_redirects=False).headers["location"] == "/login"

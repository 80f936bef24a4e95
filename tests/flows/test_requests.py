"""Requests: asked, decided, vetoed, ended; by every role, one's own and another's, over HTTP."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import geopandas as gpd
import httpx2
import msgspec
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from hub import delivery, metering, release, requests, worker
from hub.application import application
from hub.audit import receipts
from hub.cli.app import app
from hub.errors import Conflict, Denied, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import links, tokens
from hub.parts import OPERATOR, Actor, Parts
from hub.reconcile import reconcile
from hub.records import Account, Organisation, Release, RequestState, Role
from hub.requests import MOVES, Asked
from hub.shelf import MEDIA_TYPES
from hub.storage.books import Search
from tests.flows import world
from tests.flows.test_http import is_problem
from tests.flows.world import People

ORLEANS = Actor("user-1", "collectivity", "orleans")
STEWARD = Actor("user-2", "steward", "hub")
OPEN = {"measure": "places", "purpose": "mobility-planning"}
ASKED = Asked(**OPEN)  # type: ignore[arg-type]
V1 = "/v1/requests"


class Clock:
    """The hub's clock, which a test moves on."""

    def __init__(self, real: Callable[[], Any]) -> None:
        self.real, self.ahead = real, timedelta(0)

    def __call__(self) -> Any:
        return self.real() + self.ahead


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A hub with an open release and, under another measure's name, a restricted one."""
    parts = world.hub_in(tmp_path_factory.mktemp("hub") / "var")
    world.map_data(parts)
    shelved, _ = release.build(parts, "places")
    restrict(parts, shelved)
    return parts


def restrict(parts: Parts, shelved: Release) -> Release:
    """The same table under `modal-split`, with a cited exception."""
    name, digest = f"modal-split-{shelved.period}-1", shelved.digest[::-1]
    manifest = {**shelved.manifest, "measure": "modal-split", "id": name, "open": False}
    for kind in shelved.manifest["digest"]:
        data = parts.objects.get(release.object_name(shelved.digest, kind))
        parts.objects.put(release.object_name(digest, kind), [data])
    parts.objects.put(release.object_name(digest, "manifest"), [msgspec.json.encode(manifest)])
    kept = replace(shelved, id=name, measure="modal-split", manifest=manifest, digest=digest)
    event = AuditEvent(Kind.RELEASE_INTENDED, "hub", name, parts.clock(), {})
    parts.books.intend_release(digest, {"release": name}, event=event)
    event = replace(event, kind=Kind.RELEASE_PUBLISHED, facts={"contributors": 0})
    return parts.books.publish_release(kept, event=event)


@pytest.fixture
def parts(made: Parts) -> Parts:
    """The hub, with whatever was asked before taken back."""
    for one in made.books.requests():
        if one.state in {RequestState.SUBMITTED, RequestState.APPROVED}:
            asker = Actor(one.asked_by, one.role, one.organisation)
            requests.move(made, asker, one.id, "withdraw")
    return replace(made, clock=Clock(made.clock))


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(
        application(parts), base_url="https://hub.test", raise_server_exceptions=False
    )


@pytest.fixture(scope="module")
def people(made: Parts) -> People:
    """A session of an account of every role, by role, and of others of the same organisations."""
    accounts = {
        "collectivity": (Role.COLLECTIVITY, "orleans"),
        "colleague": (Role.COLLECTIVITY, "orleans"),
        "other": (Role.COLLECTIVITY, "tours"),
        "school": (Role.SCHOOL, world.UAI),
        "operator": (Role.OPERATOR, "exploitant"),
        "partner": (Role.PARTNER, "coachco2"),
        "other-partner": (Role.PARTNER, "orange"),
        "steward": (Role.STEWARD, "hub"),
        "own-steward": (Role.STEWARD, "orleans"),
        "dpo": (Role.DPO, "hub"),
        "auditor": (Role.AUDITOR, "cnil"),
    }
    return {**world.signed_in(made, accounts), "anyone": {}}


def ask(client: TestClient, who: dict[str, str], **asked: Any) -> httpx2.Response:
    return client.post(V1, json={**OPEN, **asked}, headers=who)


def submitted(client: TestClient, people: People, **asked: Any) -> str:
    made = ask(client, people["collectivity"], measure="modal-split", **asked)
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "submitted"
    return f"{V1}/{made.json()['id']}"


def test_an_open_release_leaves_nothing_to_decide(client: TestClient, people: People) -> None:
    made = ask(client, people["collectivity"], territory="45", days=30)
    assert made.status_code == 201
    said = made.json()
    assert (said["state"], said["decided_by"], said["days"]) == ("approved", "policy", 30)
    assert said["obligations"] == {
        "attribution": True, "no_reidentification": True, "record_read": True,
        "k_min": 11, "protection": "open", "territory": "45", "granularity": "all", "days": 30,
    }  # fmt: skip
    assert said["partners"] == ["region"]
    assert client.get(f"{V1}/{said['id']}", headers=people["colleague"]).json() == said


def test_a_restricted_release_waits_for_a_steward(client: TestClient, people: People) -> None:
    address = submitted(client, people)
    assert is_problem(client.get(f"{address}/receipt", headers=people["collectivity"]), 404)
    advised = client.post(f"{address}/opinion", json={"opinion": "reserved"}, headers=people["dpo"])
    assert advised.json()["opinion"] == "reserved"
    decided = client.post(
        f"{address}/decision", json={"approve": True}, headers=people["steward"]
    ).json()
    assert (decided["state"], decided["decided_by"]) == ("approved", "steward")
    assert decided["opinion"] == "reserved"
    assert decided["obligations"]["no_onward_sharing"] is True
    again = client.post(f"{address}/decision", json={"approve": True}, headers=people["steward"])
    assert is_problem(again, 409)


ACTS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    # What is asked, with which body, and who may. What cannot be read is unknown: 404.
    "read": ("", {}, {"collectivity", "colleague", "partner", "steward", "own-steward", "operator",
                      "dpo", "auditor"}),
    "approve": ("/decision", {"approve": True}, {"steward", "operator"}),
    "refuse": ("/decision", {"approve": False, "ground": "purpose"}, {"steward", "operator"}),
    "veto": ("/veto", {"ground": "business-secret"}, {"partner"}),
    "opinion": ("/opinion", {"opinion": "favourable"}, {"dpo"}),
    "withdraw": ("/withdrawal", {}, {"collectivity", "colleague"}),
    "revoke": ("/revocation", {"ground": "misuse"}, {"steward", "own-steward", "operator"}),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_who_may_do_what_with_whose_request(
    parts: Parts, client: TestClient, people: People, act: str
) -> None:
    path, body, allowed = ACTS[act]
    method, before = ("GET" if act == "read" else "POST"), "submitted"
    address = submitted(client, people)
    if act == "revoke":
        decide(parts, address)
        before = "approved"
    for name in sorted(people, key=allowed.__contains__):  # those who may come last
        if name in allowed and state_of(parts, address) != before:
            if state_of(parts, address) == "approved":
                client.post(f"{address}/withdrawal", headers=people["collectivity"])
            address = submitted(client, people)
            if act == "revoke":
                decide(parts, address)
        answer = client.request(method, address + path, json=body or None, headers=people[name])
        readers = ACTS["read"][2]
        refused = 401 if name == "anyone" else 403 if name in readers else 404
        assert answer.status_code == (200 if name in allowed else refused), (act, name)
        stays = name not in allowed or act in {"read", "opinion"}
        assert (state_of(parts, address) == before) == stays, name


def state_of(parts: Parts, address: str) -> str:
    found = parts.books.request(address.split("/")[-1])
    assert found is not None
    return str(found.state)


def decide(parts: Parts, address: str, *, approved: bool = True) -> None:
    ground = "" if approved else "purpose"
    requests.decide(parts, STEWARD, address.split("/")[-1], approved=approved, ground=ground)


def test_who_may_ask(parts: Parts, client: TestClient, people: People) -> None:
    may = {"collectivity", "colleague", "other", "school", "operator"}
    for at, (name, who) in enumerate(people.items()):
        territory = sorted(parts.territory.departments)[at % 2]  # or one repeats the other
        answer = ask(client, who, purpose="evaluation", territory=territory)
        expected = 201 if name in may else 401 if name == "anyone" else 403
        assert answer.status_code == expected, name


def test_each_lists_what_it_may_read(client: TestClient, people: People) -> None:
    address = submitted(client, people)
    for name, who in people.items():
        answer = client.get(V1, headers=who)
        if name == "anyone":
            assert is_problem(answer, 401)
            continue
        ids = {one["id"] for one in answer.json()}
        assert (address.split("/")[-1] in ids) == (name in ACTS["read"][2]), name


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"measure": "nothing"}, 404, "unknown-measure"),
        ({"territory": "75"}, 422, "not-in-the-list"),
        ({"recipients": ["nobody"]}, 422, "recipient-unknown"),
        ({"recipients": ["o" * 51]}, 422, "invalid-request"),
        ({"purpose": "advertising"}, 403, "denied-by-policy"),
        ({"granularity": "pupil"}, 403, "denied-by-policy"),
        ({"days": 0}, 422, "invalid-request"),
        ({"days": 367}, 422, "invalid-request"),
        ({"days": "30"}, 422, "invalid-request"),
        ({"why": "because"}, 422, "invalid-request"),
        ({"territory": 'a"b'}, 403, "denied-by-policy"),
    ],
)
def test_what_cannot_be_asked_for(
    client: TestClient, people: People, asked: dict[str, Any], status: int, code: str
) -> None:
    answer = ask(client, people["collectivity"], **asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_duplicate_opens_nothing_and_is_asked_of_the_policy_first(
    client: TestClient, people: People
) -> None:
    first = ask(client, people["collectivity"])
    again = ask(client, people["colleague"], days=10)
    assert (again.status_code, again.json()["code"]) == (409, "request-exists")
    assert again.json()["request"] == first.json()["id"]
    # Who may not ask is told so, not that somebody else has asked; another's is no duplicate.
    assert ask(client, people["own-steward"]).json()["code"] == "denied-by-policy"
    assert ask(client, {}).status_code == 401
    assert ask(client, people["other"]).status_code == 201


@pytest.mark.parametrize("body", [{"approve": False}, {"approve": False, "ground": "because"}])
def test_a_refusal_says_its_ground(
    client: TestClient, people: People, body: dict[str, Any]
) -> None:
    address = submitted(client, people)
    answer = client.post(f"{address}/decision", json=body, headers=people["steward"])
    assert (answer.status_code, answer.json()["where"]) == (422, "ground")


def test_every_decision_gives_its_asker_a_signed_receipt(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = submitted(client, people)
    decide(parts, address)
    for state in ("approved", "vetoed"):
        if state == "vetoed":
            body = {"ground": "business-secret"}
            assert client.post(f"{address}/veto", json=body, headers=people["partner"]).is_success
        assert is_problem(client.get(f"{address}/receipt", headers=people["collectivity"]), 404)
        parts.sequence()
        note = client.get(f"{address}/receipt", headers=people["collectivity"])
        held = receipts.verified(note.content, parts.log.keys)
        assert held.checkpoint is not None
        assert held.facts["kind"] == "request"
        assert (held.facts["request"], held.facts["state"]) == (address.split("/")[-1], state)
        assert held.facts["bundle"] == parts.policy.bundle_digest
        assert is_problem(client.get(f"{address}/receipt", headers=people["other"]), 404)
    # Who decided has a receipt of the policy's answer, under the same event.
    event = parts.books.events(kind=Kind.REQUEST_VETOED)[-1]
    name = str(event.body).split('"decision":"')[1].split('"')[0]
    theirs = client.get(f"/v1/decisions/{name}/receipt", headers=people["partner"])
    assert receipts.verified(theirs.content, parts.log.keys).facts["answer"] == "allowed"
    assert reconcile(parts).problems == []


def test_the_officer_finds_everything_that_ever_happened_to_a_request(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = submitted(client, people)
    request_id = address.split("/")[-1]
    body = {"approve": True}
    alike = ask(client, people["collectivity"], measure="modal-split", days=89).json()
    assert alike["request"] == request_id  # a duplicate is no request of its own
    client.post(f"{address}/decision", json=body, headers=people["own-steward"])  # refused
    client.post(f"{address}/opinion", json={"opinion": "favourable"}, headers=people["dpo"])
    client.post(f"{address}/decision", json=body, headers=people["steward"])
    client.post(f"{address}/revocation", json={"ground": "misuse"}, headers=people["steward"])
    found = client.get(f"/v1/audit/events?about={request_id}", headers=people["dpo"])
    kinds = [one["event"]["kind"] for one in found.json()]
    assert kinds == [
        "request.submitted", "access.denied", "request.opinion", "request.decided",
        "request.revoked",
    ]  # fmt: skip
    assert client.get(f"/v1/audit/events?about={request_id}", headers=people["steward"]).is_error


def test_a_refusal_is_found_by_the_request_it_was_about(client: TestClient, people: People) -> None:
    both = [submitted(client, people), submitted(client, people, territory="45")]
    for address in both:
        for act in ("/withdrawal", "/decision"):
            body = {"approve": True} if act == "/decision" else None
            answer = client.post(address + act, json=body, headers=people["auditor"])
            assert answer.status_code == 403
    for address in both:
        about = f"/v1/audit/events?kind=access.denied&about={address.split('/')[-1]}"
        assert len(client.get(about, headers=people["dpo"]).json()) == 2


def test_an_approval_ends_by_its_date_before_anybody_notes_it(parts: Parts) -> None:
    made = requests.submit(parts, ORLEANS, ASKED)
    assert made.expires_at is not None
    parts.clock.ahead = timedelta(days=90, seconds=1)  # type: ignore[attr-defined]
    assert requests.state(made, parts.clock()) is RequestState.EXPIRED
    with pytest.raises(Conflict):
        requests.move(parts, STEWARD, made.id, "revoke", "misuse")
    again = requests.submit(parts, ORLEANS, ASKED)  # what has expired is no duplicate
    worker.tidy(parts, parts.clock())
    kept = parts.books.request(made.id)
    assert kept is not None
    assert (kept.state, kept.epoch) == (RequestState.EXPIRED, 1)
    assert requests.expire(parts) == 0
    assert requests.seen(parts, ORLEANS, again.id).state is RequestState.APPROVED


def test_a_renewal_takes_over_once_it_is_approved(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = submitted(client, people)
    early = client.post(f"{address}/renewal", json={"days": 30}, headers=people["collectivity"])
    assert is_problem(early, 409)
    decide(parts, address)
    other = client.post(f"{address}/renewal", json={"days": 30}, headers=people["other"])
    assert is_problem(other, 404)
    anew = client.post(f"{address}/renewal", json={"days": 30}, headers=people["collectivity"])
    assert (anew.status_code, anew.json()["state"]) == (201, "submitted")
    twice = client.post(f"{address}/renewal", json={"days": 30}, headers=people["collectivity"])
    assert is_problem(twice, 409)
    assert client.get(address, headers=people["dpo"]).json()["state"] == "approved"
    decide(parts, f"{V1}/{anew.json()['id']}")
    assert client.get(address, headers=people["dpo"]).json()["state"] == "renewed"


def test_of_two_who_decide_at_once_one_is_told(parts: Parts) -> None:
    asked = Asked(measure="modal-split", purpose="evaluation")
    made = requests.submit(parts, ORLEANS, asked)
    decision = parts.policy.decide("request", {})
    event = requests._event(parts, Kind.REQUEST_OPINION, STEWARD, made, decision)
    parts.books.change_request(replace(made, opinion="reserved"), event=event)
    with pytest.raises(Conflict, match="not, or no longer"):
        requests._approve(parts, STEWARD, made, decision, "steward")
    assert requests.seen(parts, ORLEANS, made.id).state is RequestState.SUBMITTED


def test_who_would_be_given_the_data_does_not_decide(parts: Parts, people: People) -> None:
    asked = Asked(measure="modal-split", purpose="evaluation", recipients=["orleans", "hub"])
    made = requests.submit(parts, ORLEANS, asked)
    for actor in (STEWARD, OPERATOR):
        with pytest.raises(Denied) as denied:
            requests.decide(parts, actor, made.id, approved=True)
        assert denied.value.facts["reasons"] == ["own_request"]
    elsewhere = Actor("user-3", "steward", "prefecture")
    assert requests.decide(parts, elsewhere, made.id, approved=True).decided_by == "steward"


def test_the_table_of_moves_names_every_state_and_ends() -> None:
    reached = {step.to for step in MOVES.values()} | {RequestState.SUBMITTED}
    assert reached == set(RequestState)
    open_states = {RequestState.SUBMITTED, RequestState.APPROVED}
    assert {state for step in MOVES.values() for state in step.after} == open_states
    assert all(step.to not in step.after for step in MOVES.values())


def test_at_the_console_the_operator_decides(
    parts: Parts, client: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(parts.settings.home))

    def said(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["request", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return msgspec.json.decode(done.stdout)

    request_id = submitted(client, people).split("/")[-1]
    assert [one["id"] for one in said("list", "--waiting")] == [request_id]
    assert said("show", request_id)["state"] == "submitted"
    assert said("approve", request_id)["decided_by"] == "operator"
    assert said("revoke", request_id, "--ground", "misuse")["state"] == "revoked"
    request_id = submitted(client, people).split("/")[-1]
    assert said("refuse", request_id, "--ground", "purpose")["ground"] == "purpose"
    done = CliRunner().invoke(app, ["request", "show", "nothing"])
    assert isinstance(done.exception, NotFound)


# Delivery --------------------------------------------------------------------------------------


def approved(client: TestClient, people: People, **asked: Any) -> str:
    made = ask(client, people["collectivity"], **asked)
    assert made.json()["state"] == "approved", made.text
    return f"{V1}/{made.json()['id']}"


def linked(client: TestClient, people: People, address: str, kind: str = "csv") -> str:
    made = client.post(f"{address}/links?format={kind}", headers=people["collectivity"])
    assert made.status_code == 201
    return str(made.json()["url"])


def test_who_is_given_the_data(client: TestClient, people: People) -> None:
    address = approved(client, people, recipients=["orleans", world.UAI])
    given = {"collectivity", "colleague", "school"}
    knows = {"steward", "own-steward", "operator", "dpo", "auditor"}
    for name, who in people.items():
        answer = client.get(f"{address}/data", headers=who)
        refused = 401 if name == "anyone" else 403 if name in knows else 404
        assert answer.status_code == (200 if name in given else refused), name
        made = client.post(f"{address}/links", headers=who)
        assert made.status_code == (201 if name in given else refused), name
        ended = client.delete(f"{address}/links", headers=who)
        assert ended.status_code == (200 if name in given else refused), name


def test_every_format_gives_the_release_and_its_territory_a_part(
    client: TestClient, people: People
) -> None:
    whole = approved(client, people)
    ours = approved(client, people, territory="45")
    none = approved(client, people, territory="18")
    rows = {
        name: client.get(f"{at}/data?format=json", headers=people["collectivity"]).json()
        for name, at in {"whole": whole, "ours": ours, "none": none}.items()
    }
    shelved = client.get("/v1/releases").json()[-1]
    assert rows["whole"] == client.get(shelved["data"]["json"]).json()
    assert rows["ours"] == [row for row in rows["whole"] if row["commune"].startswith("45")]
    assert rows["ours"]
    assert rows["none"] == [row for row in rows["whole"] if row["commune"].startswith("18")]
    for kind in ("csv", "xlsx", "parquet", "geojson"):
        link = linked(client, people, ours, kind)
        by_account = client.get(f"{ours}/data?format={kind}", headers=people["collectivity"])
        by_link = client.get(link)
        assert by_account.content == by_link.content
        assert by_link.headers["content-type"].split(";")[0] == MEDIA_TYPES[kind].split(";")[0]
        assert by_link.headers["cache-control"] == "private, no-store"
    wrong = client.get(f"{ours}/data?format=doc", headers=people["collectivity"])
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown-format")


def test_delivered_links_give_the_same_figures_to_what_people_open_them_with(
    client: TestClient, people: People
) -> None:
    ours = approved(client, people, territory="45")

    def at(kind: str) -> io.BytesIO:
        return io.BytesIO(client.get(linked(client, people, ours, kind)).content)

    table = pd.read_csv(at("csv"), dtype={"commune": str})
    header, *cells = openpyxl.load_workbook(at("xlsx"))["Données"].iter_rows(values_only=True)
    sheet = pd.DataFrame(cells, columns=header)
    layer = gpd.read_file(at("geojson"))
    layer["lon"], layer["lat"] = layer.geometry.x, layer.geometry.y
    assert len(table) > 1
    for other in (sheet, layer):
        assert set(table.columns) <= set(other.columns)
        pd.testing.assert_frame_equal(
            other[list(table.columns)].astype(object).where(other.notna(), None),
            table.astype(object).where(table.notna(), None),
            check_dtype=False,
        )


@pytest.mark.parametrize(
    ("territory", "granularity", "kept"),
    [
        ("all", "all", "rdabcg"),
        ("45", "all", "dab"),
        ("all", "lycee", "abc"),
        ("45", "lycee", "ab"),
        ("37", "lycees", "g"),
        ("37", "region", ""),
    ],
)
def test_a_table_is_narrowed_to_what_was_asked(
    parts: Parts, territory: str, granularity: str, kept: str
) -> None:
    table = pa.table(
        {
            "geography": ["region", "department", "lycee", "lycee", "lycee", "lycees"],
            "area": ["24", "45", "0450062J", "0450049V", "0370016S", "37"],
            "row": list("rdabcg"),
        }
    )
    asked = Asked(measure="modal-split", purpose="evaluation")
    made = replace(
        requests.submit(parts, ORLEANS, asked), territory=territory, granularity=granularity
    )
    assert "".join(delivery.narrow(table, made)["row"].to_pylist()) == kept
    if (territory, granularity) != ("all", "all"):
        with pytest.raises(Rejected):  # what cannot be narrowed is not given whole
            delivery.narrow(table.select(["row"]), made)


def test_a_link_serves_parts_and_tells_of_each_reading_but_not_of_head(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = approved(client, people)
    link = linked(client, people, address, "parquet")
    before = len(reads(parts, address))
    head = client.head(link)
    assert (head.status_code, head.content) == (200, b"")
    whole = client.get(link).content
    assert int(head.headers["content-length"]) == len(whole)
    part = client.get(link, headers={"range": "bytes=-4"})
    assert (part.status_code, part.content) == (206, whole[-4:])
    told = reads(parts, address)[before:]
    assert [facts["part"] for facts in told] == [False, True]
    assert {facts["request"] for facts in told} == {address.split("/")[-1]}
    assert {facts["format"] for facts in told} == {"parquet"}
    assert told[0]["partner"] == ["region"]


def reads(parts: Parts, address: str) -> list[dict[str, Any]]:
    wanted = Search(kinds=(str(Kind.RELEASE_READ),), topics=(f"about:{address.split('/')[-1]}",))
    return [msgspec.json.decode(one.body)["facts"] for one in parts.books.search(wanted)]


@pytest.mark.parametrize("end", ["expires", "revoked", "vetoed", "withdrawn", "unlinked", "late"])
def test_what_is_over_gives_nothing_from_that_moment(
    parts: Parts, client: TestClient, people: People, end: str
) -> None:
    address = approved(client, people)
    data, link = f"{address}/data", linked(client, people, address)
    assert client.get(link, headers={"range": "bytes=0-1"}).status_code == 206
    clock: Any = parts.clock
    if end == "late":
        clock.ahead = delivery.LIFETIME
    if end == "expires":
        clock.ahead = timedelta(days=90)
    ground = {"ground": "misuse"}
    acts: dict[str, Callable[[], httpx2.Response]] = {
        "revoked": lambda: client.post(
            f"{address}/revocation", json=ground, headers=people["steward"]
        ),
        "vetoed": lambda: client.post(f"{address}/veto", json=ground, headers=owner(parts)),
        "withdrawn": lambda: client.post(f"{address}/withdrawal", headers=people["colleague"]),
        "unlinked": lambda: client.delete(f"{address}/links", headers=people["collectivity"]),
    }
    if end in acts:
        assert acts[end]().status_code == 200
    before = len(reads(parts, address))
    assert is_problem(client.get(link, headers={"range": "bytes=2-3"}), 410)
    stands = end in {"unlinked", "late"}
    answer = client.get(data, headers=people["collectivity"])
    assert answer.status_code == (200 if stands else 410)
    assert len(reads(parts, address)) == before + stands


def owner(parts: Parts) -> dict[str, str]:
    """A session of the partner whose open data it is."""
    login = f"region-{parts.token(4)}@requests.example"
    account = Account(login, login, "region", Role.PARTNER, "none")
    event = AuditEvent(Kind.USER_ADDED, "hub", account.id, parts.clock())
    parts.books.add_account(account, event=event)
    end = parts.clock() + timedelta(days=1)
    parts.books.add_session(tokens.digest(login), account.id, end, event=event)
    return {"cookie": f"hub-session={login}"}


def test_a_link_the_hub_did_not_make_opens_nothing(
    parts: Parts, client: TestClient, people: People
) -> None:
    address, other = approved(client, people), approved(client, people, territory="45")
    link = linked(client, people, address)
    text = link.split("=", 1)[1]
    said = links.read(parts.keyring.link_key, text)
    forged = links.sign(b"0" * 32, said)
    moved = links.sign(parts.keyring.link_key, replace(said, organisation="tours"))
    header, claims, signature = text.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"hub-link+jwt"}').decode()
    wrong = ["", "x", "a.b.c", forged, f"{header}.{claims}.", f"{unsigned.rstrip('=')}.{claims}.",
             f"{header}.{claims}.{signature[::-1]}", moved]  # fmt: skip
    for one in wrong:
        assert is_problem(client.get(f"{address}/file?link={one}"), 404), one
    assert is_problem(client.get(f"{other}/file?link={text}"), 404)
    assert is_problem(client.get(f"{address}/file"), 422)
    assert client.get(link).status_code == 200


def test_what_is_not_approved_or_not_there_gives_nothing(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = submitted(client, people)
    who = people["collectivity"]
    assert client.get(f"{address}/data", headers=who).json()["code"] == "request-not-approved"
    decide(parts, address, approved=False)
    assert client.get(f"{address}/data", headers=who).status_code == 403
    later = submitted(client, people, period="2031-2032")
    decide(parts, later)
    assert client.get(f"{later}/data", headers=who).json()["code"] == "no-release-yet"


def test_fewer_people_than_agreed_are_not_handed_out(
    parts: Parts, client: TestClient, people: People
) -> None:
    address = approved(client, people)
    made = requests.seen(parts, ORLEANS, address.split("/")[-1])
    stricter = replace(made, obligations={**made.obligations, "k_min": 20})
    parts.books.change_request(
        stricter, event=AuditEvent(Kind.REQUEST_OPINION, "hub", made.id, parts.clock())
    )
    answer = client.get(f"{address}/data", headers=people["collectivity"])
    assert (answer.status_code, answer.json()["code"]) == (403, "too-few-people")


# Metering --------------------------------------------------------------------------------------


def test_a_statement_tells_each_what_concerns_them(
    parts: Parts, client: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Any = parts.clock
    clock.ahead = timedelta(days=40)  # a month nothing else has read in
    month = metering.this_month(parts.clock())
    address = approved(client, people)
    for _ in range(2):
        client.get(f"{address}/data", headers=people["collectivity"])
    client.get(linked(client, people, address), headers={"range": "bytes=0-9"})
    shelved = client.get("/v1/releases").json()[-1]
    client.get(shelved["data"]["csv"], headers=people["other"])
    client.get(shelved["data"]["csv"])  # anyone: leaves no trace
    by_request = {
        "month": month, "organisation": "orleans", "release": shelved["id"],
        "request": address.split("/")[-1], "purpose": "mobility-planning", "format": "csv",
        "partners": ["region"], "reads": 2, "parts": 1,
    }  # fmt: skip
    openly = by_request | {
        "organisation": "tours", "request": "", "purpose": "", "reads": 1, "parts": 0,
    }  # fmt: skip
    both = [by_request, openly]
    seen = {
        "steward": both, "dpo": both, "auditor": both, "operator": both, "own-steward": both,
        "collectivity": [by_request], "colleague": [by_request], "other": [openly], "school": [],
        "partner": [], "other-partner": [],
    }  # fmt: skip
    for name, expected in seen.items():
        answer = client.get(f"/v1/usage?month={month}", headers=people[name])
        assert answer.json() == expected, name
    assert client.get("/v1/usage", headers=owner(parts)).json() == both
    assert is_problem(client.get("/v1/usage"), 401)
    table = client.get(f"/v1/usage?month={month}&format=csv", headers=people["steward"]).text
    lines = list(csv.DictReader(table.splitlines()))
    assert [line["reads"] for line in lines] == ["2", "1"]
    assert lines[0]["partners"] == "region"
    assert client.get("/v1/usage?month=2020-01", headers=people["steward"]).json() == []
    for wrong in ("2026-13", "2026-00", "2026", "x", "٢٠٢٦-01", "0000-01"):
        assert is_problem(client.get(f"/v1/usage?month={wrong}", headers=people["dpo"]), 422)
    monkeypatch.setenv("HUB_HOME", str(parts.settings.home))
    done = CliRunner().invoke(app, ["usage", "--month", month, "--json"])
    assert msgspec.json.decode(done.stdout) == both
    done = CliRunner().invoke(app, ["usage", "--month", month, "--organisation", "tours", "--csv"])
    assert done.stdout.splitlines()[1:] == [table.splitlines()[2]]


# Pages -----------------------------------------------------------------------------------------


def form_token(client: TestClient, who: dict[str, str]) -> str:
    page = client.get("/requests", headers=who)
    assert page.status_code == 200
    return str(re.findall(r'name="token" value="([0-9a-f]+)"', page.text)[0])


def send(client: TestClient, who: dict[str, str], **form: str) -> httpx2.Response:
    sent = {"token": form_token(client, who), **form}
    same = {"sec-fetch-site": "same-origin"}
    return client.post("/requests", data=sent, headers=who | same, follow_redirects=False)


FORM = {
    "act": "submit", "measure": "modal-split", "purpose": "evaluation", "territory": "45",
    "granularity": "department", "recipients": "", "days": "30",
}  # fmt: skip


def test_the_page_calls_organisations_by_their_names(
    parts: Parts, client: TestClient, people: People
) -> None:
    submitted(client, people, recipients=["orleans", "tours"])
    known = AuditEvent(Kind.PARTNER_ADDED, "hub", "orleans", parts.clock())
    parts.books.add_organisation(Organisation("orleans", "Orléans Métropole"), event=known)
    page = client.get("/requests", headers=people["collectivity"]).text
    assert "· Orléans Métropole</h3>" in page
    assert "<dd>Orléans Métropole, tours</dd>" in page  # nobody said what tours is called


def test_a_request_is_made_and_decided_by_forms_alone(
    parts: Parts, client: TestClient, people: People
) -> None:
    assert send(client, people["collectivity"], **FORM).status_code == 303
    (made,) = [one for one in requests.listed(parts, ORLEANS) if one.state == "submitted"]
    assert (made.granularity, made.territory, made.days) == ("department", "45", 30)
    page = client.get("/requests", headers=people["steward"]).text
    assert made.id in page
    assert 'value="approve"' in page
    for name, act, state in (
        ("dpo", {"act": "opinion", "opinion": "reserved"}, "submitted"),
        ("steward", {"act": "approve"}, "approved"),
        ("partner", {"act": "veto", "ground": "business-secret"}, "vetoed"),
    ):
        done = send(client, people[name], request=made.id, **act)
        assert done.status_code == 303, done.text
        assert requests.seen(parts, ORLEANS, made.id).state == state
    page = client.get("/requests?lang=en", headers=people["collectivity"]).text
    assert "Vetoed by the partner whose data it is" in page
    assert "<dt>Protection demanded, at least</dt><dd>estimates from volunteers" in page
    assert "Reserved" in page


def test_the_page_offers_what_each_may_do(client: TestClient, people: People) -> None:
    request_id = submitted(client, people).split("/")[-1]
    offered = {
        "collectivity": {"submit", "withdraw"}, "colleague": {"submit", "withdraw"},
        "other": {"submit"}, "school": {"submit"}, "operator": {"submit", "approve", "refuse"},
        "partner": {"veto"}, "other-partner": set(), "steward": {"approve", "refuse"},
        "own-steward": set(), "dpo": {"opinion"}, "auditor": set(),
    }  # fmt: skip
    for name, acts in offered.items():
        page = client.get("/requests", headers=people[name]).text
        _, _, waiting = page.partition('id="waiting"')
        block = waiting.partition("</section>")[0]
        found = set(re.findall(r'name="act" value="([a-z]+)"', block))
        assert found == acts - {"submit"}, name
        assert ('value="submit"' in page) == ("submit" in acts), name
        assert (request_id in page) == (name in ACTS["read"][2]), name
    away = client.get("/requests?measure=presence", follow_redirects=False)
    assert (away.status_code, away.headers["location"]) == (303, "/login")
    assert quote("/requests?measure=presence") in away.headers["set-cookie"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"token": "0" * 64}, 403),
        ({"days": "0"}, 422),
        ({"days": "x"}, 422),
        ({"act": "nothing"}, 422),
        ({"purpose": "advertising"}, 403),
        ({"recipients": "nobody"}, 422),
        ({"measure": "x" * 60}, 422),
        ({"act": "approve", "request": "nothing"}, 404),
    ],
)
def test_a_form_that_cannot_stand_says_why(
    parts: Parts, client: TestClient, people: People, change: dict[str, str], status: int
) -> None:
    before = len(parts.books.requests())
    answer = send(client, people["collectivity"], **FORM | change)
    assert answer.status_code == status
    assert "text/html" in answer.headers["content-type"] or "token" in change
    assert len(parts.books.requests()) == before


def test_the_page_says_what_changed_since_the_last_visit(
    parts: Parts, client: TestClient, people: People
) -> None:
    clock: Any = parts.clock
    clock.ahead = timedelta(days=200)  # later than whatever else has happened here
    address = submitted(client, people)
    cookie = people["collectivity"]["cookie"]

    def visit(seen: str) -> httpx2.Response:
        also = f"; hub-requests={seen}" if seen else ""
        return client.get("/requests", headers={"cookie": cookie + also})

    kept = visit("").cookies["hub-requests"].strip('"')
    assert "Changées depuis" not in visit(kept).text
    decide(parts, address)
    page = visit(kept).text
    assert re.search("Changées depuis votre dernière visite.: <strong>1</strong>", page)
    assert "Changées depuis" not in visit("yesterday").text

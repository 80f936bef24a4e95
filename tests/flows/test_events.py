"""The DPO finds what happened, with proofs; every look is itself an event."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from hub import lookup, release, withdraw, worker
from hub.application import application
from hub.audit import merkle, proofs
from hub.audit.entries import entry_of
from hub.cli.app import app
from hub.cli.operate import add_user
from hub.consents import digest_of
from hub.errors import Denied, HubError, NotFound, Rejected, Unauthenticated
from hub.events import AuditEvent, Kind
from hub.lookup import Question
from hub.parts import OPERATOR, Actor, Parts
from hub.records import LoggedEvent, Role
from tests.flows import world

DPO = Actor("user-1", "dpo", "region")
EVENTS = "/v1/audit/events"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    parts = world.hub_in(tmp_path_factory.mktemp("events") / "var")
    add_user(parts, "dpo", Role.DPO, "region", "correct horse")
    add_user(parts, "desk", Role.STEWARD, "region", "correct horse")
    world.reference_data(parts)
    people = ["ada", "bob", *(f"acc-{n:03d}" for n in range(58))]
    modes = ("CAR", "BUS", "WALKING", "BICYCLING")
    world.agree(parts, *people)
    world.pushed(parts, "coachco2/trips", world.trips(people, days=4, modes=modes))
    world.pushed(parts, "region/lycees", b"not a directory")
    person = digest_of(parts, "coachco2", "ada")
    withdraw.withdraw(parts, OPERATOR, "coachco2", person, via="cli")
    worker.drain(parts)
    release.build(parts, "modal-split")
    parts.sequence()
    yield parts
    parts.books.close()


def kinds(parts: Parts, **asked: str) -> list[str]:
    found = lookup.look(parts, DPO, Question(**asked), limit=1000)
    return [lookup.shown(event)["event"]["kind"] for event in found.events]


def test_by_kind_and_outcome(parts: Parts) -> None:
    assert set(kinds(parts, kind="push.stored")) == {"push.stored"}
    assert kinds(parts, outcome="refused") == ["push.refused"]
    assert kinds(parts, kind="push.stored", outcome="refused") == []
    assert set(kinds(parts, outcome="done")) & set(map(str, lookup.REFUSALS)) == set()


def test_by_organisation_dataset_and_purpose(parts: Parts) -> None:
    theirs = kinds(parts, organisation="coachco2")
    assert {"push.accepted", "consent.given", "consent.withdrawn"} <= set(theirs)
    assert "user.added" not in theirs
    of = kinds(parts, dataset="coachco2/trips")
    assert set(of) == {
        "push.accepted", "push.stored", "table.rewritten", "withdrawal.completed",
    }  # fmt: skip
    assert set(kinds(parts, purpose="school-mobility")) >= {
        "consent.given", "consent.withdrawn", "withdrawal.completed",
    }  # fmt: skip
    assert kinds(parts, dataset="coachco2/trips", kind="push.stored") == ["push.stored"]
    assert kinds(parts, dataset="nobody/nothing") == []


def test_everything_that_happened_to_a_participation(parts: Parts) -> None:
    given = parts.books.events(kind="consent.given", limit=10)
    ada = [g for e in given if (g := parts.books.grant(lookup.shown(e)["event"]["about"]))]
    lives = [kinds(parts, about=grant.id) for grant in ada]
    assert ["consent.given", "consent.withdrawn", "withdrawal.completed"] in lives
    assert ["consent.given"] in lives


def test_everything_that_happened_to_a_push_and_a_release(parts: Parts) -> None:
    for made in parts.books.pushes():
        ended = "push.refused" if made.state == "refused" else "push.stored"
        assert kinds(parts, about=made.id) == ["push.accepted", ended]
    for published in parts.books.releases():
        assert kinds(parts, about=published.id) == ["release.intended", "release.published"]
    (ended_,) = parts.books.withdrawals()
    assert set(kinds(parts, about=ended_.id)) >= {"consent.withdrawn", "withdrawal.completed"}


def test_by_time(parts: Parts) -> None:
    first, last = parts.books.events(limit=1)[0], parts.books.events(limit=1000)[-1]
    begin, end = (lookup.shown(e)["event"]["at"] for e in (first, last))
    assert len(kinds(parts, since=begin, until=begin)) == 0
    assert "hub.created" in kinds(parts, since=begin, until=end)
    assert "hub.created" in kinds(parts, since=begin[:10], until=begin[:10])
    assert kinds(parts, until="2020-01-01") == []
    assert kinds(parts, since="2999-01-01T00:00:00") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("kind", "push"), ("outcome", "maybe"), ("since", "yesterday"), ("until", "9999-12-31"),
     ("about", "x" * 201), ("purpose", "a\nb"), ("about", ""), ("until", "")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(parts: Parts, name: str, text: str) -> None:
    before = parts.books.event_count()
    with pytest.raises(Rejected) as refused:
        lookup.look(parts, DPO, Question(**{name: text}))
    assert refused.value.where == name
    assert parts.books.event_count() == before


def test_each_look_is_logged_once_and_does_not_find_itself(parts: Parts) -> None:
    (made,) = parts.books.pushes("coachco2")
    before = parts.books.event_count()
    assert "events.read" not in kinds(parts, about=made.id)
    assert "events.read" not in kinds(parts, about=made.id)
    list(lookup.table(parts, DPO, Question(about=made.id)))
    *_, look = parts.books.events(kind="events.read", limit=1000)
    assert parts.books.event_count() == before + 3
    assert lookup.shown(look)["event"]["facts"]["search"] == {"about": made.id}


def test_others_are_refused_and_that_is_logged(parts: Parts) -> None:
    def denials() -> list[LoggedEvent]:
        return parts.books.events(kind="access.denied", limit=1000)

    before = len(denials())
    for ask in (
        lambda: lookup.look(parts, OPERATOR, Question()),
        lambda: lookup.table(parts, OPERATOR, Question()),
        lambda: lookup.one(parts, OPERATOR, 0),
    ):
        with pytest.raises(Denied):
            ask()
    # The policy was asked the same thrice: one refusal, and the others in one count of them.
    assert len(denials()) == before + 1
    parts.refusals.tell(parts.books, parts.clock() + timedelta(minutes=2))
    told = json.loads(denials()[-1].body)["facts"]
    assert (len(denials()), told["repeated"]) == (before + 2, 2)


def test_pages_are_stable_while_the_log_grows(parts: Parts) -> None:
    whole = [e.sequence for e in lookup.look(parts, DPO, Question(), limit=1000).events]
    read: list[int] = []
    after: int | None = 0
    while after is not None and len(read) < len(whole):
        found = lookup.look(parts, DPO, Question(), after, 7)  # adds an event itself
        read += [e.sequence for e in found.events]
        after = found.after
    assert read[: len(whole)] == whole


def test_no_event_there(parts: Parts) -> None:
    for index in (-1, 10**6, 2**70):
        with pytest.raises(NotFound):
            lookup.one(parts, DPO, index)


@pytest.fixture
def client(parts: Parts) -> TestClient:
    client = TestClient(application(parts), raise_server_exceptions=False)
    page = client.get("/login", headers={"accept": "text/html"}).text
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    form = {"login": "dpo", "password": "correct horse", "token": token}
    answer = client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 200
    return client


def test_the_interface_pages_with_a_link(client: TestClient) -> None:
    seen: list[int] = []
    address = f"{EVENTS}?organisation=coachco2&limit=9"
    for _ in range(20):
        answer = client.get(address)
        seen += [event["sequence"] for event in answer.json()]
        if "link" not in answer.headers:
            break
        link, _, rel = answer.headers["link"].partition("; ")
        assert rel == 'rel="next"'
        address = link.strip("<>")
    every = client.get(f"{EVENTS}?organisation=coachco2&limit=1000").json()
    assert seen == [event["sequence"] for event in every]
    assert len(seen) > 18
    assert client.get(f"{EVENTS}?about=").status_code == Rejected.status


def test_the_csv_is_checked_with_hashlib_alone(client: TestClient, parts: Parts) -> None:
    parts.sequence()
    answer = client.get(f"{EVENTS}?format=csv&outcome=done")
    assert answer.headers["content-type"].startswith("text/csv")
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == lookup.COLUMNS
    proven = [row for row in rows if row["index"]]
    assert len(proven) > 10
    for row in proven:
        event = parts.books.event_at(int(row["index"]))
        assert event is not None
        assert row["entry"] == entry_of(event).hex()
        if '"receipt"' not in row["body"]:
            body, salt = row["body"].encode(), bytes.fromhex(row["salt"])
            assert hmac.digest(salt, body, "sha256").hex() == row["entry"]
        leaf = hashlib.sha256(b"\x00" + bytes.fromhex(row["entry"])).digest()
        path = [bytes.fromhex(node) for node in row["proof"].split()]
        merkle.check_inclusion(
            int(row["index"]), int(row["size"]), leaf, path, bytes.fromhex(row["root"])
        )
    assert {row["root"] for row in proven} == {parts.log.head().root.hex()}


def test_a_spreadsheet_takes_nothing_for_a_formula(client: TestClient, parts: Parts) -> None:
    for evil in ('=HYPERLINK("//x")', "+1", "-1", "@x", "\tx", "\rx"):
        parts.books.record(event=AuditEvent(Kind.USER_REFUSED, evil, evil, parts.clock()))
    text = client.get(f"{EVENTS}?format=csv&kind=user.refused").text
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) >= 7
    for cell in (cell for row in rows for cell in row):
        assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n"}


def test_a_proof_file_leads_from_the_entry_to_the_checkpoint(
    client: TestClient, parts: Parts
) -> None:
    shown = client.get(f"{EVENTS}/3").json()
    key = parts.log.signer.verifier
    for answer in (
        client.get(f"{EVENTS}/3/proof?format=tlog-proof"),
        client.get(f"{EVENTS}/3/proof", headers={"accept": "text/plain"}),
    ):
        assert answer.headers["content-type"].startswith("text/plain")
        at, _ = proofs.check(answer.content, bytes.fromhex(shown["entry"]), key.name, [key])
        assert at == 3
    assert client.get(f"{EVENTS}/3/proof?format=json").json()["index"] == 3
    assert client.get(f"{EVENTS}/999999/proof?format=tlog-proof").status_code == 404
    assert client.get(f"{EVENTS}?since=never").status_code == 422
    assert client.get(f"{EVENTS}?after={2**53}").status_code == 422


def test_the_page_of_the_dpo_over_the_real_hub(client: TestClient, parts: Parts) -> None:
    page = client.get("/dpo?search=1&kind=push.refused", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "push.refused" in page.text
    assert "coachco2/trips" in page.text
    assert parts.log.head().root.hex() in page.text
    wrong = client.get("/dpo?search=1&since=never", headers={"accept": "text/html"})
    assert wrong.status_code == 422
    assert 'role="alert"' in wrong.text


def run(parts: Parts, *words: str, password: str = "") -> tuple[int, str]:
    environment = {"HUB_HOME": str(parts.settings.home), "HUB_PASSWORD": password}
    result = CliRunner().invoke(app, ["audit", *words], env=environment)
    refused = result.exception
    code = refused.exit_code if isinstance(refused, HubError) else result.exit_code
    return code, result.stdout


def test_the_command_line_asks_who_reads(parts: Parts) -> None:
    asked = ("events", "--kind", "push.refused", "--json")
    code, told = run(parts, *asked, "--login", "dpo", password="correct horse")
    assert code == 0
    assert [event["outcome"] for event in json.loads(told)] == ["refused"]
    denied = Denied.exit_code
    assert run(parts, *asked)[0] == denied, "an operator is not the DPO"
    assert run(parts, *asked, "--login", "desk", password="correct horse")[0] == denied
    assert run(parts, *asked, "--login", "dpo", password="wrong")[0] == Unauthenticated.exit_code


def test_the_command_line_writes_csv_and_reconciles(parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    asked = ("events", "--login", "dpo", "--outcome", "refused", "--csv")
    assert run(parts, *asked, str(file), password="correct horse") == (0, "")
    assert file.read_text("utf-8").startswith("index,sequence,at,kind")
    assert run(parts, *asked, str(tmp_path), password="correct horse")[0] == Rejected.exit_code
    # An unset variable asks for nothing, and not for everything.
    empty = ("events", "--login", "dpo", "--about", "")
    assert run(parts, *empty, password="correct horse")[0] == Rejected.exit_code
    code, told = run(parts, "reconcile", "--json")
    report = json.loads(told)
    assert (code, report["ok"], report["problems"]) == (0, True, [])
    assert report["checked"]["pushes"] == len(parts.books.pushes())

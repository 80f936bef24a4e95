"""Delta Sharing over HTTP: who comes in, what is listed, what is read, and when it ends."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analytics.measures import MEASURES
from analytics.model import schema_of
from hub import recipients, sharing
from hub.application import application
from hub.cli.app import app
from hub.errors import Denied, HubError, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.identity import tokens
from hub.parts import Parts
from hub.policy.gate import DenyAll
from hub.reconcile import reconcile
from hub.records import Role
from tests.flows import world
from tests.sharing import editions

BASE: Final = "/delta-sharing"
SHARE: Final = "centre-val-de-loire"
TABLE: Final = f"{BASE}/shares/{SHARE}/schemas/places/tables/2025-2026"
CITY: Final = recipients.Asked("cd37", Role.COLLECTIVITY, "Un département")


class Hub:
    """A hub with two editions of a table, a recipient, and a clock one can turn."""

    def __init__(self, parts: Parts) -> None:
        self.late = timedelta()
        now = parts.clock
        self.parts = replace(parts, clock=lambda: now() + self.late)
        self.first = editions.publish(self.parts, 1, rows=3)
        self.second = editions.publish(self.parts, 2, rows=5)
        self.client, profile = recipients.add(self.parts, CITY)
        self.token = profile["bearerToken"]
        self.http = TestClient(application(self.parts), raise_server_exceptions=False)

    def ask(self, path: str, method: str = "GET", token: str = "", **sent: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token or self.token}", **sent.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **sent)

    def get(self, path: str, **sent: Any) -> Any:
        answer = self.ask(path, **sent)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lines(self, path: str, method: str = "GET", **sent: Any) -> list[dict[str, Any]]:
        answer = self.ask(path, method, **sent)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in answer.text.splitlines()]

    def query(self, body: Any = None, **sent: Any) -> list[dict[str, Any]]:
        return self.lines(f"{TABLE}/query", "POST", json=body or {}, **sent)

    def link(self) -> str:
        """Path and query of the newest edition's file."""
        address = urlsplit(self.query()[2]["file"]["url"])
        return f"{address.path}?{address.query}"

    def reads(self) -> list[dict[str, Any]]:
        events = self.parts.books.events(kind=Kind.RELEASE_READ)
        return [json.loads(one.body) for one in events]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """For a test that changes something."""
    made = Hub(world.hub_in(tmp_path / "var"))
    yield made
    made.parts.books.close()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """For tests that only read; the clock is as it was after each."""
    made = Hub(world.hub_in(tmp_path_factory.mktemp("still") / "var"))
    yield made
    made.parts.books.close()


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"errorCode", "message"}
    assert answer.json()["errorCode"] == code


# Who comes in.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{BASE}/shares"),
        ("GET", f"{BASE}/shares/{SHARE}"),
        ("GET", f"{BASE}/shares/{SHARE}/schemas"),
        ("GET", f"{BASE}/shares/{SHARE}/schemas/places/tables"),
        ("GET", f"{BASE}/shares/{SHARE}/all-tables"),
        ("HEAD", TABLE),
        ("GET", f"{TABLE}/version"),
        ("GET", f"{TABLE}/metadata"),
        ("POST", f"{TABLE}/query"),
        ("GET", f"{TABLE}/changes?startingVersion=1"),
    ],
)
def test_no_door_is_open_without_a_recipients_token(still: Hub, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
        answer = still.http.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if method != "HEAD":
            refused(answer, 401, "UNAUTHENTICATED")
    assert still.ask(path, method).status_code == 200


def test_a_partners_token_does_not_open_it(hub: Hub) -> None:
    partner = next(one for one in hub.parts.books.clients() if one.role is Role.PARTNER)
    now = hub.parts.clock()
    hub.parts.books.add_token(
        tokens.digest("theirs"), partner.id, partner.scopes, now + timedelta(minutes=5),
        event=AuditEvent(Kind.TOKEN_ISSUED, partner.organisation, partner.id, now),
    )  # fmt: skip
    refused(hub.ask(f"{BASE}/shares", token="theirs"), 403, "PERMISSION_DENIED")


def test_a_profile_opens_nothing_else_of_the_hub(still: Hub) -> None:
    for path in ("/v1/releases", "/v1/pushes", "/v1/audit/events"):
        assert still.ask(path).status_code == 401


def test_a_profile_ends_by_its_date(hub: Hub) -> None:
    hub.late = timedelta(days=CITY.days) - recipients.LINK / 2
    link = hub.link()
    assert hub.http.get(link).status_code == 200
    hub.late = timedelta(days=CITY.days, seconds=1)
    refused(hub.ask(f"{BASE}/shares"), 401, "UNAUTHENTICATED")
    refused(hub.http.get(link), 403, "PERMISSION_DENIED")


def test_a_revocation_ends_token_and_links_at_once(hub: Hub) -> None:
    link = hub.link()
    assert hub.http.get(link).status_code == 200
    recipients.revoke(hub.parts, hub.client.id)
    refused(hub.http.get(link), 403, "PERMISSION_DENIED")
    refused(hub.ask(f"{BASE}/shares"), 401, "UNAUTHENTICATED")
    with pytest.raises(NotFound):
        recipients.revoke(hub.parts, hub.client.id)
    assert recipients.listed(hub.parts) == []
    hub.parts.sequence()
    found = {one.table for one in reconcile(hub.parts).problems}
    assert not found & {"clients", "tokens", "events"}


def test_who_is_admitted_again_does_not_get_old_links_back(hub: Hub) -> None:
    link = hub.link()
    recipients.revoke(hub.parts, hub.client.id)
    again = AuditEvent(Kind.SHARE_ADDED, "hub", hub.client.id, hub.parts.clock())
    hub.parts.books.change_client(hub.client, event=again)
    refused(hub.http.get(link), 403, "PERMISSION_DENIED")
    fresh, _ = recipients.link(hub.parts, hub.client.id, hub.second.id)
    assert hub.http.get(fresh).status_code == 200


def test_another_recipient_goes_on(hub: Hub) -> None:
    _, profile = recipients.add(hub.parts, CITY)
    recipients.revoke(hub.parts, hub.client.id)
    assert hub.ask(f"{BASE}/shares", token=profile["bearerToken"]).status_code == 200


def test_an_oauth_profile_gets_its_tokens_at_the_token_endpoint(hub: Hub) -> None:
    client, profile = recipients.add(hub.parts, CITY, oauth=True)
    asked = {"grant_type": "client_credentials", "scope": profile["scope"]}

    def token() -> httpx2.Response:
        return hub.http.post(
            urlsplit(profile["tokenEndpoint"]).path,
            data=asked,
            auth=(profile["clientId"], profile["clientSecret"]),
        )

    given = token().json()["access_token"]
    assert hub.ask(f"{BASE}/shares", token=given).status_code == 200
    recipients.revoke(hub.parts, client.id)
    assert token().status_code == 401
    refused(hub.ask(f"{BASE}/shares", token=given), 401, "UNAUTHENTICATED")


def test_an_oauth_recipient_ends_by_its_date_too(hub: Hub) -> None:
    _, profile = recipients.add(hub.parts, CITY, oauth=True)
    hub.late = timedelta(days=CITY.days, seconds=1)
    answer = hub.http.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": "read"},
        auth=(profile["clientId"], profile["clientSecret"]),
    )
    refused(
        hub.ask(f"{BASE}/shares", token=answer.json()["access_token"]), 403, "PERMISSION_DENIED"
    )


def test_secrets_are_kept_as_digests_only(hub: Hub, tmp_path: Path) -> None:
    _, profile = recipients.add(hub.parts, CITY, oauth=True)
    for file in (tmp_path / "var").glob("books.sqlite*"):
        content = file.read_bytes()
        assert hub.token.encode() not in content
        assert profile["clientSecret"].encode() not in content


@pytest.mark.parametrize(
    "wrong",
    [{"organisation": ""}, {"organisation": "A b"}, {"purpose": "Why not"}, {"name": "a\nb"},
     {"role": Role.PARTNER}, {"days": 0}, {"days": 367}],
)  # fmt: skip
def test_a_recipient_that_cannot_be_is_not_entered(still: Hub, wrong: dict[str, Any]) -> None:
    before = still.parts.books.event_count()
    with pytest.raises(Rejected) as refusal:
        recipients.add(still.parts, replace(CITY, **wrong))
    assert refusal.value.where in wrong
    assert still.parts.books.event_count() == before


def test_the_policy_says_who_admits(still: Hub) -> None:
    parts = replace(still.parts, policy=DenyAll())
    for act in (
        lambda: recipients.add(parts, CITY),
        lambda: recipients.revoke(parts, still.client.id),
        lambda: recipients.listed(parts),
    ):
        with pytest.raises(Denied):
            act()


# What is listed.


def test_the_territory_is_the_share_and_measures_are_schemas(hub: Hub) -> None:
    editions.publish(hub.parts, 1, measure="modal-split")
    assert hub.get(f"{BASE}/shares") == {"items": [{"name": SHARE}]}
    assert hub.get(f"{BASE}/shares/{SHARE.upper()}") == {"share": {"name": SHARE}}
    names = [one["name"] for one in hub.get(f"{BASE}/shares/{SHARE}/schemas")["items"]]
    assert names == ["modal-split", "places"]
    (table,) = hub.get(f"{BASE}/shares/{SHARE}/schemas/places/tables")["items"]
    assert (table["name"], table["schema"], table["share"]) == ("2025-2026", "places", SHARE)
    everything = hub.get(f"{BASE}/shares/{SHARE}/all-tables")["items"]
    assert [one["schema"] for one in everything] == names
    assert len({one["id"] for one in everything}) == 2


@pytest.mark.parametrize(
    "path",
    [
        f"{BASE}/shares/nobody",
        f"{BASE}/shares/nobody/schemas",
        f"{BASE}/shares/nobody/all-tables",
        f"{BASE}/shares/{SHARE}/schemas/nothing/tables",
        f"{BASE}/shares/{SHARE}/schemas/places/tables/1999-2000/version",
        f"{BASE}/shares/{SHARE}/schemas/nothing/tables/2025-2026/metadata",
    ],
)
def test_what_is_not_shared_is_not_there(still: Hub, path: str) -> None:
    refused(still.ask(path), 404, "RESOURCE_DOES_NOT_EXIST")


def test_pages_show_each_table_once(hub: Hub) -> None:
    for measure in ("modal-split", "carbon-balance"):
        editions.publish(hub.parts, 1, measure=measure)
    for size in (0, 1, 2, 3, 9):
        seen: list[str] = []
        token = ""
        for _ in range(4):
            asked: dict[str, Any] = {"maxResults": size, "pageToken": token}
            page = hub.get(f"{BASE}/shares/{SHARE}/all-tables", params=asked)
            assert len(page["items"]) <= size
            seen += [one["schema"] for one in page["items"]]
            token = page.get("nextPageToken", "")
            if not token:
                break
        assert seen == ([] if size == 0 else ["carbon-balance", "modal-split", "places"])
        assert bool(token) == (size == 0)


@pytest.mark.parametrize("asked", ["maxResults=-1", "maxResults=x", "pageToken=%FF", "pageToken=a"])
def test_a_page_that_cannot_be_is_refused(still: Hub, asked: str) -> None:
    refused(still.ask(f"{BASE}/shares?{asked}"), 400, "INVALID_PARAMETER_VALUE")


# What is read.


@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_a_table_is_its_newest_edition(still: Hub, kind: str) -> None:
    capable = {"delta-sharing-capabilities": f"responseformat={kind};readerfeatures=x"}
    answer = still.ask(f"{TABLE}/query", "POST", json={}, headers=capable)
    assert answer.headers["delta-table-version"] == "2"
    assert answer.headers["delta-sharing-capabilities"] == f"responseformat={kind}"
    protocol, metadata, file = (json.loads(line) for line in answer.text.splitlines())
    if kind == "delta":
        assert protocol["protocol"]["deltaProtocol"]["minWriterVersion"] == 4
        said = metadata["metaData"]["deltaMetadata"]
        assert said["configuration"] == {"delta.enableChangeDataFeed": "true"}
        url = file["file"]["deltaSingleAction"]["add"]["path"]
    else:
        assert protocol == {"protocol": {"minReaderVersion": 1}}
        said, url = metadata["metaData"], file["file"]["url"]
    fields = json.loads(said["schemaString"])["fields"]
    assert {one["name"]: one["type"] for one in fields}["lon"] == "double"
    got = still.http.get(url)
    assert pq.read_table(io.BytesIO(got.content)).equals(editions.table(5, 2))
    assert metadata["metaData"]["size"] == len(got.content)
    assert metadata["metaData"]["version"] == 2


@pytest.mark.parametrize(
    ("capabilities", "kind"),
    [("", "parquet"), ("responseformat=delta,parquet", "parquet"),
     ("RESPONSEFORMAT=Delta", "delta"), ("readerfeatures=x; responseformat=delta", "delta")],
)  # fmt: skip
def test_the_format_is_one_the_client_reads(capabilities: str, kind: str) -> None:
    assert sharing.response_format(capabilities) == kind


def test_a_format_nobody_knows_is_refused(still: Hub) -> None:
    capable = {"delta-sharing-capabilities": "responseformat=iceberg"}
    refused(still.ask(f"{TABLE}/metadata", headers=capable), 400, "INVALID_PARAMETER_VALUE")


def test_hints_are_taken_and_change_nothing(still: Hub) -> None:
    hints = {"limitHint": 1, "predicateHints": ["id = '1'"], "jsonPredicateHints": "{", "other": []}
    plain, hinted = still.query()[:2], still.query(hints)[:2]
    assert hinted == plain
    strange = {"limitHint": "x", "predicateHints": {"a": [1]}, "jsonPredicateHints": 3}
    assert still.query(strange)[:2] == plain


@pytest.mark.parametrize(
    ("asked", "version"),
    [({"version": 1}, 1), ({"version": 2}, 2), ({"timestamp": "2026-01-11T08:00:00Z"}, 1),
     ({"timestamp": "2026-01-12T07:59:59Z"}, 1), ({"timestamp": "2026-01-12T09:00:00+01:00"}, 2),
     ({"timestamp": "2030-01-01T00:00:00Z"}, 2)],
)  # fmt: skip
def test_time_travel_finds_the_edition_that_stood(
    still: Hub, asked: dict[str, Any], version: int
) -> None:
    assert still.query(asked)[2]["file"]["version"] == version


@pytest.mark.parametrize(
    "asked",
    [{"version": 0}, {"version": 3}, {"version": -1}, {"version": "x"}, {"version": 2**70},
     {"timestamp": "2025-01-01T00:00:00Z"}, {"timestamp": "yesterday"},
     {"timestamp": "0001-01-01T00:00:00+23:00"},
     {"version": 1, "timestamp": "2026-01-11T08:00:00Z"}, {"startingVersion": 1}, [], "x"],
)  # fmt: skip
def test_an_edition_that_never_was_is_refused(still: Hub, asked: Any) -> None:
    answer = still.ask(f"{TABLE}/query", "POST", json=asked)
    refused(answer, 400, "INVALID_PARAMETER_VALUE")


def test_the_version_can_be_asked_alone(still: Hub) -> None:
    def version(query: str = "") -> str:
        return still.ask(f"{TABLE}/version{query}").headers["delta-table-version"]

    assert version() == "2"
    assert version("?startingTimestamp=2026-01-01T00:00:00Z") == "1"
    assert version("?startingTimestamp=2026-01-11T08:00:01Z") == "2"
    assert still.ask(TABLE, "HEAD").headers["delta-table-version"] == "2"
    late = still.ask(f"{TABLE}/version?startingTimestamp=2027-01-01T00:00:00Z")
    refused(late, 400, "INVALID_PARAMETER_VALUE")


def changed(hub: Hub, asked: str) -> list[tuple[str, int, str]]:
    """What a change feed says: action, version, and which edition's rows."""
    found = []
    for line in hub.lines(f"{TABLE}/changes?{asked}")[2:]:
        ((action, said),) = line.items()
        rows = pq.read_table(io.BytesIO(hub.http.get(said["url"]).content))
        found.append((action, said["version"], rows["name"][0].as_py()[-1]))
    return found


def test_changes_are_whole_tables_out_and_in(still: Hub) -> None:
    first, second = [("add", 1, "1")], [("remove", 2, "1"), ("add", 2, "2")]
    assert changed(still, "startingVersion=0") == first + second
    assert changed(still, "startingVersion=1&endingVersion=1") == first
    assert changed(still, "startingVersion=2") == second
    assert changed(still, "startingTimestamp=2026-01-12T00:00:00Z") == second
    until = "startingVersion=1&endingTimestamp=2026-01-11T08:00:00Z"
    assert changed(still, until) == first


@pytest.mark.parametrize(
    "asked",
    ["", "startingVersion=3", "startingVersion=2&endingVersion=1", "startingVersion=x",
     "startingVersion=1&startingTimestamp=2026-01-11", "startingTimestamp=x",
     "startingVersion=1&endingVersion=2&endingTimestamp=2026-01-11"],
)  # fmt: skip
def test_changes_of_no_time_are_refused(still: Hub, asked: str) -> None:
    refused(still.ask(f"{TABLE}/changes?{asked}"), 400, "INVALID_PARAMETER_VALUE")


def test_changes_across_other_columns_are_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editions, "table", lambda *_: pa.table({"other": [1]}))
    editions.publish(hub.parts, 3)
    refused(hub.ask(f"{TABLE}/changes?startingVersion=1"), 400, "INVALID_PARAMETER_VALUE")
    assert hub.query()[2]["file"]["version"] == 3


def test_every_measure_can_be_shared() -> None:
    for measure in MEASURES.values():
        table = schema_of(measure.columns).empty_table()
        sink = io.BytesIO()
        pq.write_table(table, sink)
        fields = json.loads(sharing.describe(sink.getvalue()).schema)["fields"]
        assert [one["name"] for one in fields] == table.column_names


@pytest.mark.parametrize("data", [b"", b"PAR1 no parquet PAR1"])
def test_a_file_that_cannot_be_read_is_said_to_be_unavailable(data: bytes) -> None:
    with pytest.raises(HubError) as refusal:
        sharing.describe(data)
    assert refusal.value.status == 503


# The policy, and what is on record.


def test_what_is_handed_out_is_on_record(hub: Hub) -> None:
    assert hub.reads() == []
    hub.query({"version": 1})
    (event,) = hub.reads()
    assert (event["actor"], event["about"]) == ("cd37", hub.first.id)
    assert event["facts"]["reader"] == hub.client.id
    assert event["facts"]["format"] == "delta-sharing"
    hub.lines(f"{TABLE}/changes?startingVersion=2")
    assert [one["about"] for one in hub.reads()[1:]] == [hub.first.id, hub.second.id]
    hub.ask(f"{TABLE}/metadata")
    assert len(hub.reads()) == 3


def test_an_edition_under_embargo_is_not_there_yet(hub: Hub) -> None:
    until = hub.parts.clock() + timedelta(hours=1)
    editions.publish(hub.parts, 3, embargo_until=int(until.timestamp()))
    editions.publish(hub.parts, 1, measure="modal-split", embargo_until=int(until.timestamp()))
    assert hub.query()[2]["file"]["version"] == 2
    refused(hub.ask(f"{TABLE}/query", "POST", json={"version": 3}), 403, "PERMISSION_DENIED")
    assert "modal-split" not in hub.ask(f"{BASE}/shares/{SHARE}/all-tables").text
    closed = TABLE.replace("places", "modal-split")
    refused(hub.ask(f"{closed}/metadata"), 403, "PERMISSION_DENIED")
    assert {one[1] for one in changed(hub, "startingVersion=1")} == {1, 2}
    hub.late = timedelta(hours=1, seconds=1)
    assert hub.query()[2]["file"]["version"] == 3
    assert hub.ask(f"{closed}/metadata").status_code == 200


def test_a_restricted_release_takes_an_approved_request(hub: Hub) -> None:
    editions.publish(hub.parts, 3, open=False)
    assert hub.query()[2]["file"]["version"] == 2
    for role, purpose, newest in (
        (Role.COLLECTIVITY, "mobility-planning", "2"),
        (Role.AUDITOR, "oversight", "3"),
    ):
        asked = replace(CITY, role=role, purpose=purpose)
        _, profile = recipients.add(hub.parts, asked)
        answer = hub.ask(f"{TABLE}/query", "POST", token=profile["bearerToken"], json={})
        assert answer.headers["delta-table-version"] == newest
        assert hub.reads()[-1]["facts"]["purpose"] == purpose


def test_a_link_is_asked_about_again_when_it_is_used(still: Hub) -> None:
    link = still.link()
    closed = application(replace(still.parts, policy=DenyAll()))
    refused(TestClient(closed).get(link), 403, "PERMISSION_DENIED")


# Links.


def test_a_link_ends_after_minutes(hub: Hub) -> None:
    link = hub.link()
    hub.late = recipients.LINK - timedelta(seconds=5)
    assert hub.http.get(link).status_code == 200
    hub.late = recipients.LINK
    refused(hub.http.get(link), 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("name", ["recipient", "epoch", "expires", "X-Amz-Signature"])
@pytest.mark.parametrize("value", [None, "", "0", "1", "9999999999", "cd37", "é"])
def test_a_link_holds_only_as_it_was_signed(still: Hub, name: str, value: str | None) -> None:
    path, _, query = still.link().partition("?")
    said = dict(parse_qsl(query))
    if said.get(name) == value:
        return
    if value is None:
        del said[name]
    else:
        said[name] = value
    refused(still.http.get(f"{path}?{urlencode(said)}"), 403, "PERMISSION_DENIED")


def test_a_link_opens_its_file_and_no_other(still: Hub) -> None:
    link = still.link().replace(still.second.id, still.first.id)
    refused(still.http.get(link), 403, "PERMISSION_DENIED")
    refused(still.http.get(f"{BASE}/files/{still.first.id}.parquet"), 403, "PERMISSION_DENIED")


def test_links_and_tokens_are_in_no_log_and_no_event(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "hub")
    link = hub.link()
    signature = dict(parse_qsl(link))["X-Amz-Signature"]
    assert hub.http.get(link).status_code == 200
    recipients.revoke(hub.parts, hub.client.id)
    refused(hub.http.get(link), 403, "PERMISSION_DENIED")
    said = b"".join(one.body for one in hub.parts.books.events(limit=1000)).decode()
    for text in (said, *(one.getMessage() for one in caplog.records if one.name[:3] == "hub")):
        assert signature not in text
        assert hub.token not in text


# Parts of files.


def test_a_file_is_served_in_parts(still: Hub) -> None:
    link = still.link()
    whole = still.http.get(link)
    assert whole.headers["accept-ranges"] == "bytes"
    assert "no-store" in whole.headers["cache-control"]
    head = still.http.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    data, size = whole.content, len(whole.content)
    for asked, wanted in {
        "bytes=0-3": data[:4],
        "bytes=4-": data[4:],
        "bytes=-8": data[-8:],
        f"bytes=-{size + 5}": data,
        f"bytes=0-{size * 2}": data,
    }.items():
        part = still.http.get(link, headers={"range": asked})
        assert (part.status_code, part.content) == (206, wanted), asked
        first = size - len(wanted) if asked in {"bytes=4-", "bytes=-8"} else 0
        shown = f"bytes {first}-{first + len(wanted) - 1}/{size}"
        assert part.headers["content-range"] == shown
    for asked in (f"bytes={size}-", "bytes=5-4", "bytes=-0"):
        none = still.http.get(link, headers={"range": asked})
        assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=0-1,3-4", "rows=0-1", "bytes=-", "bytes=x-"):
        assert still.http.get(link, headers={"range": asked}).content == data
    other = {"range": "bytes=0-3", "if-range": '"another"'}
    assert still.http.get(link, headers=other).status_code == 200
    same = {"range": "bytes=0-3", "if-range": whole.headers["etag"]}
    assert still.http.get(link, headers=same).status_code == 206


# The command line.


def test_recipients_at_the_command_line(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "var"))
    run = CliRunner().invoke
    profile = tmp_path / "profile.share"
    made = run(app, ["share", "add", "agglo", "--to", str(profile), "--days", "7", "--json"])
    assert made.exit_code == 0, made.output
    assert profile.stat().st_mode & 0o077 == 0
    said = json.loads(profile.read_text())
    assert said["shareCredentialsVersion"] == 1
    assert said["bearerToken"] not in made.output
    assert hub.ask(f"{BASE}/shares", token=said["bearerToken"]).status_code == 200
    listed = json.loads(run(app, ["share", "list", "--json"]).output)
    assert [one["organisation"] for one in listed] == ["agglo", "cd37"]
    name = json.loads(made.output)["id"]
    again = run(app, ["share", "add", "agglo", "--to", str(profile)])
    assert isinstance(again.exception, Rejected)
    refusal = run(app, ["share", "add", "Agg lo", "--to", str(tmp_path / "other.share")])
    assert isinstance(refusal.exception, Rejected)
    assert not (tmp_path / "other.share").exists()
    assert run(app, ["share", "revoke", name]).exit_code == 0
    refused(hub.ask(f"{BASE}/shares", token=said["bearerToken"]), 401, "UNAUTHENTICATED")


@given(st.text(max_size=60))
def test_any_capabilities_are_a_format_or_refused(text: str) -> None:
    try:
        assert sharing.response_format(text) in sharing.FORMATS
    except Rejected:
        assert "responseformat" in text.lower()

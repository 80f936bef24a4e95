"""Pages of partners: made from the connector, public; one's own pushes for who is signed in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from connectors.contract import REASONS
from connectors.pages import reasons
from connectors.registry import DATASETS
from connectors.report import Finding
from connectors.tableschema import table_schema
from hub.identity.people import MemoryPeople
from hub.records import Account, Role
from hub.web.partner import HANDED_OUT
from hub.web.pushdesk import MemoryPushDesk
from tests.web import published
from tests.web.html import Page

EVIL = published.HOSTILE


def told(number: str, **more: Any) -> dict[str, Any]:
    """A push as the interface tells it."""
    return {
        "id": number,
        "partner": "transdev",
        "dataset": "validations",
        "state": "stored",
        "accepted_at": "2026-03-02T07:30:00+00:00",
        "finished_at": "2026-03-02T07:31:00+00:00",
        "received": 1234,
        "valid": 1200,
        "rejected": 34,
        "reasons": {"unknown_value": 30, "wrong_date": 4},
        "warnings": {"date_before_school_year": 7},
        "file_sha256": "ab" * 32,
        "file_bytes": 98765,
        "log_index": 41,
        "problem": None,
        "stage": "done",
        "percentage": 100,
    } | more


UNDER_WAY: dict[str, Any] = dict.fromkeys(
    ("finished_at", "received", "valid", "rejected", "log_index")
) | {"state": "accepted", "stage": "reading", "percentage": 37, "reasons": {}, "warnings": {}}


def pushdesk() -> MemoryPushDesk:
    """A push under way, one with wrong rows, one refused as a whole, and one of somebody else."""
    problem = {
        "code": "mostly_rejected",
        "where": EVIL,
        "fr": REASONS["mostly_rejected"].words["fr"],
        "en": REASONS["mostly_rejected"].words["en"],
        "who": "partner",
        "received": 1000,
        "rejected": 990,
        "reasons": {"wrong_date": 990},
    }
    zeros = {"received": 0, "valid": 0, "rejected": 0, "reasons": {}, "warnings": {}}
    findings = [
        Finding("unknown_value", "fare_action", False, 30, ((4, 20), (31, 31)), 12, "AAAA"),
        Finding("wrong_date", "service_date", False, 4, ((700, 703),), 0, "99/99/9999"),
        Finding("date_before_school_year", "", True, 7, ((9, 15),), 0, ""),
    ]
    return MemoryPushDesk(
        [
            told("p1", **UNDER_WAY),
            told("p2"),
            told("p3", state="refused", problem=problem, **zeros),
            told("p9", partner="orange", dataset="presence"),
        ],
        {"p2": [finding.as_json() for finding in findings]},
    )


def visitor(role: Role | None = None, language: str = "fr") -> TestClient:
    people = MemoryPeople()
    client = TestClient(
        published.application(people=people, pushes=pushdesk()),
        headers={"accept": "text/html", "accept-language": language},
        follow_redirects=False,
    )
    if role is not None:
        people.begin(Account("u1", "exploitation", "transdev", role, ""), "cookie")
        client.cookies.set("hub-session", "cookie")
    return client


@pytest.fixture(scope="module")
def public() -> TestClient:
    """Somebody not signed in; one application, since nothing is remembered of them."""
    return visitor()


def plain(page: Page) -> str:
    return page.text.replace("\u202f", " ").replace("\xa0", " ")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("key", sorted(DATASETS))
def test_every_dataset_has_a_page_that_says_what_is_checked(
    key: str, language: str, public: TestClient
) -> None:
    dataset = DATASETS[key]
    answer = public.get(f"/partner/{key}", headers={"accept-language": language})
    assert answer.headers["content-language"] == language
    page = Page(answer.text)
    text = plain(page)
    for column in dataset.published:
        assert column.name in text, column.name
    for codes in reasons(dataset).values():
        for code in codes:
            assert code in text
            # Both languages, whichever the page is in.
            for words in REASONS[code].words.values():
                assert words in text, code
    for example in dataset.examples:
        assert example.name in text
    assert f"--dataset {dataset.name}" in text
    assert f"https://hub.example/v1/partners/{dataset.partner}/datasets/" in text


def test_the_index_leads_everywhere_and_the_schema_is_the_connector_s(public: TestClient) -> None:
    page = Page(public.get("/partner").text)
    links = {given["href"] for given in page.all("a")}
    assert {f"/partner/{key}" for key in DATASETS} <= links
    assert not any("/pushes/" in link for link in links)
    for key, dataset in DATASETS.items():
        answer = public.get(f"/partner/{key}/schema.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == json.loads(json.dumps(table_schema(dataset)))
        assert f"/partner/{key}/schema.json" in public.get(f"/partner/{key}").text


def test_examples_are_handed_out_as_they_are_but_no_bombs(public: TestClient) -> None:
    for key, dataset in DATASETS.items():
        links = [
            given["href"]
            for given in Page(public.get(f"/partner/{key}").text).all("a")
            if "/examples/" in given.get("href", "")
        ]
        contents = [e.content() for e in dataset.examples]
        wanted = [content for content in contents if 0 < len(content) <= HANDED_OUT]
        assert len(links) == len(set(links)) == len(wanted) > 0
        for link, content in zip(links, wanted, strict=True):
            answer = public.get(link)
            assert answer.content == content
            assert answer.headers["content-disposition"].startswith("attachment")
            assert answer.headers["content-type"] == "application/octet-stream"
    assert sum(len(e.content()) > HANDED_OUT for d in DATASETS.values() for e in d.examples) > 0


@pytest.mark.parametrize(
    "address",
    ["/partner/transdev/nothing", "/partner/nobody/validations", "/partner/x/y/schema.json",
     "/partner/transdev/validations/examples/99-nothing"],
)  # fmt: skip
def test_what_is_not_there_is_said_so(address: str, public: TestClient) -> None:
    assert public.get(address).status_code == 404


def test_a_partner_sees_its_own_pushes() -> None:
    client = visitor(Role.PARTNER)
    answer = client.get("/partner")
    assert answer.headers["cache-control"] == "no-store"
    page = Page(answer.text)
    text = plain(page)
    for said in ("lecture · 37 %", "1 234", "1 200", "34", "refusé"):
        assert said in text, said
    links = [given["href"] for given in page.all("a")]
    assert {"/partner/pushes/p1", "/partner/pushes/p2", "/v1/pushes/p2/receipt"} <= set(links)
    assert "/v1/pushes/p1/receipt" not in links
    assert "p9" not in answer.text
    # Without scripts there is a way to look again; with them, an address to listen at.
    assert [given["value"] for given in page.all("progress")] == ["37"]
    live = [given for _, given in page.tags if "data-events" in given]
    assert [given["data-events"] for given in live] == ["/v1/pushes/p1/events"]
    assert client.get("/partner/pushes/p9").status_code == 404


def test_a_push_says_what_was_wrong_where_and_what_to_do() -> None:
    client = visitor(Role.PARTNER)
    text = plain(Page(client.get("/partner/pushes/p2").text))
    for said in ("unknown_value × 30", "4–20, 31", "et 12 autres lignes", "fare_action",
                 "99/99/9999", "ab" * 32, REASONS["wrong_date"].words["fr"],
                 "Lignes gardées et signalées", "hub receipt verify receipt-p2.txt"):  # fmt: skip
        assert said in text, said
    english = plain(Page(visitor(Role.PARTNER, "en").get("/partner/pushes/p2").text))
    assert REASONS["wrong_date"].words["en"] in english
    going = Page(client.get("/partner/pushes/p1").text)
    assert "/v1/pushes/p1/receipt" not in {given.get("href") for given in going.all("a")}
    refused = client.get("/partner/pushes/p3").text
    assert "<img src" not in refused
    assert "wrong_date × 990" in plain(Page(refused))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PARTNER])
def test_other_accounts_see_no_pushes(role: Role) -> None:
    client = visitor(role)
    answer = client.get("/partner")
    assert answer.status_code == 200
    assert "p2" not in answer.text
    assert client.get("/partner/pushes/p2").status_code == 403
    assert visitor().get("/partner/pushes/p2").headers["location"] == "/login"

"""The page of the data-protection officer: for few, in numbers, in both languages."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from connectors.contract import REASONS
from consent.purposes import PURPOSES
from hub.identity.people import MemoryPeople
from hub.records import Account, Push, PushState, Role
from hub.web.desk import Consents, Ending, Line, MemoryDesk, Overview
from tests.web import published
from tests.web.html import Page

AT = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
EVIL = published.HOSTILE


def desk() -> MemoryDesk:
    pushes = [
        Push("p1", "coachco2", "trips", PushState.STORED, AT, "ab" * 32, 10, received=1234,
             valid=1200, rejected=34, kept=800),
        Push("p2", "transdev", "validations", PushState.ACCEPTED, AT, "ab" * 32, 10),
    ]  # fmt: skip
    lines = [
        Line(n, AT, kind, "refused" if "refused" in kind else "done", "region", about, {})
        for n, (kind, about) in enumerate(
            [("push.stored", "p1"), ("push.stored", "p2"), ("push.stored", EVIL),
             ("push.refused", "p4")]
        )
    ]  # fmt: skip
    state = Overview(
        size=4321,
        root="ab" * 32,
        last_entry_at=AT,
        consents=[Consents("coachco2", "trips", "school-mobility", {"given": 77, "withdrawn": 3})],
        pushes=pushes,
        set_aside={"date_in_future": 34},
        withdrawals=[
            Ending("w1", "coachco2", ("school-mobility",), AT, None, 0),
            Ending("w2", "transdev", ("school-mobility",), AT, AT, 1),
            Ending("w3", "transdev", ("school-mobility",), AT, None, 0, late_since=AT),
        ],
    )
    return MemoryDesk(state, [*lines, Line(None, AT, "user.added", "done", "hub", "u1", {})])


def visitor(role: Role | None, shown: MemoryDesk | None = None) -> TestClient:
    people = MemoryPeople()
    app = published.application(people=people, desk=shown or desk())
    client = TestClient(
        app, headers={"accept": "text/html", "accept-language": "fr"}, follow_redirects=False
    )
    if role is not None:
        people.begin(Account("user-1", "someone", "region", role, ""), "cookie")
        client.cookies.set("hub-session", "cookie")
    return client


def test_nobody_signed_in_is_shown_the_door() -> None:
    answer = visitor(None).get("/dpo")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.DPO, Role.AUDITOR)])
def test_others_are_refused(role: Role) -> None:
    client = visitor(role)
    answer = client.get("/dpo")
    assert answer.status_code == 403
    assert "4 321" not in Page(answer.text).text.replace("\u202f", " ")
    assert 'href="/dpo"' not in client.get("/").text


@pytest.mark.parametrize("role", [Role.DPO, Role.AUDITOR])
def test_the_page_says_where_the_hub_stands(role: Role) -> None:
    client = visitor(role)
    assert 'href="/dpo"' in client.get("/").text
    answer = client.get("/dpo")
    assert answer.headers["cache-control"] == "no-store"
    text = Page(answer.text).text.replace("\u202f", " ")
    for said in (
        "4 321",
        "ab" * 32,
        "77",
        "1 234",
        "date_in_future",
        REASONS["date_in_future"].words["fr"],
        PURPOSES["school-mobility"].title["fr"],
        "w1",
        "en cours",
        "en retard depuis le",
        "traité",
    ):
        assert said in text, said


def test_a_look_is_made_only_when_asked() -> None:
    shown = desk()
    client = visitor(Role.DPO, shown)
    client.get("/dpo")
    assert shown.asked == []
    answer = client.get("/dpo?search=1&kind=push.stored&about=&after=0&unknown=x")
    assert shown.asked == [({"kind": "push.stored"}, 0)]
    page = Page(answer.text)
    links = [given["href"] for given in page.all("a") if given.get("rel") == "next"]
    assert links == ["/dpo?search=1&kind=push.stored&after=2&unknown=x#search"]
    assert "/v1/audit/events/0/proof?format=tlog-proof" in answer.text
    assert "/v1/audit/events?kind=push.stored&amp;format=csv" in answer.text
    last = client.get(links[0])
    assert 'rel="next"' not in last.text
    assert "<img src" not in last.text
    assert Page(last.text).ids


def test_no_event_fits_and_terms_come_back_escaped() -> None:
    answer = visitor(Role.DPO).get("/dpo", params={"search": "1", "kind": EVIL, "about": EVIL})
    assert "Aucun événement" in answer.text
    assert "<img src" not in answer.text
    assert any(given.get("value") == EVIL for given in Page(answer.text).all("input"))


@pytest.mark.parametrize("after", ["-1", "x", "9" * 40, "²", ""])
def test_a_cursor_tampered_with_begins_again(after: str) -> None:
    shown = desk()
    visitor(Role.DPO, shown).get("/dpo", params={"search": "1", "after": after})
    assert shown.asked == [({}, 0)]


def test_an_empty_hub_has_a_page() -> None:
    text = Page(visitor(Role.DPO, MemoryDesk()).get("/dpo?lang=en").text).text
    assert "Nothing yet." in text
    assert "No row is set aside." in text


@pytest.mark.parametrize(("language", "more"), [("fr", "5 autres"), ("en", "5 more")])
def test_what_is_finished_is_folded_away_and_what_is_not_is_in_sight(
    language: str, more: str
) -> None:
    shown = desk()
    purposes = ("school-mobility",)
    ended = [Ending(f"ended-{n}", "transdev", purposes, AT, AT, 1) for n in range(10)]
    late = Ending("late", "transdev", purposes, AT, None, 0, late_since=AT)
    shown.state = dataclasses.replace(shown.state, withdrawals=[*ended, late], pushes=[])
    html = visitor(Role.DPO, shown).get(f"/dpo?lang={language}").text
    in_sight, _, rest = html.partition("<details")
    folded, _, _ = rest.partition("</details>")
    assert in_sight.index("about=late#") < in_sight.index("about=ended-0#")
    assert re.findall(r"about=(ended-\d)#", in_sight) == [f"ended-{n}" for n in range(5)]
    assert re.findall(r"about=(ended-\d)#", folded) == [f"ended-{n}" for n in range(5, 10)]
    assert more in Page(html).text
    assert html.count("<details") == 1, "what is short is not folded"


def test_every_field_has_a_label_and_every_table_a_caption() -> None:
    page = Page(visitor(Role.DPO).get("/dpo?search=1").text)
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") == 4
    fields = [g for g in page.all("input") if g.get("type") != "hidden"] + page.all("select")
    assert len(page.all("label")) == len(fields) == 8
    assert all(given["scope"] in ("row", "col") for given in page.all("th"))
    assert page.all("script") == []


def test_without_a_desk_there_is_no_such_page() -> None:
    client = TestClient(published.application(), headers={"accept": "text/html"})
    assert client.get("/dpo").status_code == 404

"""`/my-consent` in a real browser, as a 15-year-old uses it: a phone, the keyboard, no scripts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page

from hub import birthdays, consents, participation
from hub.application import application
from hub.participation import Handed
from tests.browser.visit import Visit
from tests.flows import world
from tests.flows.test_participation import APP, BUS, asked

pytestmark = pytest.mark.browser
Begin = Callable[..., Visit]
GIVEN_AT = datetime(2025, 9, 10, 8, tzinfo=UTC)
UNNAMED = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
  .filter((field) => !field.labels.length && !field.getAttribute("aria-label")).length"""


@dataclass(frozen=True)
class Place:
    """A hub that is served, with somebody who takes part and somebody who has just turned 15."""

    origin: str
    ada: Handed
    kid: Handed
    receipt: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("mine")
    parts = world.hub_in(home / "var")
    now = datetime.now(UTC)
    before = replace(parts, clock=lambda: now - timedelta(days=60))
    fifteen = now.replace(day=1) - timedelta(days=20)
    world.reference_data(parts)
    grant, (ada,) = participation.give(
        parts, APP, "coachco2", asked("ada", given_at=GIVEN_AT, birth="2009-01")
    )
    participation.Door(parts).link(BUS, ada.code, "CARD-ADA")
    world.pushed(parts, "coachco2/trips", world.trips(["ada"], days=3))
    world.pushed(parts, "transdev/validations", world.taps(["CARD-ADA"]))
    _, (kid, _) = participation.give(
        before, APP, "coachco2",
        asked("kid", given_at=GIVEN_AT, birth=f"{fifteen.year - 15}-{fifteen.month:02d}",
              parent_at=GIVEN_AT, parent_identified_by="family account"),
    )  # fmt: skip
    birthdays.sweep(parts, now)
    parts.sequence()
    found = parts.books.grant(grant.id)
    assert found is not None
    receipt = home / "recu.txt"
    receipt.write_bytes(consents.receipt(parts, found))
    config = uvicorn.Config(application(parts), port=0, log_level="error", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < until, "the server took too long"
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield Place(f"http://127.0.0.1:{port}", ada, kid, receipt)
    running.should_exit = True
    thread.join(10)


def enter(page: Page, place: Place, handed: Handed) -> None:
    """Begin a visit with the keyboard alone."""
    page.goto(f"{place.origin}/my-consent")
    form = page.locator("form[action='/my-consent/look']")
    form.locator("[name=code]").focus()
    page.keyboard.type(handed.code.lower())
    page.keyboard.press("Tab")
    page.keyboard.type(handed.secret)
    page.keyboard.press("Enter")
    page.locator("#agreed").wait_for()  # the address does not change


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_is_named_and_complains_of_nothing(
    visit: Begin, place: Place, language: str, width: int
) -> None:
    visitor = visit(width, language)
    visitor.origin = place.origin
    page = visitor.page

    def fits(where: str) -> None:
        assert page.evaluate("document.documentElement.lang") == language, where
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{where} scrolls sideways: {wide} px"
        assert page.evaluate(UNNAMED) == 0, f"{where} has a field without a name"
        assert page.locator("h1").count() == 1, where

    visitor.go("/my-consent")
    fits("the ways in")
    enter(page, place, place.ada)
    fits("one's own page")
    visitor.go("/my-consent/rows")
    fits("one's rows")
    visitor.go("/my-consent")
    page.locator("form[action='/my-consent/leave'] button").click()
    visitor.go("/my-consent/receipt")
    fits("the form for receipts")
    page.locator("input[type=file]").set_input_files(place.receipt)
    page.locator("button[value=verify]").click()
    page.wait_for_selector("#verdict")
    fits("what a receipt says")
    assert visitor.complaints == []
    assert visitor.elsewhere() == []


def test_whoever_turned_15_answers_on_a_phone_without_scripts(visit: Begin, place: Place) -> None:
    page = visit(390, "fr", scripts=False).page
    enter(page, place, place.kid)
    assert "c’est toi seul qui décides" in page.locator("main").inner_text()
    page.get_by_role("button", name="Oui, je continue").click()
    page.wait_for_load_state()
    told = page.locator("main").inner_text()
    assert "Tu as dit oui" in told
    assert "c’est toi seul qui décides" not in told


def test_a_mistyped_code_leads_a_phone_back_to_its_field(visit: Begin, place: Place) -> None:
    page = visit(390, "fr", scripts=False).page
    page.goto(f"{place.origin}/my-consent")
    form = page.locator("form[action='/my-consent/look']")
    form.locator("[name=code]").fill("bonjour")
    form.locator("[name=secret]").fill("peu importe")
    form.locator("button").click()
    form.locator("[name=code]:focus").wait_for()
    seen = form.locator("[role=alert]").bounding_box()
    assert seen is not None
    assert 0 <= seen["y"] <= 900, "what is wrong is in sight, without a word of script"

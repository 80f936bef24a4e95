"""Signing in through a real provider, and one's own account, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page

from hub.application import application
from hub.cli.operate import add_partner, add_user
from hub.main import compose
from hub.parts import Parts
from hub.records import Role
from hub.settings import Settings
from tests.flows.served import free_port
from tests.identity.providers import CLIENT, SECRET, Real, real
from tests.listening import listening

pytestmark = pytest.mark.browser
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Real, Parts]]:
    """Its address, its provider and its parts. By other names: each a site of its own."""
    port = free_port()
    address = f"http://localhost:{port}"
    with real(address) as provider:
        home = tmp_path_factory.mktemp("hub") / "var"
        about = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET, "public_url": address}
        parts = compose(Settings(home=home, oidc_issuer=provider.issuer, **about), opens=True)  # type: ignore[arg-type]
        add_user(parts, "exploitation", Role.PARTNER, "transdev", PASSWORD)
        add_partner(parts, "transdev")
        with listening(application(parts), port):
            yield address, provider, parts
        parts.books.close()


def narrow(page: Page) -> bool:
    """Whether nothing scrolls sideways on a telephone, nor on a screen."""
    widths = []
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        widths.append(page.evaluate("document.documentElement.scrollWidth") <= width)
    return all(widths)


def test_in_and_out_through_the_provider(browser: Browser, hub: tuple[str, Real, Parts]) -> None:
    address, provider, _ = hub
    context = browser.new_context(locale="fr")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/login")
    assert narrow(page)
    page.get_by_role("link", name="Se connecter avec").click()
    page.wait_for_url(f"{provider.issuer}/interaction/**")
    page.fill("input[name=login]", "collectivity")
    page.fill("input[name=password]", "collectivity")
    page.click("button[type=submit]")
    page.click("button[type=submit]")  # what the hub may know
    page.wait_for_url(f"{address}/")
    assert page.get_by_role("button", name="Se déconnecter").is_visible()
    page.get_by_role("link", name="Mon compte").click()
    text = page.locator("main").inner_text()
    assert "Orléans Métropole" in text
    assert "Compte de la Région" in text
    assert page.locator("input[type=password]").count() == 0
    assert narrow(page)
    page.get_by_role("button", name="Se déconnecter").click()
    page.wait_for_url(f"{provider.issuer}/session/end**")
    page.goto(f"{address}/account")
    assert page.url == f"{address}/login"
    assert [text for text in complaints if address in text] == []
    context.close()


@pytest.mark.parametrize("language", ["fr", "en"])
def test_ones_own_account(
    browser: Browser, hub: tuple[str, Real, Parts], language: str, tmp_path: Path
) -> None:
    address, _, _ = hub
    context = browser.new_context(locale=language, java_script_enabled=False)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{address}/login?lang={language}")
    page.fill("input[name=login]", "exploitation")
    page.fill("input[name=password]", PASSWORD)
    page.click("form.sheet button")
    page.goto(f"{address}/account")
    section = page.locator("section[aria-labelledby=factor]")
    section.locator("input[name=password]").fill(PASSWORD)
    section.locator("button").click()
    box = page.locator(".square svg").bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert box["width"] > 150
    letters = page.locator(".letters").inner_text().replace(" ", "")
    page.screenshot(path=tmp_path / "square.png", full_page=True)
    section.locator("input[name=code]").fill(pyotp.TOTP(letters).now())
    section.locator("button").first.click()
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    page.screenshot(path=tmp_path / "codes.png", full_page=True)
    # Taken off again, for the next language.
    section.locator("summary").last.click()
    form = section.locator("form").last
    form.locator("input[name=password]").fill(PASSWORD)
    form.locator("input[name=code]").fill(codes[0])
    form.locator("button").click()
    assert re.search(r"n’est plus demandé|no longer asked for", page.locator("main").inner_text())
    page.goto(f"{address}/account/clients")
    assert "transdev-" in page.locator("main").inner_text()
    assert complaints == []
    context.close()


@pytest.mark.parametrize("path", ["/account", "/account/clients", "/login"])
def test_no_page_of_an_account_scrolls_sideways(
    browser: Browser, hub: tuple[str, Real, Parts], path: str
) -> None:
    address, _, _ = hub
    context = browser.new_context(locale="fr")
    page = context.new_page()
    if path != "/login":
        page.goto(f"{address}/login")
        page.fill("input[name=login]", "exploitation")
        page.fill("input[name=password]", PASSWORD)
        page.click("form.sheet button")
        page.wait_for_url(f"{address}/")
    page.goto(f"{address}{path}")
    assert narrow(page)
    context.close()

"""The pages in a real browser: silent consoles, one origin, keyboard, narrow screens, a map."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import pytest

from tests.browser.visit import Visit

pytestmark = pytest.mark.browser
PAGES = (
    "/",
    "/indicators",
    "/map",
    "/catalog",
    "/catalog/modal-split-2025-2026-1",
    "/methodology",
    "/trust",
    "/login",
    "/partner",
    "/partner/transdev/validations",
    "/partner/coachco2/trips",
)
Begin = Callable[..., Visit]


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_quiet_and_stay_at_home(visit: Begin, language: str, width: int) -> None:
    visitor = visit(width, language)
    for path in PAGES:
        page = visitor.go(path)
        assert page.evaluate("document.documentElement.lang") == language
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} scrolls sideways: {wide} px"
    assert visitor.complaints == []
    assert visitor.elsewhere() == []
    assert any("/static/dist/map-worker.js" in address for address in visitor.requests)


def test_our_policy_is_in_force(visit: Begin) -> None:
    visitor = visit()
    page = visitor.go("/")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'taken over'";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/leak";
          document.body.append(image);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.title() != "taken over"
    assert len([text for text in visitor.complaints if "Content Security Policy" in text]) >= 2


def test_the_map_draws_its_layers(visit: Begin) -> None:
    page = visit().go("/map")
    drawn = page.evaluate("({...document.querySelector('#map').dataset})")
    assert drawn["state"] == "loaded"
    assert drawn["drawnlycee"] == "10"
    assert drawn["drawncarpool"] == "10"
    assert int(drawn["drawnstop"]) > 500
    assert page.locator("#map canvas").count() == 1
    assert page.locator("#map .town").count() == 6


def test_a_place_is_found_from_the_list(visit: Begin) -> None:
    visitor = visit()
    page = visitor.go("/map")
    button = page.get_by_role("button", name="Situer Lycée Pothier")
    button.focus()
    page.keyboard.press("Enter")
    popup = page.locator("#map .maplibregl-popup-content")
    assert "Lycée Pothier" in popup.inner_text()
    assert "Loiret" in popup.inner_text()
    # A hostile name is text in a popup too.
    page.get_by_role("button", name="Situer <script>").click()
    assert "<script>alert" in popup.inner_text()
    assert popup.locator("img, script").count() == 0
    assert visitor.complaints == []


def test_layers_can_be_put_away(visit: Begin) -> None:
    visitor = visit()
    page = visitor.go("/map")
    page.get_by_role("checkbox", name="Arrêts de transport").press("Space")
    assert not page.get_by_role("checkbox", name="Arrêts de transport").is_checked()
    page.wait_for_timeout(200)
    assert visitor.complaints == []


def test_the_keyboard_reaches_everything_in_order(visit: Begin) -> None:
    page = visit().go("/indicators")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "department":
            break
    else:
        pytest.fail("the filter does not follow the start of the content")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "focus cannot be seen"
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open] table").first.is_visible()


def test_the_filter_follows_what_one_types(visit: Begin) -> None:
    visitor = visit()
    page = visitor.go("/indicators")
    assert page.locator("[data-count]").inner_text() == "10 lycées ou groupes de lycées."
    page.locator("input[name=q]").fill("déscartes")
    assert page.locator("[data-count]").inner_text() == "Un lycée ou groupe de lycées."
    assert page.locator("#modal-split article:visible h4").all_inner_texts() == [
        "Centre-Val de Loire",
        "Lycée Descartes",
    ]
    assert "q=d%C3%A9scartes" in page.url
    page.reload()
    assert page.locator("[data-count]").inner_text() == "Un lycée ou groupe de lycées."
    page.locator("input[name=q]").fill("")
    page.locator("select[name=department]").select_option("45")
    assert page.locator("#modal-split .silent li:visible").count() == 1
    assert visitor.complaints == []


def test_the_filter_works_without_scripts(visit: Begin) -> None:
    page = visit(scripts=False).go("/indicators")
    page.locator("input[name=q]").fill("descartes")
    page.get_by_role("button", name="Filtrer").click()
    assert page.locator("#modal-split article:visible").count() == 2


def test_signing_in_and_out(visit: Begin) -> None:
    visitor = visit()
    page = visitor.go("/login")
    page.get_by_label("Identifiant").fill("dpo")
    page.get_by_label("Mot de passe").fill("correct horse")
    page.get_by_role("main").get_by_role("button", name="Se connecter").click()
    page.wait_for_url("**/")
    page.get_by_role("button", name="Se déconnecter").click()
    page.wait_for_url("**/")
    assert page.get_by_role("link", name="Se connecter").is_visible()
    assert visitor.complaints == []
    assert visitor.elsewhere() == []


@pytest.mark.parametrize("path", PAGES)
def test_every_control_and_picture_has_a_name(visit: Begin, path: str) -> None:
    page = visit().go(path)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, svg, [role=region], nav")]
          .filter((element) => element.type !== "hidden" && element.getClientRects().length)
          .filter((element) => !(element.ariaLabel || element.textContent.trim() ||
            element.ariaHidden === "true" || (element.labels && element.labels.length)))
          .map((element) => element.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    levels = page.evaluate(
        "[...document.querySelectorAll('main :is(h1, h2, h3, h4)')].map((h) => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.getClientRects().length || element.closest("svg, .away, #map")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(visit: Begin, scheme: Literal["light", "dark"]) -> None:
    visitor = visit()
    visitor.page.emulate_media(color_scheme=scheme)
    for path in PAGES:
        assert visitor.go(path).evaluate(CONTRASTS) == [], path

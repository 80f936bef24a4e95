"""The pages answer, in both languages, and say what releases say and nothing else."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hub.web.shelf import MemoryShelf
from tests.web import published
from tests.web.html import Page

PAGES = ("/", "/indicators", "/map", "/methodology", "/trust", "/login")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return published.application()


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A visitor of its own: the language asked for is remembered."""
    return TestClient(app, headers={"accept": "text/html", "accept-language": "fr"})


def page(client: TestClient, address: str, status: int = 200, **headers: str) -> Page:
    answer = client.get(address, headers=headers)
    assert answer.status_code == status, answer.text[:500]
    return Page(answer.text)


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_page_answers_in_both_languages(
    client: TestClient, address: str, language: str
) -> None:
    answer = client.get(address, headers={"accept-language": language})
    assert answer.status_code == 200
    assert answer.headers["content-language"] == language
    read = Page(answer.text)
    assert read.all("html") == [{"lang": language}]
    assert len(read.all("h1")) == 1
    assert {link["hreflang"] for link in read.all("link") if "hreflang" in link} == {
        "fr",
        "en",
        "x-default",
    }
    assert client.head(address).status_code == 200


@pytest.mark.parametrize("address", [*PAGES, "/nowhere", "/map?q=gare", "/indicators?q=x"])
@pytest.mark.parametrize("language", ["fr", "en"])
def test_nothing_comes_from_elsewhere(client: TestClient, address: str, language: str) -> None:
    answer = client.get(address, headers={"accept-language": language})
    # As attributes, not as text: a lycée's hostile name may spell an address and load nothing.
    for tag, given in Page(answer.text).tags:
        for name, value in given.items():
            if name in {"href", "src", "action", "srcset", "poster", "data-worker"}:
                assert re.match(r"^[/#?](?!/)", value), f"<{tag} {name}={value!r}>"
            assert not name.startswith("on"), f"<{tag} {name}>: a script in an attribute"
            assert name != "style", f"<{tag} style>: refused by our own policy"
    scripts = Page(answer.text).all("script")
    assert all(script.get("src") for script in scripts)
    assert "<style" not in answer.text


def test_links_of_the_pages_lead_somewhere(client: TestClient) -> None:
    # The application's, not ours; and pages that need a whole hub: tests/flows visits them.
    others = ("/v1/", "/audit/", "/openapi.json", "/my-consent")
    found = {
        link["href"].split("#")[0]
        for address in PAGES
        for tag in ("a", "link", "script")
        for link in page(client, address).all(tag)
        if "href" in link and not link["href"].startswith(others)
    }
    for address in found - {""}:
        assert client.get(address).status_code == 200, address


def test_the_language_asked_for_is_remembered() -> None:
    with TestClient(published.application(), headers={"accept-language": "fr"}) as own:
        assert Page(own.get("/").text).all("html") == [{"lang": "fr"}]
        asked = own.get("/?lang=en")
        assert "samesite=lax" in asked.headers["set-cookie"].lower()
        assert Page(own.get("/map").text).all("html") == [{"lang": "en"}]
        assert Page(own.get("/map?lang=zz").text).all("html") == [{"lang": "en"}]


def test_the_language_link_keeps_the_filter(client: TestClient) -> None:
    links = page(client, "/indicators?department=45&q=gien").all("a")
    assert "/indicators?department=45&q=gien&lang=en" in [link["href"] for link in links]


def test_figures_of_the_releases_are_shown(client: TestClient) -> None:
    text = page(client, "/indicators").text
    for words in (
        "Lycée Alain-Fournier",
        "Autres lycées : Loiret",
        "de 18 à 22 %",
        "101 participants ou plus",
        "11 à 20 participants",
        "si les participants ressemblent aux autres",
        "ademe-2025.1",
        "3 novembre 2026, 18:30",
        "n° 41",
        "180 kg",
    ):
        assert words in text
    assert "from 18 to 22%" in page(client, "/indicators?lang=en").text


def test_every_published_number_stands_in_the_table(client: TestClient) -> None:
    html = client.get("/indicators").text
    tables = re.findall(r"<table>.*?</table>", html, re.DOTALL)
    assert len(tables) == 2
    cells = Page(tables[0]).text
    for row in published.modal_rows():
        if not row["suppressed"] and row["population"] == "pupil":
            assert f"{row['low']:.0f} %" in cells
    assert tables[0].count('scope="row"') == 4 * 16 + 1


def test_downloads_lead_to_the_release(client: TestClient) -> None:
    links = {link["href"] for link in page(client, "/indicators").all("a")}
    base = "/v1/releases/modal-split.2025-2026.1"
    assert {f"{base}/data?format={name}" for name in ("csv", "json", "parquet")} <= links
    assert f"{base}/manifest" in links


@pytest.mark.parametrize("address", ["/", "/indicators", "/indicators?q=palissy"])
def test_a_suppressed_cell_shows_neither_figure_nor_class(client: TestClient, address: str) -> None:
    html = client.get(address).text
    for secret in ("77", "76", "78"):
        assert f">{secret}" not in html
    if address == "/":
        return
    said = re.findall(
        r"<(?:li|tr|article)(?:(?!<(?:li|tr|article)).)*Palissy.*?</(?:li|tr|article)>", html
    )
    assert len(said) == 2, "once in the list, once in the table"
    for area in said:
        assert "compté avec les autres lycées de son département" in area
        assert not re.search(r"participants|\d{2} %", Page(area).text)


def test_populations_are_never_pooled(client: TestClient) -> None:
    pupils = page(client, "/indicators").text
    assert "83 %" not in pupils
    staff = page(client, "/indicators?population=staff").text
    assert "83 %" in staff
    assert "Voiture + Autre" in staff
    assert "Lycée Alain-Fournier" not in staff
    assert page(client, "/indicators?population=nobody").text == pupils


def shown_articles(html: str) -> list[str]:
    return [
        Page(article).text
        for article in re.findall(r"<article.*?</article>", html, re.DOTALL)
        if " hidden" not in article.split(">")[0]
    ]


def test_the_filter_works_without_a_script(client: TestClient) -> None:
    loiret = " ".join(shown_articles(client.get("/indicators?department=45").text))
    assert "Autres lycées : Loiret" in loiret
    assert "Marceau" not in loiret
    found = " ".join(shown_articles(client.get("/indicators?q=FOURNIER+alain").text))
    assert "Alain-Fournier" in found
    assert "Descartes" not in found
    nothing = client.get("/indicators?q=zzz").text
    assert "Aucun lycée ni groupe de lycées pour ce filtre." in nothing
    assert nothing.count("data-none>") == 4
    everything = client.get("/indicators?department=99").text
    assert "10 lycées ou groupes de lycées." in Page(everything).text


def test_lycees_stand_in_alphabetical_order(client: TestClient) -> None:
    html = client.get("/indicators").text
    names = re.findall(r"<h4>(Lycée[^<]*)</h4>", html)[:8]
    assert names == [
        "Lycée Alain-Fournier",
        "Lycée Marceau",
        "Lycée Jean-Giraudoux",
        "Lycée Descartes",
        "Lycée Jacques-de-Vaucanson",
        "Lycée Augustin-Thierry",
        "Lycée Ronsard",
        "Lycée Alain-Fournier",
    ]


@pytest.mark.parametrize("address", ["/", "/indicators", "/map", "/map?q=script"])
def test_hostile_names_are_text(client: TestClient, address: str) -> None:
    html = client.get(address).text
    assert "alert(" not in html or "&lt;script&gt;alert(" in html
    assert "<script>alert" not in html
    assert "<img" not in html


def test_what_a_visitor_types_is_text(client: TestClient) -> None:
    for address in ("/indicators", "/map"):
        html = client.get(address, params={"q": published.HOSTILE}).text
        assert "<script>alert" not in html
        assert "<img" not in html
        Page(html)
    assert client.get("/indicators", params={"q": "é" * 5000}).status_code == 200


def test_places_can_be_found_without_the_map(client: TestClient) -> None:
    read = page(client, "/map?q=arret+59")
    assert "16 lieux trouvés" in read.text
    assert "Arrêt 599" in read.text
    assert "1 lieu trouvé" in page(client, "/map?q=s599").text
    many = page(client, "/map?q=arret")
    assert "600 lieux trouvés" in many.text
    assert "Les 60 premiers" in many.text


def test_before_the_first_release_the_pages_say_so() -> None:
    empty = MemoryShelf(published.TERRITORY.model_copy(update={"demo": False}))
    with TestClient(published.application(empty), headers={"accept": "text/html"}) as own:
        for address in ("/", "/indicators"):
            assert "Aucune publication pour l’instant" in Page(own.get(address).text).text
        assert own.get("/map").status_code == 200
        assert "synthétiques" not in own.get("/").text


def test_a_demonstration_says_so_on_every_page(client: TestClient) -> None:
    for address in (*PAGES, "/nowhere"):
        assert "synthétiques" in client.get(address).text


def test_a_silent_shelf_is_said_to_people_and_to_machines() -> None:
    away = published.AwayShelf(published.TERRITORY)
    with TestClient(published.application(away), headers={"accept": "text/html"}) as own:
        answer = own.get("/indicators")
        assert answer.status_code == 503
        assert "Les registres sont muets." in Page(answer.text).text
        assert "The books are silent." in Page(own.get("/indicators?lang=en").text).text
        machine = own.get("/map/layers/lycee.geojson")
        assert machine.status_code == 503
        assert machine.headers["content-type"] == "application/problem+json"


def test_an_unknown_address_is_a_page_for_people(client: TestClient) -> None:
    for address in ("/nowhere", "/indicators/x", "/<script>alert(1)</script>"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "Il n’y a rien à cette adresse." in Page(answer.text).text
        assert "<script>alert" not in answer.text
    assert client.get("/v1/nowhere").headers["content-type"] == "application/problem+json"
    assert (
        client.get("/nowhere", headers={"accept": "application/json"}).headers["content-type"]
        == "application/problem+json"
    )

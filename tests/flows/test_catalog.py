"""The catalogue: valid DCAT-AP, found by search, and nothing in it that its reader may not see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import rdflib
import rdflib.compare
from rdflib.namespace import DCAT, DCTERMS, RDF
from starlette.testclient import TestClient

from connectors.registry import DATASETS
from hub import catalog, release
from hub.application import application
from hub.catalog import Catalogue, Entry, Listing
from hub.parts import Parts
from hub.policy.gate import DenyAll
from hub.records import Basis
from tests.flows import world

SHAPES = Path(__file__).parents[2] / "../shared/data/vocab/dcat-ap-3.0.1-shacl.ttl"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    parts = world.hub_in(tmp_path_factory.mktemp("catalog") / "var")
    world.map_data(parts)
    release.build(parts, "places")
    more = {one.name: one for one in DATASETS["region/carpool-places"].examples}
    world.pushed(parts, "region/carpool-places", more["far from the others"].content())
    release.build(parts, "places")
    yield parts
    parts.books.close()


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), base_url="https://hub.test")


def check_dcat_ap(jsonld: bytes, of: str = "") -> rdflib.Graph:
    """A catalogue the published shapes pass, which they would not without the title of `of`."""
    if not SHAPES.is_file():
        pytest.skip("the published shapes are not beside this clone")
    pyshacl = pytest.importorskip("pyshacl")
    made = rdflib.Graph().parse(data=jsonld, format="json-ld")
    shapes = rdflib.Graph().parse(SHAPES)
    conforms, _, said = pyshacl.validate(made, shacl_graph=shapes, inference="none")
    assert conforms, said
    some = next(
        one
        for one in made.subjects(RDF.type, DCAT.Dataset)
        if not of or made.value(one, DCTERMS.identifier) == rdflib.Literal(of)
    )
    title = list(made.triples((some, DCTERMS.title, None)))
    made.remove((some, DCTERMS.title, None))
    assert not pyshacl.validate(made, shacl_graph=shapes, inference="none")[0]
    for triple in title:
        made.add(triple)
    return made


def test_it_is_valid_dcat_ap(client: TestClient) -> None:
    check_dcat_ap(client.get("/v1/catalog").content)


def test_turtle_says_the_same(client: TestClient) -> None:
    linked = rdflib.Graph().parse(data=client.get("/v1/catalog").content, format="json-ld")
    answer = client.get("/v1/catalog", headers={"accept": "text/turtle"})
    assert answer.headers["content-type"].startswith("text/turtle")
    turtle = rdflib.Graph().parse(data=answer.content, format="turtle")
    assert len(linked) == len(turtle) > 300
    assert rdflib.compare.isomorphic(linked, turtle)


def test_a_release_can_be_fetched_from_what_the_catalogue_says(client: TestClient) -> None:
    found = client.get("/v1/catalog/places-2025-2026-2")
    assert found.headers["content-type"] == "application/ld+json"
    (csv,) = [one for one in found.json()["dcat:distribution"] if one["dct:title"].endswith(".csv")]
    # Car-pool places come from a base under the ODbL, and so does what is published of them.
    assert csv["dct:license"]["@id"] == "https://spdx.org/licenses/ODbL-1.0"
    address = csv["dcat:downloadURL"]["@id"].partition("8000")[2]
    answer = client.get(address)
    assert answer.status_code == 200
    digest = hashlib.sha256(answer.content).hexdigest()
    assert csv["spdx:checksum"]["spdx:checksumValue"]["@value"] == digest


def test_only_the_newest_edition_is_listed(parts: Parts) -> None:
    ids = [one.id for one in Catalogue(parts).listing().entries if one.kind == "release"]
    assert ids == ["places-2025-2026-2"]


@pytest.mark.parametrize(
    ("source", "partner"),
    [("coachco2-trips", "CoachCO2"), ("region-gtfs", "Région Centre-Val de Loire")],
)
def test_sources_are_described_and_not_handed_out(parts: Parts, source: str, partner: str) -> None:
    """Nobody can ask for rows, so nothing says that they may, whoever the rows are about."""
    entry = Catalogue(parts).listing().entry(source)
    assert (entry.access, dict(entry.formats)) == ("NON_PUBLIC", {})
    assert entry.columns
    assert entry.about["fr"].startswith(f"Jeu déposé par {partner} (")


@pytest.mark.parametrize(
    ("words", "finds"),
    [("COVOITURAGE lycees", "places-2025-2026-2"), ("élève zzz", None),
     ("flux VISION", "orange-presence")],
)  # fmt: skip
def test_search_minds_neither_accents_nor_case(parts: Parts, words: str, finds: str | None) -> None:
    found = [one.id for one in Catalogue(parts).listing().search(words)]
    assert (finds in found) if finds else found == []


def test_what_changes_is_seen_at_once(tmp_path: Path) -> None:
    parts = world.hub_in(tmp_path / "var")
    catalogue = Catalogue(parts)
    before = catalogue.listing()
    assert catalogue.listing() is before
    world.map_data(parts)
    release.build(parts, "places")
    assert len(catalogue.listing().entries) == len(before.entries) + 1
    # An engine that denies everything lists no release.
    denied = Catalogue(replace(parts, policy=DenyAll()))
    assert [one for one in denied.listing().entries if one.kind == "release"] == []


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_pages_list_and_show(client: TestClient, lang: str) -> None:
    index = client.get("/catalog", params={"lang": lang})
    assert index.status_code == 200
    assert "/catalog/places-2025-2026-2" in index.text
    assert "/catalog/places-2025-2026-2" not in client.get("/catalog?q=zzz").text
    page = client.get("/catalog/places-2025-2026-2", params={"lang": lang})
    assert "format=parquet" in page.text
    assert client.get("/catalog/nothing", headers={"accept": "text/html"}).status_code == 404
    assert client.get("/v1/catalog/nothing").json()["status"] == 404


def test_an_entry_of_every_measure_can_be_written_down(parts: Parts) -> None:
    shown = Catalogue(parts).listing().entry("places-2025-2026-2")
    entries: tuple[Entry, ...] = tuple(
        replace(shown, id=f"m-{n}", licence=licence) for n, licence in enumerate(catalog.LICENCES)
    )
    listing = Listing(entries, "https://hub.test", "Région", None)
    assert len(listing.document()["dcat:dataset"]) == len(catalog.LICENCES)


def test_a_source_says_how_fresh_and_how_good_it_is(parts: Parts) -> None:
    entries = {one.id: one for one in Catalogue(parts).listing().entries}
    fresh = entries["region-lycees"]
    assert fresh.freshness["en"] == f"last pushed on {parts.clock():%Y-%m-%d}"
    assert fresh.quality["en"].startswith("100.0% of rows valid")
    assert fresh.quality["fr"].startswith("100,0 % de lignes valides")
    assert entries["orange-presence"].freshness["en"] == "nothing was pushed yet"
    # Of rows about people no count is told.
    world.pushed(parts, "transdev/validations", world.taps(["A"]))
    personal = {one.id: one for one in Catalogue(parts).listing().entries}["transdev-validations"]
    assert personal.freshness["en"].startswith("last pushed on")
    assert "%" not in personal.quality["en"]


def test_a_source_says_its_terms_in_words(parts: Parts) -> None:
    entries = {one.id: one for one in Catalogue(parts).listing().entries}
    said = entries["transdev-validations"].terms
    assert said["fr"].startswith(
        "une mission de service public, avec droit d’opposition ; finalité"
    )
    assert said["en"].startswith("a public task, with a right to object; purpose: Understanding")
    floor = "; protection, at least: volumes the operator extrapolates"
    assert floor in entries["orange-presence"].terms["en"]
    assert set(catalog.BASES) == set(Basis)

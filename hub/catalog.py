"""The catalogue: what the hub has, in words for people and in DCAT-AP 3 for their tools.

Two kinds of entries. A *release* is a published table, open unless an exception is cited: it has
distributions. One that an exception restricts is described all the same, and asked for by a
request. A *source* is what a partner pushes: its layout and terms are public, its rows are not, and
there is nothing to download. What is under embargo is not listed.

The documents are made once for each state of what they list, then handed out as prepared bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any, Final, Protocol

import msgspec

from analytics.measures import MEASURES
from analytics.model import LICENCE_OUVERTE, ODBL, Column
from connectors.contract import Dataset
from connectors.tableschema import table_schema
from consent.purposes import PURPOSES
from hub import protections
from hub.errors import NotFound
from hub.events import Kind
from hub.parts import Parts
from hub.records import Agreement, Basis, Push, Release
from hub.release import listable
from hub.settings import Territory

Words = Mapping[str, str]

EU: Final = "http://publications.europa.eu/resource/authority"
CONTEXT: Final[Mapping[str, str]] = {
    "adms": "http://www.w3.org/ns/adms#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
LICENCES: Final[Mapping[str, str]] = {
    LICENCE_OUVERTE: "https://spdx.org/licenses/etalab-2.0",
    ODBL: "https://spdx.org/licenses/ODbL-1.0",
}
FILE_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "csv": ("CSV", "text/csv"),
    "json": ("JSON", "application/json"),
    "parquet": ("PARQUET", "application/vnd.apache.parquet"),
    "geojson": ("GEOJSON", "application/geo+json"),
    "xlsx": ("XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
THEMES: Final[Mapping[str, Words]] = {
    "TRAN": {"fr": "Transports", "en": "Transport"},
    "ENVI": {"fr": "Environnement", "en": "Environment"},
    "EDUC": {"fr": "Éducation, culture et sport", "en": "Education, culture and sport"},
}
ACCESS: Final[Mapping[str, Words]] = {
    "PUBLIC": {"fr": "ouvert à tous", "en": "open to everyone"},
    "RESTRICTED": {"fr": "sur demande", "en": "on request"},
    "NON_PUBLIC": {"fr": "ne sort pas du hub", "en": "does not leave the hub"},
}


BASES: Final[Mapping[Basis, Words]] = {
    Basis.CONSENT: {"fr": "l’accord de chaque personne", "en": "each person’s consent"},
    Basis.PUBLIC_TASK: {
        "fr": "une mission de service public, avec droit d’opposition",
        "en": "a public task, with a right to object",
    },
    Basis.NOT_PERSONAL: {"fr": "aucune donnée personnelle", "en": "no personal data"},
}
ON_REQUEST: Final[Words] = {
    "fr": "sur demande, par une décision motivée",
    "en": "on request, by a decision with its reasons",
}
MINUTE: Final = 60
LISTED: Final = tuple(
    kind
    for kind in Kind
    if kind is Kind.PUSH_STORED
    or (
        kind.value.split(".")[0] in {"hub", "agreement", "release"}
        and kind is not Kind.RELEASE_READ
    )
)
"""Events after which the catalogue may say something else."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One dataset of the catalogue. `access` is a code of the EU's list of access rights."""

    id: str
    kind: str
    title: Words
    about: Words
    keywords: tuple[str, ...]
    themes: tuple[str, ...]
    access: str
    publisher: str
    columns: tuple[Column, ...]
    terms: Words
    freshness: Words
    coverage: Words
    quality: Words
    issued: datetime | None = None
    period: str = ""
    version: int = 0
    licence: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    """Format → SHA-256 of its bytes, in hex; empty where it takes a request to have any."""
    measure: str = ""
    """Of a release: what a request names."""
    exception: Mapping[str, Any] = field(default_factory=dict)
    """Why a release is restricted: code, partners, legal text."""


class Listed(Protocol):
    """Whatever has a catalogue to show."""

    def listing(self) -> Listing:
        """Everything the public may see, as it stands now."""
        ...


class Catalogue:
    """The entries of one hub, and the documents made of them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = Lock()
        self._made: tuple[object, Listing] | None = None

    def listing(self) -> Listing:
        """Everything the public may see, as it stands now."""
        now = int(self._parts.clock().timestamp())
        # An embargo ends with time alone; everything else that is listed changes with an event.
        state = (self._parts.books.last_of(LISTED), now // MINUTE)
        with self._lock:
            if self._made is None or self._made[0] != state:
                published = self._parts.books.releases()
                releases = listable(self._parts, published)
                agreements = self._parts.books.agreements()
                entries = [*self._releases(releases), *self._sources(agreements)]
                listing = Listing(
                    tuple(entries),
                    self._parts.settings.public_url,
                    self._parts.territory.name,
                    max((one.published_at for one in releases), default=None),
                )
                self._made = (state, listing)
            return self._made[1]

    def _releases(self, releases: Sequence[Release]) -> Iterable[Entry]:
        """The newest edition of each measure and period; the earlier ones stay at its address."""
        newest = {(one.measure, one.period): one for one in releases}
        for release in newest.values():
            measure = MEASURES[release.measure]
            manifest = release.manifest
            open_ = bool(manifest.get("open", True))
            protection = manifest.get("protection", {})
            yield Entry(
                id=release.id,
                kind="release",
                title=dict(measure.title),
                about=dict(measure.about),
                keywords=("lycée", "mobilité", "mobility", release.measure, release.period),
                themes=measure.themes,
                access="PUBLIC" if open_ else "RESTRICTED",
                publisher=self._parts.territory.name,
                columns=tuple(
                    Column(one["name"], one["type"], one["fr"], one["en"], one["unit"])
                    for one in manifest["columns"]
                ),
                terms=dict.fromkeys(("fr", "en"), manifest["licence"]) if open_ else ON_REQUEST,
                freshness={
                    "fr": f"édition {release.version} du {release.published_at:%d/%m/%Y}",
                    "en": f"edition {release.version} of {release.published_at:%Y-%m-%d}",
                },
                coverage={
                    "fr": f"{self._parts.territory.name}, {release.period}",
                    "en": f"{self._parts.territory.name}, {release.period}",
                },
                quality=_quality(protection, synthetic=bool(manifest.get("synthetic"))),
                issued=release.published_at,
                period=release.period,
                version=release.version,
                licence=manifest["licence"],
                # The digests of what is restricted would let a guess be checked.
                formats={
                    kind: said.removeprefix("sha256:") for kind, said in manifest["digest"].items()
                }
                if open_
                else {},
                measure=release.measure,
                exception=self._exception(manifest.get("exception") or {}),
            )

    def _exception(self, cited: Mapping[str, Any]) -> Mapping[str, Any]:
        """The exception with its partners as people call them."""
        named = self._parts.territory.named
        return cited and {**cited, "partners": [named(one) for one in cited.get("partners", ())]}

    def _sources(self, agreements: Sequence[Agreement]) -> Iterable[Entry]:
        seen: set[str] = set()
        newest = {(one.partner, one.dataset): one for one in self._parts.books.newest_pushes()}
        for agreement in agreements:
            dataset = self._parts.datasets.get(f"{agreement.partner}/{agreement.dataset}")
            if dataset is not None and dataset.key not in seen:
                seen.add(dataset.key)
                last = newest.get((dataset.partner, dataset.name))
                yield _source(dataset, agreement, self._parts.territory, last)


def _quality(protection: Mapping[str, Any], *, synthetic: bool) -> Words:
    lane = protection.get("lane", "")
    said = protections.LEVELS.get(lane, {"fr": "voir le manifeste", "en": "see the manifest"})
    if not synthetic:
        return said
    return {"fr": f"données fictives ; {said['fr']}", "en": f"made-up data; {said['en']}"}


def _source(
    dataset: Dataset, agreement: Agreement, territory: Territory, last: Push | None
) -> Entry:
    """A dataset as it is pushed. Its rows stay in the hub, whoever they are about."""
    partner = territory.named(dataset.partner)
    personal = dataset.subject is not None
    return Entry(
        id=dataset.key.replace("/", "-"),
        kind="source",
        title=dict(dataset.title),
        about={
            "fr": f"Jeu déposé par {partner} ({dataset.source}). "
            + (
                "Il porte sur des personnes : ses lignes ne sortent jamais du hub, seuls les "
                "indicateurs publiés en sont tirés."
                if personal
                else "Il ne porte sur personne ; les indicateurs publiés en sont tirés."
            ),
            "en": f"Pushed by {partner} ({dataset.source}). "
            + (
                "It is about people: its rows never leave the hub, only published figures come "
                "of it."
                if personal
                else "It is about nobody; published figures come of it."
            ),
        },
        keywords=(dataset.partner, dataset.name, "lycée", "mobilité", "mobility"),
        themes=("TRAN",),
        access="NON_PUBLIC",
        publisher=", ".join(map(territory.named, agreement.terms.get("controllers", ())))
        or partner,
        columns=tuple(
            Column(
                one["name"],
                one["type"],
                one.get("description", one.get("title", "")),
                one.get("title", one.get("description", "")),
            )
            for one in table_schema(dataset)["fields"]
        ),
        terms=_agreed(agreement),
        freshness={
            "fr": f"dernier dépôt le {last.accepted_at:%d/%m/%Y}",
            "en": f"last pushed on {last.accepted_at:%Y-%m-%d}",
        }
        if last is not None
        else {"fr": "rien n’est encore déposé", "en": "nothing was pushed yet"},
        coverage={"fr": territory.name, "en": territory.name},
        quality=_checked(None if personal else last),
    )


def _agreed(agreement: Agreement) -> Words:
    """Lawful basis, purpose, and what releases are protected by at least, in words."""
    basis, purpose = BASES[agreement.basis], PURPOSES.get(agreement.purpose)
    why = purpose.title if purpose else dict.fromkeys(("fr", "en"), agreement.purpose)
    least = protections.LEVELS.get(str(agreement.terms.get("protection")))
    return {
        "fr": f"{basis['fr']} ; finalité : {why['fr']}"
        + (f" ; protection, au moins : {least['fr']}" if least else ""),
        "en": f"{basis['en']}; purpose: {why['en']}"
        + (f"; protection, at least: {least['en']}" if least else ""),
    }


def _checked(last: Push | None) -> Words:
    """How a source's rows fared; of rows about people no count is told."""
    said = {
        "fr": "chaque ligne est vérifiée à l’entrée ; les refus sont motivés",
        "en": "each row is checked when it comes in; refusals say why",
    }
    if last is None or not last.received:
        return said
    share = 100 * (last.valid or 0) / last.received
    return {
        "fr": f"{share:.1f} % de lignes valides au dernier dépôt ; {said['fr']}".replace(
            ".", ",", 1
        ),
        "en": f"{share:.1f}% of rows valid in the last push; {said['en']}",
    }


@dataclass(frozen=True)
class Listing:
    """The entries at one moment, and their documents, each made at most once."""

    entries: tuple[Entry, ...]
    address: str
    territory: str
    modified: datetime | None

    def entry(self, entry_id: str) -> Entry:
        """One entry. Raises `NotFound`."""
        for one in self.entries:
            if one.id == entry_id:
                return one
        raise NotFound(
            "unknown-dataset",
            fr="Le catalogue n’a pas de jeu de données de ce nom.",
            en="The catalogue has no dataset of that name.",
            who="person",
        )

    def search(self, words: str) -> list[Entry]:
        """Entries that hold every word asked for; accents and case do not matter."""
        wanted = _folded(words).split()
        return [
            one
            for one, text in zip(self.entries, self._texts, strict=True)
            if all(word in text for word in wanted)
        ]

    @cached_property
    def _texts(self) -> list[str]:
        return [
            _folded(
                " ".join(
                    [one.id, *one.title.values(), *one.about.values(), *one.keywords,
                     *(f"{c.name} {c.fr} {c.en}" for c in one.columns)]
                )
            )
            for one in self.entries
        ]  # fmt: skip

    @cached_property
    def jsonld(self) -> bytes:
        """The whole catalogue as JSON-LD."""
        return msgspec.json.encode(self.document())

    @cached_property
    def turtle(self) -> bytes:
        """The whole catalogue as Turtle."""
        import rdflib  # loaded by those who ask for Turtle

        graph = rdflib.Graph()
        graph.parse(data=self.jsonld, format="json-ld")
        return graph.serialize(format="turtle").encode()

    def document(self) -> dict[str, Any]:
        """DCAT-AP 3 in JSON-LD, as plain data."""
        publisher = self._agent("hub", self.territory)
        return {
            "@context": dict(CONTEXT),
            "@id": f"{self.address}/v1/catalog",
            "@type": "dcat:Catalog",
            "dct:title": _words(
                {"fr": f"Hub mobilité {self.territory}", "en": f"Mobility hub {self.territory}"}
            ),
            "dct:description": _words(
                {
                    "fr": "Ce que le hub publie sur la mobilité autour des lycées, et de quoi "
                    "c’est tiré.",
                    "en": "What the hub publishes on mobility around lycées, and what it comes of.",
                }
            ),
            "dct:publisher": publisher,
            "dct:language": [_typed(f"{EU}/language/{code}", "dct:LinguisticSystem")
                             for code in ("FRA", "ENG")],
            "foaf:homepage": {"@id": f"{self.address}/catalog", "@type": "foaf:Document"},
            **({"dct:modified": _time(self.modified)} if self.modified else {}),
            "dcat:dataset": [self.dataset(one) for one in self.entries],
        }  # fmt: skip

    def dataset(self, entry: Entry) -> dict[str, Any]:
        """One entry as a `dcat:Dataset`."""
        page = f"{self.address}/catalog/{entry.id}"
        made: dict[str, Any] = {
            "@id": f"{page}#dataset",
            "@type": "dcat:Dataset",
            "dct:identifier": entry.id,
            "dct:title": _words(entry.title),
            "dct:description": _words(entry.about),
            "dct:publisher": self._agent(entry.id, entry.publisher),
            "dcat:keyword": list(entry.keywords),
            "dcat:theme": [
                {"@id": f"{EU}/data-theme/{code}", "@type": "skos:Concept",
                 "skos:prefLabel": _words(THEMES[code])}
                for code in entry.themes
            ],
            "dct:accessRights": _typed(
                f"{EU}/access-right/{entry.access}", "dct:RightsStatement"
            ),
            "dcat:landingPage": {"@id": page, "@type": "foaf:Document"},
            "dcat:contactPoint": {
                "@id": f"{self.address}/#contact", "@type": ["vcard:Organization", "vcard:Kind"],
                "vcard:fn": f"Hub mobilité {self.territory}",
                "vcard:hasURL": {"@id": self.address + "/"},
            },
            "dct:spatial": {
                "@id": f"{self.address}/#territory", "@type": "dct:Location",
                "skos:prefLabel": self.territory,
            },
        }  # fmt: skip
        if entry.issued is not None:
            made["dct:issued"] = _time(entry.issued)
            made["dcat:version"] = str(entry.version)
            made["dcat:distribution"] = [
                self._distribution(entry, kind) for kind in sorted(entry.formats)
            ] or [self._on_request(entry)]
        if entry.period:
            first, last = entry.period.split("-")
            made["dct:temporal"] = {
                "@type": "dct:PeriodOfTime",
                "dcat:startDate": {"@type": "xsd:date", "@value": f"{first}-09-01"},
                "dcat:endDate": {"@type": "xsd:date", "@value": f"{last}-08-31"},
            }
        return made

    def _distribution(self, entry: Entry, kind: str) -> dict[str, Any]:
        base = f"{self.address}/v1/releases/{entry.id}"
        code, media = FILE_TYPES[kind]
        return {
            "@id": f"{base}/data?format={kind}#distribution",
            "@type": "dcat:Distribution",
            "dct:title": f"{entry.id}.{kind}",
            "dcat:accessURL": {"@id": f"{base}/data?format={kind}"},
            "dcat:downloadURL": {"@id": f"{base}/data?format={kind}"},
            "dct:format": _typed(f"{EU}/file-type/{code}", "dct:MediaTypeOrExtent"),
            "dcat:mediaType": _typed(
                f"https://www.iana.org/assignments/media-types/{media}", "dct:MediaType"
            ),
            "dct:license": _typed(LICENCES[entry.licence], "dct:LicenseDocument"),
            "spdx:checksum": {
                "@type": "spdx:Checksum",
                "spdx:algorithm": _typed(
                    "http://spdx.org/rdf/terms#checksumAlgorithm_sha256", "spdx:ChecksumAlgorithm"
                ),
                "spdx:checksumValue": {"@type": "xsd:hexBinary", "@value": entry.formats[kind]},
            },
        }

    def _on_request(self, entry: Entry) -> dict[str, Any]:
        """The distribution of a restricted release: where it is asked for."""
        asking = f"{self.address}/requests?measure={entry.measure}"
        return {
            "@id": f"{self.address}/catalog/{entry.id}#on-request",
            "@type": "dcat:Distribution",
            "dct:title": _words(ACCESS["RESTRICTED"]),
            "dct:description": [{"@language": "fr", "@value": entry.exception["legal_text"]}],
            "dcat:accessURL": {"@id": asking},
        }

    def _agent(self, name: str, said: str) -> dict[str, Any]:
        return {
            "@id": f"{self.address}/catalog#publisher-{name}",
            "@type": "foaf:Agent",
            "foaf:name": said,
        }


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _words(words: Words) -> list[dict[str, str]]:
    return [{"@language": language, "@value": text} for language, text in words.items()]


def _typed(address: str, kind: str) -> dict[str, str]:
    return {"@id": address, "@type": kind}


def _time(at: datetime) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": at.isoformat()}

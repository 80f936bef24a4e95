"""Releases for the pages' tests, small and hostile: made up, but in the published columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from analytics.model import Column
from connectors.registry import DATASETS
from hub.catalog import Entry, Listing
from hub.errors import HubError, Unavailable
from hub.identity.people import MemoryPeople, People
from hub.records import Account, Release, Role
from hub.settings import Territory
from hub.web.desk import Desk
from hub.web.pages import (
    MemoryShelf,
    Reception,
    Shelf,
    Shown,
    Site,
    nowhere,
    site,
    wants_html,
)
from hub.web.pushdesk import MemoryPushDesk
from hub.web.security import SecurityHeaders

HOSTILE = '<script>alert("x")</script>&\'"<img src=//evil.example/x onerror=alert(1)>'
SECRET_CLASS = "51-100"
"""Put into the class of a suppressed row: no page may show it there."""


class MemoryCatalogue:
    """Two entries: a release of long words, and a hostile source."""

    def listing(self) -> Listing:
        """See `hub.catalog.Listed`."""
        said = {"fr": "dit", "en": "said"}
        release = Entry(
            id="modal-split-2025-2026-1",
            kind="release",
            title={"fr": "Titre", "en": "Title"},
            about={"fr": "annee_scolaire;uai;" * 9, "en": "school_year;uai;" * 9},
            keywords=("lycée",),
            themes=("TRAN",),
            access="PUBLIC",
            publisher="Région",
            columns=(Column("estimate", "double", "Part", HOSTILE, "%"),),
            terms=dict.fromkeys(("fr", "en"), "Licence Ouverte 2.0"),
            freshness=said,
            coverage=said,
            quality=said,
            formats={"csv": "00" * 32},
        )
        source = replace(
            release, id="orange-presence", kind="source", access="NON_PUBLIC", formats={},
            title={"fr": HOSTILE, "en": HOSTILE}, about={"fr": HOSTILE, "en": HOSTILE},
        )  # fmt: skip
        return Listing((release, source), "https://hub.example", "Région", None)


TERRITORY = Territory(
    id="centre-val-de-loire",
    name="Centre-Val de Loire",
    demo=True,
    departments={
        "18": "Cher",
        "28": "Eure-et-Loir",
        "36": "Indre",
        "37": "Indre-et-Loire",
        "41": "Loir-et-Cher",
        "45": "Loiret",
    },
    school_year="2025-2026",
)

LYCEES = [
    ("0180005H", "Lycée Alain-Fournier", "18033", 2.4219, 47.0703),
    ("0280021R", "Lycée Marceau", "28085", 1.4941, 48.4433),
    ("0360009B", "Lycée Jean-Giraudoux", "36044", 1.6929, 46.8035),
    ("0370035M", "Lycée Descartes", "37261", 0.6868, 47.3883),
    ("0370040T", "Lycée Jacques-de-Vaucanson", "37261", 0.6979, 47.4242),
    ("0410001D", "Lycée Ronsard", "41269", 1.0693, 47.7990),
    ("0410002E", "Lycée Augustin-Thierry", "41018", 1.3236, 47.5946),
    ("0450049A", "Lycée Pothier", "45234", 1.9056, 47.9033),
    ("0450040R", "Lycée Bernard-Palissy", "45155", 2.6420, 47.6960),
    ("0450042T", HOSTILE, "45208", 2.7350, 47.9960),
]
SPLITS = [(20, 55, 20, 5), (10, 50, 40, 0), (35, 35, 30, 0), (15, 60, 20, 5), (25, 30, 40, 5)]
MODES = ("active", "public_transport", "car", "other")


def _row(geography: str, area: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "school_year": "2025-2026",
        "population": "pupil",
        "geography": geography,
        "area": area,
        "area_name": name,
        "contributors": "21-50",
        "suppressed": False,
        "note": "",
    } | more


def _areas() -> list[tuple[str, str, str, str]]:
    return [
        ("region", "24", "Centre-Val de Loire", "101+"),
        *(("department", code, name, "51-100") for code, name in TERRITORY.departments.items()),
        *(("lycee", uai, name, "21-50") for uai, name, *_ in LYCEES[:-3]),
        ("lycee", LYCEES[-1][0], LYCEES[-1][1], "21-50"),
        ("lycees", "45", "Loiret : autres lycées", "11-20"),
    ]


def modal_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index, (geography, area, name, contributors) in enumerate(_areas()):
        spread = {"101+": 2, "51-100": 4, "21-50": 10, "11-20": 20}[contributors]
        for mode, share in zip(MODES, SPLITS[index % len(SPLITS)], strict=True):
            rows.append(
                _row(
                    geography,
                    area,
                    name,
                    contributors=contributors,
                    mode=mode,
                    estimate=float(share),
                    low=float(max(share - spread, 0)),
                    high=float(min(share + spread, 100)),
                )
            )
    # What a careless release would leave in a suppressed row must not be shown either.
    rows.append(
        _row(
            "lycee",
            "0450040R",
            "Lycée Bernard-Palissy",
            mode="all",
            estimate=77.0,
            low=76.0,
            high=78.0,
            contributors=SECRET_CLASS,
            suppressed=True,
            note="in-group",
        )
    )
    rows.append(
        _row("region", "24", "Centre-Val de Loire", population="staff", mode="car+other",
             estimate=83.0, low=82.0, high=84.0)
    )  # fmt: skip
    return rows


def carbon_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index, (geography, area, name, contributors) in enumerate(_areas()):
        base = 180.0 + 35 * (index % 5)
        for variant, scope in product(("dedicated", "detour"), ("use", "manufacture")):
            estimate = base * (1.0 if variant == "dedicated" else 0.65)
            estimate = round(estimate * (1.0 if scope == "use" else 0.14) / 5) * 5.0
            rows.append(
                _row(
                    geography,
                    area,
                    name,
                    contributors=contributors,
                    variant=variant,
                    scope=scope,
                    estimate=estimate,
                    low=estimate * 0.9,
                    high=estimate * 1.1,
                    factors="ademe-2025.1",
                )
            )
    return rows


def place_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"layer": "lycee", "id": uai, "name": name, "commune": commune, "lon": lon, "lat": lat,
         "kind": "general"}
        for uai, name, commune, lon, lat in LYCEES
    ]  # fmt: skip
    for index in range(600):
        lon, lat = 0.4 + (index * 0.618 % 1) * 2.4, 46.7 + (index * 0.414 % 1) * 1.7
        rows.append(
            {"layer": "stop", "id": f"S{index}", "name": f"Arrêt {index}", "commune": "",
             "lon": lon, "lat": lat, "kind": "bus"}
        )  # fmt: skip
    for index, (_, _, commune, lon, lat) in enumerate(LYCEES):
        rows.append(
            {"layer": "carpool", "id": f"C{index}", "name": f"Aire {index}",
             "commune": commune, "lon": lon + 0.09, "lat": lat - 0.06, "kind": "aire"}
        )  # fmt: skip
    return rows


def shown(measure: str, rows: list[dict[str, Any]]) -> Shown:
    digest = f"{len(rows):02x}" * 32
    return Shown(
        Release(
            id=f"{measure}.2025-2026.1",
            measure=measure,
            period="2025-2026",
            version=1,
            digest=digest[:64],
            manifest={},
            published_at=datetime(2026, 11, 3, 17, 30, tzinfo=UTC),
            log_index=41,
        ),
        rows,
    )


def full_shelf() -> MemoryShelf:
    return MemoryShelf(
        TERRITORY,
        {
            "modal-split": shown("modal-split", modal_rows()),
            "carbon-balance": shown("carbon-balance", carbon_rows()),
            "places": shown("places", place_rows()),
        },
    )


def some_people() -> MemoryPeople:
    account = Account("a1", "dpo", "region", Role.DPO, "")
    return MemoryPeople({"dpo": ("correct horse", account)})


class AwayShelf(MemoryShelf):
    """A shelf whose books do not answer."""

    def latest(self, measure: str) -> Shown | None:
        raise Unavailable(
            "books-away", fr="Les registres sont muets.", en="The books are silent.", who="operator"
        )


def application(
    shelf: Shelf | None = None,
    people: People | None = None,
    desk: Desk | None = None,
    pushes: MemoryPushDesk | None = None,
) -> FastAPI:
    """The pages in an application, with the edge the hub's own has."""
    reception = Reception(
        DATASETS, pushes or MemoryPushDesk(), "https://hub.example", lambda: "hub.example+key"
    )
    pages: Site = site(
        shelf or full_shelf(),
        people or some_people(),
        desk=desk,
        reception=reception,
        catalogue=MemoryCatalogue(),
    )
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(pages.router)
    app.add_middleware(SecurityHeaders)

    def fault(request: Request, error: Exception) -> Response:
        problem = error if isinstance(error, HubError) else nowhere()
        if wants_html(request):
            return pages.problem(request, problem)
        return JSONResponse(
            problem.problem("en", request.url.path),
            problem.status,
            media_type="application/problem+json",
        )

    app.add_exception_handler(HubError, fault)
    app.add_exception_handler(HTTPException, fault)
    return app

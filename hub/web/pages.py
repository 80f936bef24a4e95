"""The pages: what this is, the indicators, the map, the rules, the door for people with accounts.

Everything a page shows of data comes from published releases (`Shelf`). Pages work without
scripts; scripts are ours. The application adds `hub.web.security.SecurityHeaders` and hands errors
of requests that `wants_html` to `Site.problem`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from hub.catalog import Listed
from hub.errors import HubError, NotFound
from hub.identity.openid import Openid
from hub.identity.own import Own
from hub.identity.people import People
from hub.participation import Door
from hub.web import account as account_pages
from hub.web import catalogue as catalogue_pages
from hub.web import (
    clients,
    doors,
    dpo,
    figures,
    mine,
    partner,
    receipt,
    register,
    requests,
    usage,
)
from hub.web.assets import DIST, Assets
from hub.web.desk import Desk
from hub.web.forms import Forms
from hub.web.layers import LAYERS, Layers
from hub.web.partner import Reception
from hub.web.render import Renderer
from hub.web.shelf import MemoryShelf, Shelf, Shown

__all__ = [
    "MemoryShelf",
    "Reception",
    "Shelf",
    "Shown",
    "Site",
    "router",
    "site",
]

FOUND: Final = 60
"""Places a search of the map's list shows at most."""
NOT_PAGES: Final = ("/v1/", "/oauth/", "/audit/", "/static/", "/map/layers/")


@dataclass(frozen=True, slots=True)
class Site:
    """The routes, and the page of an error."""

    router: APIRouter
    problem: Callable[[Request, HubError], Response]
    session_cookie: str


def wants_html(request: Request) -> bool:
    """Whether an error is to be said as a page: a browser asks, and not for a machine's address."""
    accept = request.headers.get("accept", "")
    return "text/html" in accept and not request.url.path.startswith(NOT_PAGES)


def nowhere() -> NotFound:
    """What is said of an address that is not there."""
    return NotFound(
        "no-such-page",
        fr="Il n’y a rien à cette adresse.",
        en="There is nothing at this address.",
        who="person",
    )


def router(
    shelf: Shelf,
    people: People,
    *,
    dist: Path = DIST,
    secure: bool = False,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> APIRouter:
    """The routes of `site`."""
    return site(shelf, people, dist=dist, secure=secure, entropy=entropy).router


def site(
    shelf: Shelf,
    people: People,
    *,
    dist: Path = DIST,
    secure: bool = False,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    desk: Desk | None = None,
    reception: Reception | None = None,
    catalogue: Listed | None = None,
    door: Door | None = None,
    own: Own | None = None,
    openid: Openid | None = None,
    passwords: bool = True,
) -> Site:
    """Everything under `/` for people. `secure`: the public address is https (cookies).

    Without a `desk` there is no page for the data-protection officer, without a `reception` there
    are none for partners, without a `catalogue` none of it, without `own` none for one's account.
    `openid` is the way in through a provider, `passwords` says whether there is one with a
    password of the hub.
    """
    assets = Assets(dist=dist)
    forms = Forms(secure, entropy)
    renderer = Renderer(shelf, people, assets, forms)
    routes = APIRouter(include_in_schema=False)
    _pages(routes, shelf, renderer, Layers(shelf))
    doors.add(routes, people, renderer, forms, openid, passwords=passwords)
    if own is not None:
        provider = openid.name if openid else ""
        account_pages.add(routes, people, own, renderer, forms, provider)
    if desk is not None:
        dpo.add(routes, desk, renderer)
    if reception is not None:
        partner.add(routes, reception, renderer)
    if catalogue is not None:
        catalogue_pages.add(routes, catalogue, renderer)
    if door is not None:
        mine.add(routes, door, renderer, forms)
        receipt.add(routes, door.parts, renderer, forms)
        register.add(routes, door.parts, renderer, forms)
        requests.add(routes, door.parts, renderer, forms)
        clients.add(routes, door.parts, renderer, forms)
        usage.add(routes, door.parts, renderer)

    @routes.api_route("/static/{name:path}", methods=["GET", "HEAD"])
    async def static(request: Request, name: str) -> Response:
        return assets.answer(request, name)

    return Site(routes, renderer.problem, forms.session_cookie)


def _pages(routes: APIRouter, shelf: Shelf, renderer: Renderer, layers: Layers) -> None:
    page = partial(routes.api_route, methods=["GET", "HEAD"])

    @page("/")
    def home(request: Request) -> Response:
        split, carbon = _measure(shelf, "modal-split"), _measure(shelf, "carbon-balance")
        return renderer.page(
            request, "home.html", account=renderer.account(request), split=split, carbon=carbon
        )

    @page("/indicators")
    def indicators(
        request: Request, department: str = "", q: str = "", population: str = ""
    ) -> Response:
        asked = department if department in shelf.territory.departments else ""
        fits = partial(figures.fits, department=asked, search=q[:100])
        names = ("modal-split", "carbon-balance")
        released = [found for name in names if (found := shelf.latest(name))]
        present = figures.populations(row for found in released for row in found.rows)
        chosen = population if population in present else next(iter(present), "")
        return renderer.page(
            request,
            "indicators.html",
            account=renderer.account(request),
            measures=[_measure(shelf, name, chosen) for name in names],
            populations=present,
            population=chosen,
            department=asked,
            q=q[:100],
            fits=fits,
            kept=lambda areas: list(filter(fits, areas)),
        )

    @page("/map")
    def map_page(request: Request, q: str = "") -> Response:
        places, found = layers.search(q[:100], FOUND) if q.strip() else ([], 0)
        basemap = f"basemap/{shelf.territory.id}.geojson"
        return renderer.page(
            request,
            "map.html",
            account=renderer.account(request),
            layers=layers.all(),
            bounds=layers.bounds(),
            basemap=basemap if basemap in renderer.assets else "basemap/empty.geojson",
            shown=shelf.latest("places"),
            q=q[:100],
            places=places,
            found=found,
        )

    @page("/map/layers/{name}.geojson")
    def layer(request: Request, name: str) -> Response:
        if name not in LAYERS:
            raise nowhere()
        ready = layers.all()[name]
        headers = {"etag": ready.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == ready.etag:
            return Response(status_code=304, headers=headers)
        return Response(ready.body, headers=headers, media_type="application/geo+json")

    @page("/methodology")
    def methodology(request: Request) -> Response:
        return renderer.page(request, "methodology.html", account=renderer.account(request))

    @page("/trust")
    def trust(request: Request) -> Response:
        return renderer.page(request, "trust.html", account=renderer.account(request))


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure as a page shows it; `shown` is None before its first release."""

    name: str
    shown: Shown | None
    population: str
    areas: list[figures.Area]
    factors: list[str]
    scale: float

    def at(self, *geographies: str) -> list[figures.Area]:
        """Areas of some geographies."""
        return [area for area in self.areas if area.geography in geographies]

    @property
    def region(self) -> figures.Area | None:
        """The region's own area, if released."""
        return next(iter(self.at("region")), None)


def _measure(shelf: Shelf, name: str, population: str = "") -> Measured:
    """A measure for one population; without one, for the first it has (pupils)."""
    shown = shelf.latest(name)
    rows: list[dict[str, Any]] = shown.rows if shown else []
    chosen = population or next(iter(figures.populations(rows)), "")
    draw = figures.modal_split if name == "modal-split" else figures.carbon_balance
    return Measured(
        name=name,
        shown=shown,
        population=chosen,
        areas=draw(rows, chosen, shelf.territory.departments),
        factors=sorted({str(row["factors"]) for row in rows if row.get("factors")}),
        scale=figures.carbon_scale(rows) if name == "carbon-balance" else 100.0,
    )

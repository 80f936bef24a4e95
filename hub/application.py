"""The HTTP interface and the pages over a hub's parts."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.responses import JSONResponse

from hub.api import (
    agreements,
    catalog,
    collectivities,
    contributions,
    decisions,
    dpo,
    evidence,
    partners,
    problems,
    requests,
    rights,
    sharing,
    subjects,
    tus,
    usage,
)
from hub.catalog import Catalogue
from hub.delivery import Delivery
from hub.desk import PartsDesk
from hub.identity.oauth import TokenServer
from hub.identity.openid import Openid
from hub.identity.own import Own
from hub.identity.sessions import Sessions
from hub.main import VERSION, provider_of
from hub.participation import Door
from hub.parts import Parts
from hub.pushdesk import PartsPushDesk
from hub.settings import Territory
from hub.shelf import Shelf
from hub.web import pages
from hub.web.security import SecurityHeaders


def openid_of(parts: Parts) -> Openid | None:
    """The way in through the provider the settings name, if they name one."""
    provider = provider_of(parts.settings, parts.territory)
    if provider is None:
        return None
    terms, key = parts.territory.openid, parts.keyring.session_key
    return Openid(parts.books, provider, terms, parts.clock, key=key)


def application(parts: Parts) -> FastAPI:
    """The HTTP interface and the pages over given parts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        parts.books.close()

    app = FastAPI(
        title="Mobile CVL hub",
        version=VERSION,
        description="A trusted third party for mobility data around lycées.",
        license_info={"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    shelf = Shelf(parts)
    secure = parts.settings.public_url.startswith("https:")
    local = parts.settings.local_login
    people = Sessions(parts.books, parts.clock, key=parts.keyring.session_key, open_=local)
    catalogue = Catalogue(parts)
    reception = pages.Reception(
        parts.datasets,
        PartsPushDesk(parts),
        parts.settings.public_url,
        lambda: str(parts.log.signer.verifier),
        parts.settings.push_bytes,
        parts.settings.push_bytes_a_day,
    )
    door = Door(parts)
    site = pages.site(
        _PagesShelf(shelf, parts.territory),
        people,
        secure=secure,
        desk=PartsDesk(parts),
        reception=reception,
        catalogue=catalogue,
        door=door,
        own=Own(
            parts.books,
            parts.clock,
            issuer=parts.territory.name,
            key=parts.keyring.session_key,
        ),
        openid=openid_of(parts),
        passwords=local,
    )
    app.state.parts = parts
    app.state.door = door
    app.state.catalogue = catalogue
    app.state.shelf = shelf
    app.state.described = {}
    app.state.stopping = threading.Event()
    app.state.delivery = Delivery(parts, shelf)
    app.state.session_cookie = site.session_cookie
    app.state.token_server = TokenServer(parts.books, f"{parts.settings.public_url}/oauth/token")
    app.add_middleware(SecurityHeaders, https=secure)
    problems.install(app, site.problem, pages.wants_html)
    for router in (
        collectivities.router,  # first: routes are tried in this order, and it is the hot one
        partners.router,
        tus.router,
        agreements.router,
        requests.router,
        usage.router,
        catalog.router,
        subjects.router,
        rights.router,
        contributions.router,
        sharing.router,
        decisions.router,
        dpo.router,
        evidence.router,
    ):
        app.include_router(router)

    @app.get("/healthz", tags=["operation"], summary="The process answers")
    def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], summary="Every part answers")
    def readyz() -> JSONResponse:
        """Ready, or which part is not."""
        return JSONResponse(partners.ready(parts))

    app.include_router(site.router)
    problems.describe(app)
    return app


@dataclass(frozen=True, slots=True)
class _PagesShelf:
    """The shelf as the pages ask for it."""

    shelf: Shelf
    territory: Territory

    def latest(self, measure: str) -> pages.Shown | None:
        release = self.shelf.latest(measure)
        return None if release is None else pages.Shown(release, self.shelf.rows(release))

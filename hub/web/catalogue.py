"""Pages of the catalogue: what there is, and each dataset with what its reader needs to know."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hub.catalog import ACCESS, FILE_TYPES, Listed
from hub.web.render import Renderer


def add(routes: APIRouter, catalogue: Listed, renderer: Renderer) -> None:
    """Add `/catalog` and what is below it."""

    @routes.api_route("/catalog", methods=["GET", "HEAD"])
    def index(request: Request, q: str = "") -> Response:
        listing = catalogue.listing()
        found = listing.search(q[:100])
        return renderer.page(
            request,
            "catalog.html",
            account=renderer.account(request),
            releases=[one for one in found if one.kind == "release"],
            sources=[one for one in found if one.kind == "source"],
            known=len(listing.entries),
            access=ACCESS,
            q=q[:100],
        )

    @routes.api_route("/catalog/{name}", methods=["GET", "HEAD"])
    def entry(request: Request, name: str) -> Response:
        listing = catalogue.listing()
        return renderer.page(
            request,
            "catalog-entry.html",
            account=renderer.account(request),
            entry=listing.entry(name),
            access=ACCESS,
            media={kind: media for kind, (_, media) in FILE_TYPES.items()},
        )

"""For everyone and their tools: the catalogue, in DCAT-AP 3."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hub.catalog import CONTEXT, Catalogue

router = APIRouter(tags=["catalogue"], prefix="/v1/catalog")
JSONLD = "application/ld+json"
TURTLE = "text/turtle; charset=utf-8"


def catalogue_of(request: Request) -> Catalogue:
    """The catalogue of this application."""
    catalogue: Catalogue = request.app.state.catalogue
    return catalogue


Listed = Annotated[Catalogue, Depends(catalogue_of)]


@router.get("", summary="The catalogue", response_class=Response)
def catalog(
    request: Request,
    catalogue: Listed,
    format: Annotated[  # noqa: A002 - its name in the interface
        Literal["jsonld", "turtle"] | None, Query(description="Or by the header Accept.")
    ] = None,
) -> Response:
    """Every dataset the public may know of: DCAT-AP 3 as JSON-LD, or as Turtle."""
    listing = catalogue.listing()
    wants = format or ("turtle" if "text/turtle" in request.headers.get("accept", "") else "jsonld")
    if wants == "turtle":
        return Response(listing.turtle, media_type=TURTLE, headers={"vary": "accept"})
    return Response(listing.jsonld, media_type=JSONLD, headers={"vary": "accept"})


@router.get("/{dataset}", summary="One dataset of the catalogue", response_class=Response)
def dataset(dataset: str, catalogue: Listed) -> Response:
    """A `dcat:Dataset` in JSON-LD."""
    listing = catalogue.listing()
    made = {"@context": dict(CONTEXT), **listing.dataset(listing.entry(dataset))}
    return Response(msgspec.json.encode(made), media_type=JSONLD)

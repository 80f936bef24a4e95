"""For partners and the hub's stewards: agreements, proposed, signed and ended by each side."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Path
from starlette.responses import Response

from hub import agreements
from hub.api.access import identified, parts_of
from hub.parts import Actor, Parts

router = APIRouter(tags=["agreements"], prefix="/v1/agreements")
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("", summary="Versions of agreements")
def versions(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """Oldest first: a partner reads its own, those who watch over the hub all of them."""
    return [agreements.shown(one) for one in agreements.versions(parts, actor)]


@router.post("", status_code=201, summary="Propose a version")
def propose(asked: Annotated[dict[str, Any], Body()], actor: Who, parts: Hub) -> dict[str, Any]:
    """The terms of `[[agreements]]` in a territory file, as JSON. In force once both signed."""
    return agreements.shown(agreements.propose(parts, actor, asked))


@router.get("/{number}", summary="One version")
def version(number: Number, actor: Who, parts: Hub) -> dict[str, Any]:
    """With the digest of its terms and who signed when."""
    return agreements.shown(agreements.version(parts, actor, number))


@router.get("/{number}/odrl", summary="As linked data", response_class=Response)
def odrl(number: Number, actor: Who, parts: Hub) -> Response:
    """The W3C's Open Digital Rights Language, in JSON-LD."""
    made = agreements.odrl(parts, agreements.version(parts, actor, number))
    return Response(msgspec.json.encode(made), media_type="application/ld+json")


@router.post("/{number}/signature", summary="Sign for one's own side")
def sign(number: Number, actor: Who, parts: Hub) -> dict[str, Any]:
    """The version both sides have signed takes the place of the one before."""
    return agreements.shown(agreements.sign(parts, actor, number))


@router.post("/{number}/end", summary="End for one's own side")
def end(number: Number, actor: Who, parts: Hub) -> dict[str, Any]:
    """It is over at once: the next push is refused."""
    return agreements.shown(agreements.end(parts, actor, number))

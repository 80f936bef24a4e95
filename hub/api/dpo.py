"""For the DPO: the bodies of events and their proofs."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hub import lookup
from hub.api.access import identified, parts_of
from hub.audit import proofs
from hub.errors import NotFound
from hub.lookup import Question
from hub.parts import Actor, Parts

router = APIRouter(tags=["audit"], prefix="/v1/audit/events")
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]
Index = Annotated[int, "Place in the log, from 0."]
Sequence = Annotated[int, Query(ge=0, lt=lookup.LARGEST, description="Sequence to go on from.")]


class Typed(BaseModel):
    """A participation code, in a body: an address would stay in somebody's log."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: str = Field(max_length=60)


@router.post("/code", summary="What events call a participation code")
def code(typed: Typed, actor: Who, parts: Hub) -> dict[str, str]:
    """The `about` to search with for everything that ever happened to it."""
    parts.require("audit_read", actor, {})
    return {"about": lookup.code_id(parts, typed.code)}


@router.get("", summary="Search events", response_model=None)
def events(
    request: Request,
    actor: Who,
    parts: Hub,
    kind: str | None = None,
    outcome: str | None = None,
    organisation: str | None = None,
    dataset: str | None = None,
    purpose: str | None = None,
    about: str | None = None,
    since: str | None = None,
    until: str | None = None,
    after: Sequence = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - its name in the interface
) -> Response:
    """Events in order, a page at a time; the look itself is logged, once.

    `about` finds everything that ever happened to a push, a grant, a withdrawal, a release, an
    account. `since` and `until` are instants or days. The next page is in the header `Link`.
    `format=csv` gives everything that fits, with proofs.
    """
    asked = Question(kind, outcome, organisation, dataset, purpose, about, since, until)
    if format == "csv":
        headers = {"content-disposition": 'attachment; filename="events.csv"'}
        return StreamingResponse(
            lookup.table(parts, actor, asked), media_type="text/csv", headers=headers
        )
    found = lookup.look(parts, actor, asked, after, limit)
    headers = {}
    if found.after is not None:
        query = urlencode({**asked.facts(), "after": found.after, "limit": limit})
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return JSONResponse([lookup.shown(event) for event in found.events], headers=headers)


@router.get("/{index}", summary="One event")
def event(index: Index, actor: Who, parts: Hub) -> dict[str, Any]:
    """An event's body by its index in the log."""
    return lookup.shown(lookup.one(parts, actor, index))


@router.get("/{index}/proof", summary="Inclusion proof of an event", response_model=None)
def proof(
    request: Request,
    index: Index,
    actor: Who,
    parts: Hub,
    format: Literal["", "json", "tlog-proof"] = "",  # noqa: A002 - its name in the interface
) -> Response:
    """The hashes that lead from the entry to the checkpoint's root (RFC 6962).

    As JSON, or as a `.tlog-proof` file where that or plain text is asked for.
    """
    lookup.one(parts, actor, index)
    if index >= parts.log.size:
        raise NotFound(
            "no-such-event",
            fr="Le journal n’a pas d’événement à cet indice.",
            en="The log has no event at this index.",
            who="person",
        )
    if format == "tlog-proof" or (not format and "text/plain" in request.headers.get("accept", "")):
        return Response(
            proofs.make(parts.log, index),
            media_type="text/plain; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="event-{index}.tlog-proof"'},
        )
    return JSONResponse(
        {
            "index": index,
            "size": parts.log.size,
            "hashes": [node.hex() for node in parts.log.inclusion(index)],
            "checkpoint": parts.log.checkpoint().decode(),
        }
    )

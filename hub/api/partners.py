"""For partners: a token, a push, its state, its receipt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Depends, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from connectors.contract import REASONS
from hub import progress, push, uploads
from hub.api import intake, tus
from hub.api.access import identified, parts_of
from hub.errors import Unavailable
from hub.identity.oauth import TokenServer
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Push

router = APIRouter(tags=["partners"])
LOOK: Final = 0.5
"""Seconds between two looks at a push somebody listens to."""
SILENCE: Final = 15.0
LISTENING: Final = 7200
"""Looks after which a listener is let go; it may come back."""
NOTE = "text/plain; charset=utf-8"
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


@router.post("/oauth/token", summary="OAuth 2 client credentials")
async def token(request: Request) -> Response:
    """RFC 6749 §4.4 with `client_secret_basic` or `private_key_jwt` (RFC 7523)."""
    sent = (await request.form()).multi_items()
    form = {key: str(value) for key, value in sent}
    if len(form) != len(sent):  # RFC 6749 §3.2: a parameter comes once
        return JSONResponse({"error": "invalid_request"}, 400, {"cache-control": "no-store"})
    server: TokenServer = request.app.state.token_server
    parts = parts_of(request)
    answer = await run_in_threadpool(
        server.issue, form, request.headers.get("authorization"), parts.clock()
    )
    return JSONResponse(answer.body, answer.status, dict(answer.headers))


@router.post(
    "/v1/partners/{partner}/datasets/{dataset}/pushes",
    status_code=202,
    summary="Push a file",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def push_file(
    request: Request,
    partner: str,
    dataset: str,
    actor: Who,
    parts: Hub,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """The body is the file, in the dataset's published layout. Acknowledged once it is sealed.

    With `Tus-Resumable` this is the creation of an upload (see `hub.api.tus`).
    """
    if tus.speaks(request):
        return await tus.create(request, actor, parts, partner, dataset, idempotency_key)
    headers = request.headers
    intake.check_length(headers.get("content-length"), parts.settings.push_bytes)
    body = intake.checked(
        tus.body_of(request), headers.get("content-type", ""), headers.get("content-encoding", "")
    )
    made, new = await run_in_threadpool(
        push.accept, parts, actor, partner, dataset, body, idempotency_key
    )
    location = f"/v1/pushes/{made.id}"
    return JSONResponse(push.shown(made), 202 if new else 200, {"location": location})


@router.get("/v1/pushes", summary="A partner's latest pushes")
def pushes(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """The pushes of the caller's own organisation, newest first."""
    parts.require("push_read", actor, {"push": {"partner": actor.organisation}})
    return [push.shown(made) for made in parts.books.pushes(partner=actor.organisation)]


@router.get("/v1/pushes/{push_id}", summary="State, progress and counts of a push")
def push_state(push_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """What a partner may know: how far it is; received, valid, rejected with reasons."""
    return _state(parts, actor, push_id)


@router.get(
    "/v1/pushes/{push_id}/events",
    summary="Progress as it goes, as server-sent events",
    response_class=StreamingResponse,
)
async def push_events(push_id: str, actor: Who, parts: Hub) -> Response:
    """Events named `progress` with the same JSON as the push's own address; ends when it does."""
    first = await run_in_threadpool(_state, parts, actor, push_id)

    async def stream() -> AsyncIterator[str]:
        said, state, silent = None, first, 0.0
        for _ in range(LISTENING):
            if state != said:
                yield f"event: progress\ndata: {json.dumps(state, ensure_ascii=False)}\n\n"
                said, silent = state, 0.0
            if state["stage"] == "done":
                return
            await anyio.sleep(LOOK)
            silent += LOOK
            if silent >= SILENCE:  # so that nothing in between takes the line for dead
                yield ": still here\n\n"
                silent = 0.0
            state = await run_in_threadpool(_state, parts, actor, push_id)

    return StreamingResponse(
        stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


@router.get("/v1/pushes/{push_id}/rejected", summary="Rows refused, by position and reason")
def push_rejected(push_id: str, actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """Where and why, never content; the same whatever has become of the rows since."""
    made = _own(parts, actor, push_id)
    return [
        {"position": position, "code": code, "column": column, **REASONS[code].words}
        for position, code, column in parts.books.rejections(made.id)
    ]


@router.get("/v1/pushes/{push_id}/receipt", summary="Signed receipt", response_class=Response)
def push_receipt(push_id: str, actor: Who, parts: Hub) -> Response:
    """A signed note, verifiable offline with `hub receipt verify`."""
    return Response(push.receipt(parts, _own(parts, actor, push_id)), media_type=NOTE)


def _state(parts: Parts, actor: Actor, push_id: str) -> dict[str, Any]:
    upload = parts.books.upload(push_id)
    if upload is not None and upload.push is None and _may_read(parts, actor, upload.partner):
        return uploads.shown(parts, upload)
    made = _own(parts, actor, push_id if upload is None else upload.push or push_id)
    return push.shown(made, operator=actor.role == "operator") | progress.told(parts, made)


def _own(parts: Parts, actor: Actor, push_id: str) -> Push:
    made = parts.books.push(push_id)
    # The same answer for a push that is not there and one of another partner.
    if made is None or not _may_read(parts, actor, made.partner):
        raise push.unknown_push()
    return made


def _may_read(parts: Parts, actor: Actor, partner: str) -> bool:
    question = {"actor": actor.facts(), "push": {"partner": partner}}
    return parts.policy.decide("push_read", question).allow


def ready(parts: Parts) -> dict[str, str]:
    """What `/readyz` says: each part by name. Raises `Unavailable`."""
    parts.books.check()
    # A question every working policy allows: an engine that refuses even this is not there.
    asked = {"actor": OPERATOR.facts(), "action": "hub_check"}
    if not parts.policy.decide("admin", asked).allow:
        raise Unavailable(
            "policy-unavailable",
            fr="Le moteur de politiques ne répond pas : tout est refusé.",
            en="The policy engine does not answer: everything is refused.",
            who="operator",
        )
    return {"books": "ok", "policy": "ok"}

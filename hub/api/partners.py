"""For partners: a token, a push, its state, its receipt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import anyio.from_thread
from fastapi import APIRouter, Depends, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from hub import push
from hub.api.access import identified, parts_of
from hub.errors import Unavailable
from hub.identity.oauth import TokenServer
from hub.parts import OPERATOR, Actor, Parts
from hub.records import Push

router = APIRouter(tags=["partners"])
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
    """The body is the file, in the dataset's published layout. Acknowledged once it is sealed."""
    stream = request.stream()

    async def next_chunk() -> bytes | None:
        return await anext(stream, None)

    def body() -> Iterator[bytes]:
        while (chunk := anyio.from_thread.run(next_chunk)) is not None:
            yield chunk

    made, new = await run_in_threadpool(
        push.accept, parts, actor, partner, dataset, body(), idempotency_key
    )
    location = f"/v1/pushes/{made.id}"
    return JSONResponse(push.shown(made), 202 if new else 200, {"location": location})


@router.get("/v1/pushes", summary="A partner's latest pushes")
def pushes(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """The pushes of the caller's own organisation, newest first."""
    parts.require("push_read", actor, {"push": {"partner": actor.organisation}})
    return [push.shown(made) for made in parts.books.pushes(partner=actor.organisation)]


@router.get("/v1/pushes/{push_id}", summary="State and counts of a push")
def push_state(push_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """What a partner may know: received, valid, rejected with reasons."""
    return push.shown(_own(parts, actor, push_id), operator=actor.role == "operator")


@router.get("/v1/pushes/{push_id}/receipt", summary="Signed receipt", response_class=Response)
def push_receipt(push_id: str, actor: Who, parts: Hub) -> Response:
    """A signed note, verifiable offline with `hub receipt verify`."""
    return Response(push.receipt(parts, _own(parts, actor, push_id)), media_type=NOTE)


def _own(parts: Parts, actor: Actor, push_id: str) -> Push:
    made = parts.books.push(push_id)
    # The same answer for a push that is not there and one of another partner.
    if (
        made is None
        or not parts.policy.decide(
            "push_read", {"actor": actor.facts(), "push": {"partner": made.partner}}
        ).allow
    ):
        raise push.unknown_push()
    return made


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

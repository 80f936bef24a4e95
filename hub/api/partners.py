"""For partners: a token, a push, its state, its receipt."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

import anyio
from fastapi import APIRouter, Depends, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from hub import push, pushdesk, sniffing
from hub.api import intake, tus
from hub.api.access import identified, parts_of
from hub.errors import HubError, Unavailable
from hub.identity.oauth import TokenServer
from hub.parts import OPERATOR, Actor, Parts

router = APIRouter(tags=["partners"])
LOOK: Final = 0.5
"""Seconds between two looks at a push somebody listens to."""
SILENCE: Final = 15.0
LISTENING: Final = 7200
"""Looks after which a listener is let go; it may come back."""
RETRY: Final = 2000
"""Milliseconds a listener waits before it comes back."""
OAUTH_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": "An error of RFC 6749 §5.2.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string"},
                        "error_description": {"type": "string"},
                    },
                }
            }
        },
    }
    for status in (400, 401)
}
NOTE = "text/plain; charset=utf-8"
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


@router.post("/oauth/token", responses=OAUTH_ERRORS, summary="OAuth 2 client credentials")
async def token(request: Request) -> Response:
    """RFC 6749 §4.4 with `client_secret_basic` or `private_key_jwt` (RFC 7523)."""
    return await _oauth(request, "issue")


@router.post("/oauth/revoke", responses=OAUTH_ERRORS, summary="Give a token back")
async def revoke(request: Request) -> Response:
    """RFC 7009: ends a token of the client's own at once. 200 where there was none, too."""
    return await _oauth(request, "revoke")


async def _oauth(request: Request, act: Literal["issue", "revoke"]) -> Response:
    sent = (await request.form()).multi_items()
    form = {key: str(value) for key, value in sent}
    if len(form) != len(sent):  # RFC 6749 §3.2: a parameter comes once
        return JSONResponse({"error": "invalid_request"}, 400, {"cache-control": "no-store"})
    server: TokenServer = request.app.state.token_server
    done = server.issue if act == "issue" else server.revoke
    answer = await run_in_threadpool(
        done, form, request.headers.get("authorization"), parts_of(request).clock()
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
    hub_reference: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """The body is the file, in the dataset's published layout. Acknowledged once it is sealed.

    `Hub-Reference` (UTF-8, percent-encoded) names the one person a file is about where it names
    nobody itself, as the app's trip export; a header, since addresses end up in logs.
    With `Tus-Resumable` this is the creation of an upload (see `hub.api.tus`).
    """
    if tus.speaks(request):
        return await tus.create(
            request, actor, parts, partner, dataset, idempotency_key, intake.decoded(hub_reference)
        )
    headers = request.headers
    intake.check_length(headers.get("content-length"), parts.settings.push_bytes)
    body = sniffing.checked(
        tus.body_of(request), headers.get("content-type", ""), headers.get("content-encoding", "")
    )
    reference = intake.decoded(hub_reference)
    made, new = await run_in_threadpool(
        push.accept, parts, actor, partner, dataset, body, idempotency_key, reference
    )
    location = f"/v1/pushes/{made.id}"
    return JSONResponse(push.shown(made), 202 if new else 200, {"location": location})


@router.get("/v1/pushes", summary="A partner's latest pushes")
def pushes(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """The pushes of the caller's own organisation, newest first."""
    return pushdesk.latest(parts, actor)


@router.get("/v1/pushes/{push_id}", summary="State, progress and counts of a push")
def push_state(push_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """What a partner may know: how far it is; received, valid, rejected with reasons."""
    return pushdesk.state(parts, actor, push_id)


@router.get(
    "/v1/pushes/{push_id}/events",
    summary="Progress as it goes, as server-sent events",
    response_class=StreamingResponse,
)
async def push_events(
    request: Request,
    push_id: str,
    actor: Who,
    parts: Hub,
    last_event_id: Annotated[str, Header(max_length=64)] = "",
) -> Response:
    """Events named `progress` with the same JSON as the push's own address; ends when it does.

    An event's id is the digest of its data, so that a listener who comes back, to whichever
    process, hears only what it has not heard. One who has heard the end gets 204: stop asking.
    """
    first = await run_in_threadpool(pushdesk.state, parts, actor, push_id)
    if _event(first)[0] == last_event_id and first["stage"] == "done":
        return Response(status_code=204)

    stopping: threading.Event = request.app.state.stopping

    async def stream() -> AsyncIterator[str]:
        heard, state, silent = last_event_id, first, 0.0
        yield f"retry: {RETRY}\n\n"
        for _ in range(LISTENING):
            name, event = _event(state)
            if name != heard:
                yield event
                heard, silent = name, 0.0
            if state["stage"] == "done" or stopping.is_set():
                return  # from a process that stops to another: the listener comes back
            await anyio.sleep(LOOK)
            silent += LOOK
            if silent >= SILENCE:  # so that nothing in between takes the line for dead
                yield ": still here\n\n"
                silent = 0.0
            try:
                state = await run_in_threadpool(pushdesk.state, parts, actor, push_id)
            except HubError:
                return  # the headers are gone: whoever comes back is told why

    return StreamingResponse(
        stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


@router.get("/v1/pushes/{push_id}/rejected", summary="Rows refused, by reason and by position")
def push_rejected(push_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """Where and why, never content; the same whatever has become of the rows since.

    `findings` sum up, with what to do in both languages; `rows` are every row refused.
    """
    made = pushdesk.own(parts, actor, push_id)
    return {
        "findings": [found for found in pushdesk.findings(parts, made) if not found["kept"]],
        "rows": [
            {"position": position, "code": code, "column": column}
            for position, code, column in parts.books.rejections(made.id)
        ],
    }


@router.get("/v1/pushes/{push_id}/receipt", summary="Signed receipt", response_class=Response)
def push_receipt(push_id: str, actor: Who, parts: Hub) -> Response:
    """A signed note, verifiable offline with `hub receipt verify`."""
    return Response(push.receipt(parts, pushdesk.own(parts, actor, push_id)), media_type=NOTE)


def _event(state: dict[str, Any]) -> tuple[str, str]:
    """A state as an event, and the event's id."""
    data = json.dumps(state, ensure_ascii=False)
    name = hashlib.sha256(data.encode()).hexdigest()[:32]
    return name, f"id: {name}\nevent: progress\ndata: {data}\n\n"


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

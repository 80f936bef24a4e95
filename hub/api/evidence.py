"""For anyone: the log as C2SP tlog-tiles. Entries are salted hashes; bodies are not here.

What is served is the public copy, which moves at fixed moments only (`hub.audit.publish`).
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hub.api.access import parts_of
from hub.audit.tiles import KEYS, WITNESSED
from hub.errors import NotFound, TooLarge
from hub.parts import Parts

router = APIRouter(tags=["log"], prefix="/audit")
Hub = Annotated[Parts, Depends(parts_of)]
TEXT: Final = "text/plain; charset=utf-8"
MAX_NOTE: Final = 64 * 1024


@router.get("/checkpoint", summary="Signed checkpoint", response_class=Response)
def checkpoint(parts: Hub) -> Response:
    """The public checkpoint, a C2SP signed note, with the cosignatures it has."""
    return Response(
        parts.publisher.checkpoint(), media_type=TEXT, headers={"cache-control": "no-cache"}
    )


@router.post("/cosignatures", summary="A witness cosigns a checkpoint", response_class=Response)
async def cosignatures(request: Request, parts: Hub) -> Response:
    """A checkpoint of this log with the line of a witness the hub knows; the signature is the key.

    As in C2SP's tlog-witness, a checkpoint older than the one cosigned last is a conflict.
    """
    note = b""
    async for chunk in request.stream():
        note += chunk
        if len(note) > MAX_NOTE:
            raise TooLarge(
                "note-too-large",
                fr="Une note contresignée tient en 64 Kio.",
                en="A cosigned note fits in 64 KiB.",
                who="person",
            )
    await run_in_threadpool(parts.cosigned, note)
    return Response(status_code=204)


@router.get("/{path:path}", summary="A tile or an entry bundle", response_class=Response)
def tile(path: str, parts: Hub) -> Response:
    """A tile of hashes (`tile/<L>/<N>`), a bundle of entries (`tile/entries/<N>`), or `keys`."""
    data = parts.publisher.public.read(path)
    if data is None:
        raise NotFound(
            "no-such-tile",
            fr="Le journal n’a pas ce fichier.",
            en="The log has no such file.",
            who="person",
        )
    if path in {KEYS, WITNESSED}:
        return Response(data, media_type=TEXT, headers={"cache-control": "no-cache"})
    return Response(
        data,
        media_type="application/octet-stream",
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )

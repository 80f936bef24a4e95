"""For anyone: the log as C2SP tlog-tiles. Entries are salted hashes; bodies are not here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.api.access import parts_of
from hub.errors import NotFound
from hub.parts import Parts

router = APIRouter(tags=["log"], prefix="/audit")
Hub = Annotated[Parts, Depends(parts_of)]


@router.get("/checkpoint", summary="Signed checkpoint", response_class=Response)
def checkpoint(parts: Hub) -> Response:
    """The latest checkpoint, a C2SP signed note."""
    return Response(_read(parts, "checkpoint"), media_type="text/plain; charset=utf-8")


@router.get("/{path:path}", summary="A tile or an entry bundle", response_class=Response)
def tile(path: str, parts: Hub) -> Response:
    """A tile of hashes (`tile/<L>/<N>`) or a bundle of entries (`tile/entries/<N>`)."""
    return Response(
        _read(parts, path),
        media_type="application/octet-stream",
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )


def _read(parts: Parts, name: str) -> bytes:
    data = parts.log.store.read(name)
    if data is None:
        raise NotFound(
            "no-such-tile",
            fr="Le journal n’a pas ce fichier.",
            en="The log has no such file.",
            who="person",
        )
    return data

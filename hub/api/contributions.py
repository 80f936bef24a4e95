"""For the holder of a consent's receipt: which releases used its data. The receipt is the key.

No account and no policy question: a position is a random number to whoever has no secret, and
nobody can guess one that is in a tree. Nothing of the asking is kept.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hub import usage
from hub.api.access import parts_of
from hub.errors import TooLarge
from hub.parts import Parts

router = APIRouter(tags=["consents"], prefix="/v1")
Hub = Annotated[Parts, Depends(parts_of)]
NOTE: Final = "text/plain; charset=utf-8"
MAX_RECEIPT: Final = 64 * 1024
POSITION: Final = r"^[0-9a-f]{64}$"


@router.get("/releases/{release_id}/contributors/{position}", summary="Is a position declared?")
def contributor(
    release_id: str, position: Annotated[str, Path(pattern=POSITION)], parts: Hub
) -> dict[str, Any]:
    """With the proof of it. The position follows from a receipt's secret and a release's nonce."""
    return usage.look_up(parts, release_id, position)


@router.post(
    "/receipts/contribution", summary="Complete a consent's receipt", response_class=Response
)
async def contribution(request: Request, parts: Hub) -> Response:
    """Body: the receipt of a consent. Answer: the signed receipt of where its data went."""
    presented = b""
    async for chunk in request.stream():
        presented += chunk
        if len(presented) > MAX_RECEIPT:
            raise TooLarge(
                "receipt-too-large",
                fr="Le reçu d’un accord tient en 64 Kio.",
                en="The receipt of a consent fits in 64 KiB.",
                who="person",
            )
    made = await run_in_threadpool(usage.complete, parts, presented)
    return Response(made, media_type=NOTE, headers={"cache-control": "no-store"})

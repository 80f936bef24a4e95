"""For whoever was answered: the receipt of a decision."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub import decisions
from hub.api.access import identified, parts_of
from hub.parts import Actor, Parts

router = APIRouter(tags=["decisions"], prefix="/v1/decisions")


@router.get("/{decision_id}/receipt", summary="Receipt of a decision", response_class=Response)
def receipt(
    decision_id: str,
    actor: Annotated[Actor, Depends(identified)],
    parts: Annotated[Parts, Depends(parts_of)],
) -> Response:
    """Signed, with its proof: for the one it concerned, and for those who may read the log."""
    return Response(
        decisions.receipt(parts, actor, decision_id), media_type="text/plain; charset=utf-8"
    )

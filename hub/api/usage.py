"""For stewards, partners and those who read: what was used, from whose data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse
from starlette.responses import Response

from hub import metering
from hub.api.access import identified, parts_of
from hub.parts import Actor, Parts

router = APIRouter(tags=["requests"], prefix="/v1/usage")


@router.get("", summary="Who used what in a month", response_model=list[dict[str, Any]])
def usage(
    actor: Annotated[Actor, Depends(identified)],
    parts: Annotated[Parts, Depends(parts_of)],
    month: Annotated[str, Query(max_length=10, description="2026-03; empty: this month")] = "",
    of: Annotated[
        str, Query(max_length=50, description="one partner or organisation; empty: all")
    ] = "",
    format: Literal["json", "csv"] = "json",  # noqa: A002 - its name in the interface
) -> Response:
    """A partner: what was made of its data; others: what their organisation read; stewards: all."""
    month = month or metering.this_month(parts.clock())
    uses = metering.only(metering.statement(parts, actor, month), of)
    if format == "csv":
        headers = {"content-disposition": f'attachment; filename="usage-{month}.csv"'}
        return Response(metering.as_csv(uses), media_type="text/csv", headers=headers)
    return JSONResponse([use.as_json() for use in uses])

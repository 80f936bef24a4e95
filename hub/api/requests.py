"""For those who ask for data, decide about it, or whose data it is: requests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from hub import recipients, requests
from hub.api import ranges
from hub.api.access import identified, parts_of
from hub.delivery import Delivery, File
from hub.parts import Actor, Parts
from hub.records import DataRequest
from hub.requests import Asked

router = APIRouter(tags=["requests"], prefix="/v1/requests")
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]
Format = Annotated[str, Query(max_length=20, description="csv, xlsx, parquet, json or geojson")]


def delivery_of(request: Request) -> Delivery:
    """The delivery of this application."""
    delivery: Delivery = request.app.state.delivery
    return delivery


Hands = Annotated[Delivery, Depends(delivery_of)]


class Decided(BaseModel):
    """A decision; a refusal says its ground."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    approve: bool
    ground: str = Field("", max_length=50, description=", ".join(requests.GROUNDS))


class Ground(BaseModel):
    """Why."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ground: str = Field(max_length=50, description=", ".join(requests.GROUNDS))


class Opinion(BaseModel):
    """The opinion of the data-protection officer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    opinion: str = Field(max_length=50, description=", ".join(requests.OPINIONS))


class Longer(BaseModel):
    """For how long it is asked anew."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    days: int = Field(90, ge=1, le=requests.LONGEST)


@router.get("", summary="Requests one may read")
def listed(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """Newest first: one's own, those for one's own organisation, or about one's own data."""
    return [_shown(parts, one) for one in requests.listed(parts, actor)]


@router.post("", status_code=201, summary="Ask for data")
def submit(asked: Annotated[Asked, Body()], actor: Who, parts: Hub) -> dict[str, Any]:
    """Approved at once where the release is open; otherwise a steward decides."""
    return _shown(parts, requests.submit(parts, actor, asked))


@router.get("/{request_id}", summary="One request")
def one(request_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """What was asked, where it stands, the decision with its obligations, the opinion."""
    return _shown(parts, requests.seen(parts, actor, request_id))


@router.get("/{request_id}/receipt", summary="Receipt of a decision", response_class=Response)
def receipt(request_id: str, actor: Who, parts: Hub) -> Response:
    """What was last decided, signed, with the proof that the log holds it."""
    note = requests.receipt(parts, actor, request_id)
    return Response(note, media_type="text/plain; charset=utf-8")


@router.post("/{request_id}/decision", summary="Approve or refuse")
def decision(request_id: str, said: Decided, actor: Who, parts: Hub) -> dict[str, Any]:
    """For a steward or the operator of another organisation than asks or receives."""
    made = requests.decide(parts, actor, request_id, approved=said.approve, ground=said.ground)
    return _shown(parts, made)


@router.post("/{request_id}/veto", summary="Veto, for the partner whose data it is")
def veto(request_id: str, said: Ground, actor: Who, parts: Hub) -> dict[str, Any]:
    """Before the decision and after it; it holds at once."""
    return _shown(parts, requests.move(parts, actor, request_id, "veto", said.ground))


@router.post("/{request_id}/opinion", summary="Give the officer's opinion")
def opinion(request_id: str, said: Opinion, actor: Who, parts: Hub) -> dict[str, Any]:
    """Shown with the decision."""
    return _shown(parts, requests.advise(parts, actor, request_id, said.opinion))


@router.post("/{request_id}/revocation", summary="Revoke an approval")
def revoke(request_id: str, said: Ground, actor: Who, parts: Hub) -> dict[str, Any]:
    """It holds at once: the next file is refused, and every link has ended."""
    return _shown(parts, requests.move(parts, actor, request_id, "revoke", said.ground))


@router.post("/{request_id}/withdrawal", summary="Take a request back")
def withdraw(request_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """For the organisation that asked."""
    return _shown(parts, requests.move(parts, actor, request_id, "withdraw"))


@router.post("/{request_id}/renewal", status_code=201, summary="Ask for the same anew")
def renew(request_id: str, said: Longer, actor: Who, parts: Hub) -> dict[str, Any]:
    """A request like any other, which takes over from the former once it is approved."""
    return _shown(parts, requests.renew(parts, actor, request_id, said.days))


@router.head("/{request_id}/data", include_in_schema=False)
@router.get("/{request_id}/data", summary="What a request gives", response_class=Response)
def data(
    request: Request,
    request_id: str,
    actor: Who,
    delivery: Hands,
    format: Format = "csv",  # noqa: A002 - its name in the interface
) -> Response:
    """A stable address, for the accounts of its recipients; each reading is logged."""
    return _handed(request, delivery, delivery.file(actor, request_id, format))


@router.post("/{request_id}/links", status_code=201, summary="Make a short-lived link")
def link(
    request_id: str,
    actor: Who,
    delivery: Hands,
    format: Format = "csv",  # noqa: A002 - its name in the interface
) -> dict[str, Any]:
    """For a program without an account; bound to who asked, and ended by any revocation."""
    text, end = delivery.link(actor, request_id, format)
    return {"url": f"/v1/requests/{request_id}/file?link={text}", "expires_at": end.isoformat()}


@router.post("/{request_id}/profile", status_code=201, summary="Make a Delta Sharing profile")
def profile(
    request_id: str,
    actor: Who,
    delivery: Hands,
    oauth: Annotated[bool, Query(description="a client id and secret in place of a token")] = False,
) -> JSONResponse:
    """The profile file, which is not kept: whoever holds it reads what the request gives."""
    client, made = delivery.profile(actor, request_id, oauth=oauth)
    return JSONResponse(made, 201, recipients.headers(client))


@router.delete("/{request_id}/links", summary="End every link and profile")
def unlink(request_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """The request stands; new links and profiles can be made."""
    return _shown(parts, requests.unlink(parts, actor, request_id))


@router.head("/{request_id}/file", include_in_schema=False)
@router.get("/{request_id}/file", summary="What a link opens", response_class=Response)
def file(
    request: Request,
    request_id: str,
    link: Annotated[str, Query(max_length=1000, description="as `POST …/links` gave it")],
    delivery: Hands,
) -> Response:
    """404 for a link the hub did not make, 410 once it or the request is over."""
    return _handed(request, delivery, delivery.linked(request_id, link))


def _handed(request: Request, delivery: Delivery, made: File) -> Response:
    """The file, or the part asked for. HEAD hands nothing out, and is no reading."""
    response = ranges.answer(request, made.data, made.etag, made.media_type)
    headers = response.headers
    headers["cache-control"] = "private, no-store"
    headers["content-disposition"] = f'attachment; filename="{made.name}"'
    manifest = f'</v1/releases/{made.release.id}/manifest>; rel="describedby"'
    if request.method == "GET" and response.status_code in {200, 206}:
        name = delivery.told(made, part=response.status_code == 206)
        manifest += f', </v1/decisions/{name}/receipt>; rel="receipt"'
    headers["link"] = manifest
    return response


def _shown(parts: Parts, request: DataRequest) -> dict[str, Any]:
    return requests.shown(request, parts.clock())

"""For collectivités, schools, operators and anyone: releases and their manifests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from hub.api.access import caller, parts_of
from hub.parts import Actor, Parts
from hub.policy.gate import EmbeddedGate
from hub.records import Release
from hub.release import question, readable
from hub.release import receipt as receipt_of
from hub.shelf import MEDIA_TYPES, Shelf

router = APIRouter(tags=["releases"], prefix="/v1/releases")
Who = Annotated[Actor | None, Depends(caller)]
Hub = Annotated[Parts, Depends(parts_of)]
BY_MEDIA_TYPE = {value.split(";")[0]: key for key, value in MEDIA_TYPES.items()}
ANYONE = Actor("anyone", "anyone", "")


def shelf_of(request: Request) -> Shelf:
    """The shelf of this application."""
    shelf: Shelf = request.app.state.shelf
    return shelf


OnShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("", summary="Published releases")
def releases(actor: Who, parts: Hub, measure: str | None = None) -> list[dict[str, Any]]:
    """Releases the caller may read, oldest first."""
    return [
        _shown(release)
        for release in parts.books.releases(measure)
        if readable(parts, release, actor)
    ]


@router.get("/{release_id}", summary="One release")
def release_facts(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> dict[str, Any]:
    """What it is, where its formats and its manifest are."""
    release = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, question(parts, release))
    return _shown(release)


@router.get("/{release_id}/manifest", summary="Manifest of a release")
def manifest(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> dict[str, Any]:
    """Policy digest, inputs and versions, protection, factors, and its place in the log."""
    release = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, question(parts, release))
    return {
        **release.manifest,
        "log": {"index": release.log_index, "checkpoint": "/audit/checkpoint"},
    }


@router.get("/{release_id}/data", summary="The published table", response_class=Response)
async def data(
    request: Request,
    release_id: str,
    format: Annotated[str | None, Query(description="csv, xlsx, parquet, json or geojson")] = None,  # noqa: A002 - its name in the interface
    purpose: str | None = None,
) -> Response:
    """Prepared bytes; the format by `format=` or `Accept`. An identified reading is logged."""
    kind = format or BY_MEDIA_TYPE.get(request.headers.get("accept", "").split(",")[0], "csv")
    made = _at_once(request, release_id, kind, purpose)
    # What waits for anybody, or is refused, goes the long way, on a thread.
    if made is None:
        made = await run_in_threadpool(_data, request, release_id, kind, purpose)
    return made


def _at_once(request: Request, release_id: str, kind: str, purpose: str | None) -> Response | None:
    """The hot path: an open release in memory, for anyone, decided in this process.

    Nothing here waits for a disk, the books or another process; the policy is asked all the same.
    """
    parts, shelf = parts_of(request), shelf_of(request)
    anonymous = (
        "authorization" not in request.headers
        and request.app.state.session_cookie not in request.cookies
    )
    if not anonymous or not isinstance(parts.policy, EmbeddedGate):
        return None
    held = shelf.held(release_id, kind)
    if held is None:
        return None
    release, body = held
    if not shelf.open_now(release, purpose):
        return None
    return Response(body, media_type=MEDIA_TYPES[kind], headers=_headers(release, kind))


def _data(request: Request, release_id: str, kind: str, purpose: str | None) -> Response:
    parts, shelf, actor = parts_of(request), shelf_of(request), caller(request)
    release = shelf.release(release_id)
    if actor is None:
        parts.require("release_read", ANYONE, question(parts, release, purpose))
        body, headers = shelf.data(release, kind), _headers(release, kind)
    else:
        body, name = shelf.read(actor, release, kind, purpose)
        headers = _headers(release, kind)
        headers["link"] = f'</v1/decisions/{name}/receipt>; rel="receipt"'
    return Response(body, media_type=MEDIA_TYPES[kind], headers=headers)


def _headers(release: Release, kind: str) -> dict[str, str]:
    return {
        "content-disposition": f'attachment; filename="{release.id}.{kind}"',
        "etag": f'"{release.manifest["digest"][kind]}"',
    }


@router.get(
    "/{release_id}/receipt", summary="Receipt of a release, signed", response_class=Response
)
def receipt(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> Response:
    """A signed note with the proof that the log holds the release, for whoever may read it."""
    found = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, question(parts, found))
    return Response(receipt_of(parts, found), media_type="text/plain; charset=utf-8")


def _shown(release: Release) -> dict[str, Any]:
    base = f"/v1/releases/{release.id}"
    return {
        "id": release.id,
        "measure": release.measure,
        "title": release.manifest["title"],
        "period": release.period,
        "version": release.version,
        "digest": release.digest,
        "published_at": release.published_at.isoformat(),
        "manifest": f"{base}/manifest",
        "data": {kind: f"{base}/data?format={kind}" for kind in release.manifest["digest"]},
        "log_index": release.log_index,
    }

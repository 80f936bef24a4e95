"""For collectivités, schools, operators and anyone: releases and their manifests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hub.api.access import caller, parts_of
from hub.events import Kind
from hub.parts import Actor, Parts
from hub.records import Release
from hub.release import question
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
        if parts.policy.decide("release_read", _question(parts, actor, release, None)).allow
    ]


@router.get("/{release_id}", summary="One release")
def release_facts(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> dict[str, Any]:
    """What it is, where its formats and its manifest are."""
    release = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, _question(parts, actor, release, None))
    return _shown(release)


@router.get("/{release_id}/manifest", summary="Manifest of a release")
def manifest(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> dict[str, Any]:
    """Policy digest, inputs and versions, protection, factors, and its place in the log."""
    release = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, _question(parts, actor, release, None))
    return {
        **release.manifest,
        "log": {"index": release.log_index, "checkpoint": "/audit/checkpoint"},
    }


@router.get("/{release_id}/data", summary="The published table", response_class=Response)
def data(
    request: Request,
    release_id: str,
    actor: Who,
    parts: Hub,
    shelf: OnShelf,
    format: Annotated[str | None, Query(description="csv, xlsx, parquet, json or geojson")] = None,  # noqa: A002 - its name in the interface
    purpose: str | None = None,
) -> Response:
    """Prepared bytes; the format by `format=` or `Accept`. An identified reading is logged."""
    release = shelf.release(release_id)
    asked = _question(parts, actor, release, purpose)
    decision = parts.require("release_read", actor or ANYONE, asked)
    kind = format or BY_MEDIA_TYPE.get(request.headers.get("accept", "").split(",")[0], "csv")
    body = shelf.data(release, kind)
    headers = {
        "content-disposition": f'attachment; filename="{release.id}.{kind}"',
        "etag": f'"{release.manifest["digest"][kind]}"',
    }
    if actor is not None:
        facts = {"reader": actor.id, "format": kind, "purpose": purpose or ""}
        event = parts.decided(Kind.RELEASE_READ, actor, release.id, decision, facts)
        parts.books.record(event=event)
        headers["link"] = f'</v1/decisions/{event.facts["decision"]}/receipt>; rel="receipt"'
    return Response(body, media_type=MEDIA_TYPES[kind], headers=headers)


@router.get(
    "/{release_id}/receipt", summary="Receipt of a release, signed", response_class=Response
)
def receipt(release_id: str, actor: Who, parts: Hub, shelf: OnShelf) -> Response:
    """A signed note with the proof that the log holds the release, for whoever may read it."""
    found = shelf.release(release_id)
    parts.require("release_read", actor or ANYONE, _question(parts, actor, found, None))
    return Response(receipt_of(parts, found), media_type="text/plain; charset=utf-8")


def _question(
    parts: Parts, actor: Actor | None, release: Release, purpose: str | None
) -> dict[str, Any]:
    return {"actor": actor.facts() if actor else None, **question(parts, release, purpose)}


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

"""For the DPO: the bodies of events and their proofs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query

from hub.api.access import identified, parts_of
from hub.errors import NotFound
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.records import LoggedEvent

router = APIRouter(tags=["audit"], prefix="/v1/audit/events")
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


@router.get("", summary="Search events")
def events(
    actor: Who,
    parts: Hub,
    kind: str | None = None,
    about: str | None = None,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, Any]]:
    """Events in order, a page at a time; the look itself is logged."""
    parts.require("audit_read", actor, {})
    parts.books.record(
        event=AuditEvent(
            Kind.EVENTS_READ,
            actor.organisation,
            actor.id,
            parts.clock(),
            {"kind": kind or "", "about": about or "", "after": after, "limit": limit},
        )
    )
    found = parts.books.events(kind=kind, about=about, after=after, limit=limit)
    return [shown(event) for event in found]


@router.get("/{index}", summary="One event")
def event(index: int, actor: Who, parts: Hub) -> dict[str, Any]:
    """An event's body by its index in the log."""
    parts.require("audit_read", actor, {})
    return shown(_at(parts, index))


@router.get("/{index}/proof", summary="Inclusion proof of an event")
def proof(index: int, actor: Who, parts: Hub) -> dict[str, Any]:
    """The hashes that lead from the entry to the checkpoint's root (RFC 6962)."""
    parts.require("audit_read", actor, {})
    _at(parts, index)
    return {
        "index": index,
        "size": parts.log.size,
        "hashes": [node.hex() for node in parts.log.inclusion(index)],
        "checkpoint": parts.log.checkpoint().decode(),
    }


def shown(event: LoggedEvent) -> dict[str, Any]:
    """An event as JSON, with the salt that opens its entry."""
    return {
        "sequence": event.sequence,
        "index": event.index,
        "event": msgspec.json.decode(event.body),
        "salt": event.salt.hex(),
    }


def _at(parts: Parts, index: int) -> LoggedEvent:
    found = parts.books.event_at(index)
    if found is None:
        raise NotFound(
            "no-such-event",
            fr="Le journal n’a pas d’événement à cet indice.",
            en="The log has no event at this index.",
            who="person",
        )
    return found

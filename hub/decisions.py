"""Decisions afterwards: the one whom a decision concerned, and the DPO, may have its receipt.

The receipt names the policies that answered and the digest of what they were asked, so that the
decision can be replayed, and proves that the log took it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.audit import decisions
from hub.errors import NotFound
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.storage.books import Search


def find(parts: Parts, actor: Actor, decision_id: str) -> tuple[Mapping[str, Any], int | None]:
    """A decision and its place in the log. Raises `NotFound` for what is not the caller's.

    Whoever reads the log may see every decision; such a look is an event.
    """
    found = parts.books.search(Search(topics=(f"about:{decision_id}",)), limit=1)
    body = msgspec.json.decode(found[0].body) if found and found[0].body else None
    if body is None or not decisions.is_one(body) or body["facts"]["decision"] != decision_id:
        raise _unknown()
    shown = decisions.shown(body)
    if (shown["actor"], shown["organisation"]) != (actor.id, actor.organisation):
        allowed = parts.ask("audit_read", actor, {})
        if not allowed.allow:
            raise _unknown()
        asked = {"search": {"about": decision_id}}
        event = AuditEvent(Kind.EVENTS_READ, actor.organisation, actor.id, parts.clock(), asked)
        parts.books.record(event=parts.told(event, allowed))
    return shown, found[0].index


def receipt(parts: Parts, actor: Actor, decision_id: str) -> bytes:
    """The signed receipt of a decision, with its proof. Raises `NotFound`."""
    shown, index = find(parts, actor, decision_id)
    if index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="La décision est enregistrée ; le reçu suivra dans un instant.",
            en="The decision is recorded; the receipt follows in a moment.",
            who="person",
        )
    return parts.receipt(decisions.KIND, shown, index)


def _unknown() -> NotFound:
    return NotFound(
        "unknown-decision",
        fr="Aucune décision ne porte ce numéro.",
        en="No decision has this number.",
        who="person",
    )

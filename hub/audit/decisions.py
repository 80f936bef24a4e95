"""Decisions as events and as receipts: what was asked, by digest, and what was answered, why.

A decision gets an id of its own, by which the event is found (`facts.decision`), and the event
commits to the receipt its asker may have (`hub.audit.receipts`). The receipt holds nothing that
the event's body does not: it is made from the body whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hub.audit import receipts
from hub.events import AuditEvent, Kind

KIND: Final = "decision"
ASKED: Final = ("decision", "rule", "actor", "allowed", "reasons", "input", "bundle")
"""Facts of an event that are a decision."""


def event(
    kind: Kind,
    organisation: str,
    about: str,
    at: datetime,
    decision: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> AuditEvent:
    """The event of a decision; `decision` holds `ASKED`, `facts` whatever else it tells."""
    whole = {**facts, **{name: decision[name] for name in ASKED}}
    made = AuditEvent(kind, organisation, about, at, whole)
    promised = receipts.digest(KIND, shown(_body(made)))
    return AuditEvent(kind, organisation, about, at, {**whole, "receipt": promised})


def shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as JSON, from its event's body."""
    facts = body["facts"]
    return {
        "id": facts["decision"],
        "rule": facts["rule"],
        "about": body["about"],
        "actor": facts["actor"],
        "organisation": body["actor"],
        "at": body["at"],
        "answer": "allowed" if facts["allowed"] else "denied",
        "reasons": list(facts["reasons"]),
        "input": facts["input"],
        "bundle": facts["bundle"],
    }


def is_one(body: Mapping[str, Any]) -> bool:
    """Whether an event's body tells of a decision with a receipt."""
    return set(ASKED).issubset(body["facts"])


def _body(made: AuditEvent) -> dict[str, Any]:
    return {
        "about": made.about,
        "actor": made.actor,
        "at": made.at.isoformat(timespec="microseconds"),
        "facts": made.facts,
    }

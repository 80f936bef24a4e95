"""The proof that somebody consented: sealed when the consent ends, for the officer alone, 5 years.

A controller must be able to demonstrate consent (GDPR art. 7(1)), after it has ended as well. While
it stands, how it was collected is in the books, because it is needed: the month of the birthday,
the half of a parent. In the transaction that completes its end that leaves the books, and a proof
takes its place: the record, how a parent was identified, the notice as it was read, sealed for
`HUB_PROOF_RECIPIENT`. The hub does not hold the identity; the data-protection officer does.

Opening one is breaking glass: the policy lets an officer and nobody else, for a ground of a closed
list; the event comes first and says the ground; the person sees on their own page that it was
opened, and why. What is handed out is still sealed. A proof names nobody: who presents a receipt,
or a code, has the number it is found under. Retention destroys it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from consent import records
from consent.purposes import PURPOSES
from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.records import ConsentProof, Grant
from hub.storage import sealing
from hub.storage.books import BY, EXPIRED

log = logging.getLogger("hub.break_glass")

KEPT: Final = timedelta(days=5 * 365 + 2)
GROUNDS: Final = ("person", "complaint", "authority", "court")
"""Why an officer opens a proof: the person asks, or complains; an authority, or a court, asks."""
COLLECTED: Final = ("age", "joint", "fifteen", "eighteen", "parent_at", "parent_identified_by")
"""What the books hold of how a consent was collected, for as long as it stands."""


@dataclass(frozen=True, slots=True)
class Opening:
    """That a proof was handed out: when, and why."""

    at: datetime
    ground: str


def sealed(parts: Parts, ended: Iterable[Grant]) -> list[ConsentProof]:
    """The proofs of consents that have ended; none where nobody is set who could read them."""
    if not parts.settings.proof_recipient:
        return []
    recipient = sealing.recipient_from(parts.settings.proof_recipient)
    return [
        ConsentProof(
            grant.id,
            sealing.seal(msgspec.json.encode(content(parts, grant)), recipient),
            (grant.ended_at or parts.clock()) + KEPT,
            {k: v for k, v in grant.evidence.items() if k not in COLLECTED},
        )
        for grant in ended
    ]


def content(parts: Parts, grant: Grant) -> dict[str, Any]:
    """What a proof says, as JSON; never whom about, nor a digest."""
    notice = PURPOSES[grant.purpose].published(grant.notice_version)
    return {
        "consent": grant.id,
        "partner": grant.partner,
        "purpose": grant.purpose,
        "population": grant.population,
        "given_at": grant.given_at.isoformat(),
        "ended_at": grant.ended_at.isoformat() if grant.ended_at else None,
        "record": told(parts, grant),
        "notice": asdict(notice) | {"sha256": notice.digest} if notice else None,
    }


def told(parts: Parts, grant: Grant) -> dict[str, Any]:
    """The record of an answer, with its end. What ran out ended then, not when that was noticed."""
    record = dict(grant.evidence)
    if grant.ended_at is None or "event" not in record:
        return record
    ran_out = grant.expires_at if grant.state == EXPIRED else None
    at = min(grant.ended_at, ran_out or grant.ended_at)
    by = _half(parts, grant) if records.joint(record) else records.PERSON
    return records.ended(record, grant.state, at, by)


def _half(parts: Parts, grant: Grant) -> str:
    """Which half ended a joint consent: what the withdrawal left behind says so."""
    secret = parts.books.contribution(grant.id)
    left = parts.books.grant(f"{secret.ended_by}.{grant.purpose}") if secret else None
    return str(left.evidence.get(BY, records.PERSON)) if left else records.PERSON


def digests(proofs: Sequence[ConsentProof]) -> list[str]:
    """What the event of an end holds of the proofs sealed with it, SHA-256 in hex, sorted."""
    return sorted(sha256(proof.sealed).hexdigest() for proof in proofs)


def hand_out(parts: Parts, actor: Actor, grant_id: str, ground: str) -> bytes:
    """A proof, sealed as it is, to an officer, who alone can open it. Recorded before it is given.

    Raises `Denied`, `Rejected` for another ground, `NotFound` where there is none (yet, or any
    more): while a consent stands, `hub consent show` has its record.
    """
    decision = parts.require("rights", actor, {"action": "proof_open"})
    if ground not in GROUNDS:
        raise Rejected(
            "not-in-the-list",
            fr=f"« ground » : choisissez dans la liste ({', '.join(GROUNDS)}).",
            en=f"“ground”: choose from the list ({', '.join(GROUNDS)}).",
            who="person",
            where="ground",
        )
    proof = parts.books.consent_proof(grant_id)
    if proof is None:
        raise NotFound(
            "no-proof",
            fr="Il n’y a pas de preuve scellée sous ce numéro : l’accord tient encore, il n’a "
            "jamais existé, ou ses cinq ans sont passés.",
            en="There is no sealed proof under this number: the consent still stands, there never "
            "was one, or its five years are over.",
            who="person",
        )
    facts = {"ground": ground}
    event = AuditEvent(Kind.PROOF_OPENED, actor.organisation, grant_id, parts.clock(), facts)
    parts.books.record(event=parts.told(event, decision))
    log.warning("a sealed proof of consent was handed to an officer: %s", ground)
    return proof.sealed


def openings(parts: Parts, grant_id: str) -> list[Opening]:
    """When and why a proof was opened, oldest first: told to its person."""
    found = parts.books.events(kind=Kind.PROOF_OPENED, about=grant_id)
    bodies: list[Mapping[str, Any]] = [msgspec.json.decode(e.body) for e in found if e.body]
    return [
        Opening(datetime.fromisoformat(body["at"]), str(body["facts"]["ground"])) for body in bodies
    ]

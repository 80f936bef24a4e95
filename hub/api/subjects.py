"""For the people behind the rows, through the partner that collected their consent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from hub import consents, participation, sheets, withdraw
from hub.api.access import identified, parts_of
from hub.errors import Conflict, Language
from hub.parts import Actor, Parts
from hub.records import Grant, Role
from hub.storage.books import REFUSED

router = APIRouter(tags=["consents"], prefix="/v1")
NOTE = "text/plain; charset=utf-8"
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


class ParentalHalf(BaseModel):
    """A parent's half of a joint consent: when, and how they were identified, never who."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    given_at: AwareDatetime
    identified_by: str = Field(max_length=100)


class ConsentIn(BaseModel):
    """One person's answer to one purpose, as the partner collected it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reference: str = Field(min_length=1, max_length=200, description="the partner's own reference")
    purpose: str = Field(max_length=50)
    population: str = Field(max_length=20, description="pupil, post-bac or staff")
    given_at: AwareDatetime
    agreed: bool = True
    birth_month: str = Field("", description="YYYY-MM; the day is never asked")
    expires_at: AwareDatetime | None = None
    notice_version: str = Field("", max_length=20)
    language: str = Field("fr", pattern="^(fr|en)$")
    collection_method: str = Field("", max_length=100)
    parent: ParentalHalf | None = None


class LinkIn(BaseModel):
    """A code as its holder typed it in the partner's app, and the partner's reference of them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: str = Field(max_length=60)
    reference: str = Field(min_length=1, max_length=200)


@router.post("/consents", status_code=201, summary="Record an answer")
def give(asked: ConsentIn, actor: Who, parts: Hub) -> dict[str, Any]:
    """One purpose at a time: each is given, refused and ended on its own.

    A no (`agreed` false) from someone whose yes stands ends it and erases their rows.

    `codes` holds the person's code and secret (and the parent's, under 15) where they had none
    yet, and `sheet` a page to print. They are in this one answer and nowhere else: show them, and
    keep neither.
    """
    parent_at: datetime | None = asked.parent.given_at if asked.parent else None
    grant, handed = participation.give(
        parts,
        actor,
        actor.organisation,
        consents.Asked(
            reference=asked.reference,
            purpose=asked.purpose,
            population=asked.population,
            given_at=asked.given_at,
            birth=asked.birth_month,
            agreed=asked.agreed,
            expires_at=asked.expires_at,
            notice_version=asked.notice_version,
            language=asked.language,
            collection_method=asked.collection_method,
            parent_at=parent_at,
            parent_identified_by=asked.parent.identified_by if asked.parent else "",
        ),
    )
    return consents.shown(grant) | _handed(parts, handed, asked.language)


@router.post("/consents/{consent_id}/codes", status_code=201, summary="New codes")
def new_codes(
    consent_id: str,
    actor: Who,
    parts: Hub,
    language: Annotated[Literal["fr", "en"], Query(description="of the sheet")] = "fr",
) -> dict[str, Any]:
    """For whoever lost theirs, or was never given one. The lost ones open nothing any more."""
    handed = participation.again(parts, actor, _own(parts, actor, consent_id))
    return _handed(parts, handed, language)


@router.post("/links", status_code=202, summary="Tie a reference to a code")
def link(asked: LinkIn, request: Request, actor: Who) -> dict[str, str]:
    """Says the same whether or not anybody has that code; the same link again changes nothing."""
    door: participation.Door = request.app.state.door
    door.link(actor, asked.code, asked.reference)
    return {"state": "noted"}


@router.get("/consents/{consent_id}", summary="State of a consent")
def show(consent_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """To the partner that collected it."""
    return consents.shown(_own(parts, actor, consent_id))


@router.get("/consents/{consent_id}/receipt", summary="Signed receipt", response_class=Response)
def consent_receipt(consent_id: str, actor: Who, parts: Hub) -> Response:
    """A signed note, verifiable offline with `hub receipt verify`."""
    return Response(consents.receipt(parts, _own(parts, actor, consent_id)), media_type=NOTE)


@router.get("/consents/{consent_id}/record", summary="The record as linked data")
def record(consent_id: str, actor: Who, parts: Hub) -> Response:
    """ISO/IEC TS 27560 in the terms of the W3C Data Privacy Vocabulary, as JSON-LD."""
    made = consents.linked(parts, _own(parts, actor, consent_id))
    return Response(msgspec.json.encode(made), media_type="application/ld+json")


@router.post("/consents/{consent_id}/withdrawal", status_code=202, summary="End a consent")
def end(consent_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """Takes effect at once for everything pushed or released later; the erasure follows."""
    grant = _own(parts, actor, consent_id)
    if grant.ended_at is not None or grant.state == REFUSED:
        raise Conflict(
            "consent-ended",
            fr="Cet accord est déjà terminé.",
            en="This consent has ended already.",
            who="person",
        )
    made = withdraw.withdraw(
        parts, actor, grant.partner, grant.subject, grant.purpose, via="partner"
    )
    return withdraw.shown(made)


@router.get("/withdrawals/{withdrawal_id}", summary="How far a withdrawal has come")
def withdrawal(withdrawal_id: str, actor: Who, parts: Hub) -> dict[str, Any]:
    """To the partner that collected the consent."""
    made = parts.books.withdrawal(withdrawal_id)
    if made is None or not _collected(actor, made.partner):
        raise withdraw.unknown_withdrawal()
    return withdraw.shown(made)


def _handed(parts: Parts, handed: list[participation.Handed], language: str) -> dict[str, Any]:
    """Codes, secrets and the sheet, for the one answer that holds them."""
    spoken: Language = "en" if language == "en" else "fr"
    page = sheets.sheet(handed, parts.settings.public_url, spoken) if handed else ""
    return {"codes": participation.shown(handed), "sheet": page}


def _collected(actor: Actor, partner: str) -> bool:
    """Whether this is the partner itself: a school entered under its name is not."""
    return actor.role == Role.PARTNER and actor.organisation == partner


def _own(parts: Parts, actor: Actor, consent_id: str) -> Grant:
    """The caller's own grant; the same answer for one that is not there and one of another."""
    grant = consents.found(parts, consent_id)
    if not _collected(actor, grant.partner):
        raise consents.unknown_grant()
    return grant

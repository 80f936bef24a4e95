"""For the data-protection officer: the register of rights, and its clock."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hub import consent_proofs, rights
from hub.api.access import identified, parts_of
from hub.parts import Actor, Parts

router = APIRouter(tags=["rights"], prefix="/v1/rights")
Who = Annotated[Actor, Depends(identified)]
Hub = Annotated[Parts, Depends(parts_of)]


class CaseIn(BaseModel):
    """A claim made to the officer: from closed lists, no words, no name.

    With the participation code of whoever claims, if they have it: restriction and rectification
    then hold their rows.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: str = Field(max_length=30, description=", ".join(rights.KINDS))
    concerns: str = Field("everything", max_length=30, description=", ".join(rights.CONCERNS))
    code: str = Field("", max_length=60, description="the person's participation code, or empty")


class ProofIn(BaseModel):
    """Which consent's proof, and why its glass is broken."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    consent: str = Field(max_length=60, description="its number, as receipts give it")
    ground: str = Field(max_length=30, description=", ".join(consent_proofs.GROUNDS))


class ExtensionIn(BaseModel):
    """Why two more months are needed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reason: str = Field(max_length=30, description=", ".join(rights.EXTENSIONS))


class AnswerIn(BaseModel):
    """How a claim ended; a refusal, or half a yes, with its ground."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    answer: str = Field(max_length=30, description=", ".join(rights.ANSWERS))
    ground: str = Field("", max_length=30, description=", ".join(rights.GROUNDS))


@router.get("", summary="The register of rights")
def register(actor: Who, parts: Hub) -> list[dict[str, Any]]:
    """Open cases first, the most urgent first; never whose they are."""
    return [rights.shown(case, parts.clock()) for case in rights.register(parts, actor)]


@router.post("", status_code=201, summary="Open a case")
def open_case(asked: CaseIn, actor: Who, parts: Hub) -> dict[str, Any]:
    """The clock of one month starts today (GDPR art. 12(3))."""
    case = rights.open_for(parts, actor, asked.kind, asked.concerns, asked.code)
    return rights.shown(case, parts.clock())


@router.post(
    "/proofs", summary="Open the sealed proof of a consent that ended", response_class=Response
)
def proof(asked: ProofIn, actor: Who, parts: Hub) -> Response:
    """An age file for the officer's own identity. Recorded, and told to the person."""
    made = consent_proofs.hand_out(parts, actor, asked.consent, asked.ground)
    return Response(
        made,
        media_type="application/octet-stream",
        headers={
            "content-disposition": f'attachment; filename="proof-{asked.consent}.age"',
            "cache-control": "no-store",
        },
    )


@router.post("/{case_id}/extension", summary="Take two more months")
def extend(case_id: str, asked: ExtensionIn, actor: Who, parts: Hub) -> dict[str, Any]:
    """Within the first month, for a reason the law knows."""
    return rights.shown(rights.extend(parts, actor, case_id, asked.reason), parts.clock())


@router.post("/{case_id}/answer", summary="Answer a case")
def answer(case_id: str, asked: AnswerIn, actor: Who, parts: Hub) -> dict[str, Any]:
    """Ends it."""
    made = rights.close(parts, actor, case_id, asked.answer, asked.ground)
    return rights.shown(made, parts.clock())

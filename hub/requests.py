"""Requests: what an organisation asks to be given, who decides, and how long it holds.

1. A collectivity, a school or the operator submits: measure, period, purpose, territory, level of
   detail, recipients, days. The policy is asked before anything else is looked up, a duplicate
   included: that something was asked before opens nothing.
2. Where the release is open there is nothing to decide, and the policy approves at once.
3. Otherwise a steward or the operator decides, never about what their own organisation asks for or
   would be given. The officer's opinion is recorded and shown with the decision.
4. The partner whose data the measure is made of may veto, before the decision and after it.
5. An approval ends by its date, by being revoked, vetoed, withdrawn or renewed. That holds from
   that moment: what is handed out is asked for each time, see `hub.delivery`.

`MOVES` is the whole life of a request; who may make which move is `policies/request.rego`. Each
move is an event about the request's id that commits to the receipt its asker may have. There is no
free text: a request names organisations and codes, never a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from analytics.measures import MEASURES
from hub import protections
from hub.audit import receipts
from hub.errors import Conflict, Denied, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.policy.gate import Decision
from hub.records import DataRequest, Release
from hub.records import RequestState as State
from hub.storage.books import Search
from hub.storage.books.requests import request_moved

RULE: Final = "request"
RECEIPT: Final = "request"
ALL: Final = "all"
BY_POLICY: Final = "policy"
LONGEST: Final = 366
"""Days a request holds at most; the policy says so too."""
OPINIONS: Final = ("favourable", "reserved", "unfavourable")
GROUNDS: Final = (
    "purpose", "not-necessary", "too-fine", "business-secret", "agreement", "opinion", "misuse",
)  # fmt: skip
"""Why something asked for is refused, vetoed or revoked: one of these is said each time."""


@dataclass(frozen=True, slots=True)
class Move:
    """A move of `MOVES`: from which states it is made, to which it leads, and its event."""

    after: frozenset[State]
    to: State
    kind: Kind
    grounded: bool = False
    """Whether a ground must be said."""


_STANDING: Final = frozenset({State.SUBMITTED, State.APPROVED})
_APPROVED: Final = frozenset({State.APPROVED})
_SUBMITTED: Final = frozenset({State.SUBMITTED})
MOVES: Final[Mapping[str, Move]] = MappingProxyType(
    {
        "approve": Move(_SUBMITTED, State.APPROVED, Kind.REQUEST_DECIDED),
        "refuse": Move(_SUBMITTED, State.REFUSED, Kind.REQUEST_DECIDED, grounded=True),
        "veto": Move(_STANDING, State.VETOED, Kind.REQUEST_VETOED, grounded=True),
        "withdraw": Move(_STANDING, State.WITHDRAWN, Kind.REQUEST_WITHDRAWN),
        "revoke": Move(_APPROVED, State.REVOKED, Kind.REQUEST_REVOKED, grounded=True),
        "renew": Move(_APPROVED, State.RENEWED, Kind.REQUEST_RENEWED),
        "expire": Move(_APPROVED, State.EXPIRED, Kind.REQUEST_EXPIRED),
    }
)
"""What may follow what. The last two follow from another request's approval and from the clock."""


class Asked(BaseModel):
    """What is asked for. `territory` is a department's code; "all" leaves nothing out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    measure: str = Field(max_length=50)
    purpose: str = Field(max_length=50)
    period: str = Field("", max_length=20, description="a school year; empty: the present one")
    territory: str = Field(ALL, max_length=20)
    granularity: str = Field(ALL, max_length=20)
    recipients: list[Annotated[str, Field(max_length=50)]] = Field(
        [], max_length=20, description="empty: who asks"
    )
    days: int = Field(90, ge=1, le=LONGEST)


def submit(parts: Parts, actor: Actor, asked: Asked, renews: str = "") -> DataRequest:
    """Ask for data. Approved at once where the policy leaves nothing to decide.

    Raises `Denied`, `NotFound` for a measure there is not, `Rejected` for a territory or recipient
    there is not, `Conflict` where the same is asked already or stands.
    """
    now = parts.clock()
    known = MEASURES.get(asked.measure)
    inputs = known.inputs if known is not None else ()
    made = DataRequest(
        id=parts.new_id(now),
        measure=asked.measure,
        period=asked.period or parts.territory.school_year,
        purpose=asked.purpose,
        territory=asked.territory,
        granularity=asked.granularity,
        recipients=tuple(dict.fromkeys(asked.recipients)) or (actor.organisation,),
        days=asked.days,
        organisation=actor.organisation,
        role=actor.role,
        asked_by=actor.id,
        partners=tuple(sorted({table.split("/")[0] for table in inputs})),
        submitted_at=now,
        renews=renews,
    )
    decision = _may(parts, actor, "submit", made)  # 1
    _check(parts, made)
    submitted = _event(parts, Kind.REQUEST_SUBMITTED, actor, made, decision)
    with parts.books.together():
        parts.books.add_request(made, event=submitted)
        if decision.obligations.get("automatic") is True:  # 2
            made = _approve(parts, actor, made, decision, BY_POLICY)
    return made


def decide(
    parts: Parts, actor: Actor, request_id: str, *, approved: bool, ground: str = ""
) -> DataRequest:
    """Approve or refuse; a refusal says its ground.

    Raises `Denied`, `NotFound`, `Rejected` for a ground there is not, `Conflict` where it is
    decided already.
    """
    if not approved:
        return move(parts, actor, request_id, "refuse", ground)
    found = seen(parts, actor, request_id)
    decision = _may(parts, actor, "approve", found)
    _follows(found, "approve", parts.clock())
    with parts.books.together():
        return _approve(parts, actor, found, decision, actor.role)


def move(parts: Parts, actor: Actor, request_id: str, action: str, ground: str = "") -> DataRequest:
    """Refuse, veto, withdraw or revoke, at once. Raises as `decide`."""
    found = seen(parts, actor, request_id)
    decision = _may(parts, actor, action, found)
    step = _follows(found, action, parts.clock())
    if step.grounded or ground:
        _listed(ground, GROUNDS, "ground")
    moved = replace(found, state=step.to, ground=ground, epoch=found.epoch + 1)
    if action == "refuse":
        moved = replace(moved, decided_at=parts.clock(), decided_by=actor.role)
    event = _event(parts, step.kind, actor, moved, decision)
    return parts.books.change_request(moved, event=event)


def advise(parts: Parts, actor: Actor, request_id: str, opinion: str) -> DataRequest:
    """Record the officer's opinion: shown with the decision, whichever comes first."""
    found = seen(parts, actor, request_id)
    decision = _may(parts, actor, "opinion", found)
    _listed(opinion, OPINIONS, "opinion")
    if state(found, parts.clock()) not in _STANDING:
        raise request_moved()
    advised = replace(found, opinion=opinion)
    event = _event(parts, Kind.REQUEST_OPINION, actor, advised, decision)
    return parts.books.change_request(advised, event=event)


def renew(parts: Parts, actor: Actor, request_id: str, days: int) -> DataRequest:
    """Ask anew for what is approved or has expired: a request like any other.

    The former approval holds until the new one is given, which takes over from it.
    """
    found = seen(parts, actor, request_id)
    # The new one takes over: only who may take the former back may have it taken over.
    _may(parts, actor, "withdraw", found)
    if state(found, parts.clock()) not in {State.APPROVED, State.EXPIRED}:
        raise request_moved()
    asked = Asked(
        measure=found.measure,
        purpose=found.purpose,
        period=found.period,
        territory=found.territory,
        granularity=found.granularity,
        recipients=list(found.recipients),
        days=days,
    )
    return submit(parts, actor, asked, renews=found.id)


def unlink(parts: Parts, actor: Actor, request_id: str) -> DataRequest:
    """End every link that was handed out; the request stands. For its recipients."""
    found = seen(parts, actor, request_id)
    decision = _may(parts, actor, "deliver", found)
    ended = replace(found, epoch=found.epoch + 1)
    event = _event(parts, Kind.REQUEST_UNLINKED, actor, ended, decision)
    return parts.books.change_request(ended, event=event)


def expire(parts: Parts) -> int:
    """Record the end of approvals whose time is over. They have ended by then: see `state`."""
    ended = parts.books.ended_requests(parts.clock())
    for found in ended:
        moved = replace(found, state=State.EXPIRED, epoch=found.epoch + 1)
        parts.books.change_request(
            moved,
            event=AuditEvent(
                Kind.REQUEST_EXPIRED,
                WORKER.organisation,
                found.id,
                parts.clock(),
                _facts(moved),
            ),
        )
    return len(ended)


def state(request: DataRequest, now: datetime) -> State:
    """Where a request stands at a moment: its time ends whether or not anybody noted it."""
    over = request.expires_at is not None and now >= request.expires_at
    return State.EXPIRED if request.state is State.APPROVED and over else request.state


def seen(parts: Parts, actor: Actor, request_id: str) -> DataRequest:
    """A request the actor may read. Another's is as unknown as one that is not there."""
    found = parts.books.request(request_id)
    if found is None:
        raise _unknown()
    try:
        _may(parts, actor, "read", found)
    except Denied as error:
        raise _unknown() from error
    return found


def listed(parts: Parts, actor: Actor) -> list[DataRequest]:
    """The requests the actor may read, newest first, of the newest thousand there are."""
    return [
        one
        for one in parts.books.requests()
        if parts.ask(RULE, actor, _question(parts, "read", one)).allow
    ]


def may(
    parts: Parts,
    actor: Actor,
    action: str,
    request: DataRequest,
    release: Release | None = None,
) -> bool:
    """Whether an action may be offered: the policy allows it and it follows.

    `release` is the edition it is about, where it is not the newest.
    """
    step = MOVES.get(action)
    if step is not None and state(request, parts.clock()) not in step.after:
        return False
    return parts.ask(RULE, actor, _question(parts, action, request, release)).allow


def delivering(
    parts: Parts, actor: Actor, request: DataRequest, release: Release | None
) -> Decision:
    """The policy's yes to handing an edition to an actor for a request. Raises `Denied`."""
    question = _question(parts, "deliver", request, release)
    return parts.require(RULE, actor, question, request=request.id)


def release_for(parts: Parts, request: DataRequest) -> Release | None:
    """The newest release a request is answered with, None before the first."""
    found = [r for r in parts.books.releases(request.measure) if r.period == request.period]
    return found[-1] if found else None


def shown(request: DataRequest, now: datetime) -> dict[str, Any]:
    """A request as JSON, for whoever may read it."""
    base = f"/v1/requests/{request.id}"
    return {
        "id": request.id,
        **_content(request),
        "state": str(state(request, now)),
        "submitted_at": request.submitted_at.isoformat(),
        "decided_at": _time(request.decided_at),
        "decided_by": request.decided_by or None,
        "expires_at": _time(request.expires_at),
        "obligations": dict(request.obligations),
        "opinion": request.opinion or None,
        "ground": request.ground or None,
        "renews": request.renews or None,
        "data": f"{base}/data",
        "receipt": f"{base}/receipt",
    }


def receipt(parts: Parts, actor: Actor, request_id: str) -> bytes:
    """The signed receipt of what was last decided about a request, with its proof.

    Raises `NotFound` where the actor may not read it, and before anything is decided or logged.
    """
    seen(parts, actor, request_id)
    kinds = {str(one.kind) for one in MOVES.values()} - {str(Kind.REQUEST_EXPIRED)}
    wanted = Search(kinds=tuple(sorted(kinds)), topics=(f"about:{request_id}",))
    events = [one for one in parts.books.search(wanted, limit=1000) if one.body]
    found = [(msgspec.json.decode(one.body), one.index) for one in events]
    own = [(body, index) for body, index in found if body["about"] == request_id]
    body, index = own[-1] if own else ({}, None)
    if index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="Rien n’est décidé, ou le journal va le prendre : le reçu suivra.",
            en="Nothing is decided, or the log is about to take it in: the receipt follows.",
            who="person",
        )
    return parts.receipt(RECEIPT, body["facts"]["said"], index)


def _approve(
    parts: Parts, actor: Actor, request: DataRequest, decision: Decision, by: str
) -> DataRequest:
    now = parts.clock()
    approved = replace(
        request,
        state=State.APPROVED,
        decided_at=now,
        decided_by=by,
        expires_at=now + timedelta(days=request.days),
        obligations={k: v for k, v in decision.obligations.items() if k != "automatic"},
    )
    event = _event(parts, Kind.REQUEST_DECIDED, actor, approved, decision)
    approved = parts.books.change_request(approved, event=event)
    former = parts.books.request(request.renews) if request.renews else None
    if former is not None and state(former, now) is State.APPROVED:
        over = replace(former, state=State.RENEWED, epoch=former.epoch + 1)
        event = _event(parts, Kind.REQUEST_RENEWED, actor, over, decision, by=request.id)
        parts.books.change_request(over, event=event)
    return approved


def _check(parts: Parts, made: DataRequest) -> None:
    """Whether what is asked for is there to be asked for, and not asked for already."""
    if made.measure not in MEASURES:
        raise NotFound(
            "unknown-measure",
            fr="Aucun indicateur ne porte ce nom.",
            en="No measure has this name.",
            who="person",
            facts={"known": sorted(MEASURES)},
        )
    columns = {column.name for column in MEASURES[made.measure].columns}
    located = columns & {"area", "commune"}
    _listed(made.territory, (ALL, *(parts.territory.departments if located else ())), "territory")
    if "geography" not in columns:
        _listed(made.granularity, (ALL,), "granularity")
    known = {one.id for one in parts.books.organisations()}
    known |= {one.organisation for one in parts.books.accounts()} | {made.organisation}
    if not known.issuperset(made.recipients):
        raise Rejected(
            "recipient-unknown",
            fr="Un destinataire n’est pas une organisation connue du hub.",
            en="A recipient is no organisation the hub knows.",
            who="person",
            where="recipients",
        )
    same = (_content(made) | {"days": 0}, made.organisation)
    for one in parts.books.requests(made.organisation):
        if one.id == made.renews or state(one, made.submitted_at) not in _STANDING:
            continue
        if (_content(one) | {"days": 0}, one.organisation) == same:
            raise Conflict(
                "request-exists",
                fr="La même demande est déjà en cours ou accordée ; elle peut être renouvelée.",
                en="The same request is under way or approved already; it can be renewed.",
                who="person",
                facts={"request": one.id},
            )


def _follows(request: DataRequest, action: str, now: datetime) -> Move:
    step = MOVES[action]
    if state(request, now) not in step.after:
        raise request_moved()
    return step


def _may(parts: Parts, actor: Actor, action: str, request: DataRequest) -> Decision:
    return parts.require(RULE, actor, _question(parts, action, request), request=request.id)


def _question(
    parts: Parts, action: str, request: DataRequest, release: Release | None = None
) -> dict[str, Any]:
    handing_out = action in {"submit", "approve", "deliver"}
    if release is None and handing_out:
        release = release_for(parts, request)
    manifest: Mapping[str, Any] = release.manifest if release is not None else {}
    return {
        "action": action,
        # By its id too: else a second refusal of the same kind would only be counted.
        "request": {"id": request.id, **_content(request), "role": request.role},
        "release": {
            # What is not there yet is not known to be open.
            "open": bool(manifest.get("open", True)) if release is not None else False,
            "embargo_until": manifest.get("embargo_until"),
            **({"protections_asked": _protections(parts, request)} if handing_out else {}),
        },
        "now": int(parts.clock().timestamp()),
    }


def _protections(parts: Parts, request: DataRequest) -> list[str]:
    """The levels of protection asked for by now, and what was agreed to before."""
    known = MEASURES.get(request.measure)
    # What there is no measure of is refused later; until then it is held to the strictest.
    asked = [protections.PEOPLE]
    if known is not None:
        asked = protections.asked(parts, protections.terms(parts, known))
    agreed = request.obligations.get("protection")
    return sorted({*asked, agreed} if agreed else asked)


def _content(request: DataRequest) -> dict[str, Any]:
    return {
        "organisation": request.organisation,
        "measure": request.measure,
        "period": request.period,
        "purpose": request.purpose,
        "territory": request.territory,
        "granularity": request.granularity,
        "recipients": list(request.recipients),
        "partners": list(request.partners),
        "days": request.days,
    }


def _facts(request: DataRequest) -> dict[str, Any]:
    return {
        "request": request.id,
        "state": str(request.state),
        "purpose": request.purpose,
        "partner": list(request.partners),
    }


def _event(
    parts: Parts,
    kind: Kind,
    actor: Actor,
    request: DataRequest,
    decision: Decision,
    **more: str,
) -> AuditEvent:
    """The event of an act. It commits to two receipts: the policy's answer, and what became."""
    said = {
        "request": request.id,
        **_content(request),
        "state": str(request.state),
        "by": request.decided_by if kind is Kind.REQUEST_DECIDED else actor.role,
        "at": parts.clock().isoformat(),
        "expires_at": _time(request.expires_at),
        "obligations": dict(request.obligations),
        "opinion": request.opinion,
        "ground": request.ground,
        "rule": decision.rule,
        "input": decision.input_digest,
        "bundle": decision.bundle_digest,
    }
    facts = {**_facts(request), "said": said, **more}
    event = parts.decided(kind, actor, request.id, decision, facts)
    digests = [str(event.facts["receipt"]), receipts.digest(RECEIPT, said)]
    both = {"receipts": digests, "receipt": receipts.commitment(digests)}
    return replace(event, facts={**event.facts, **both})


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _listed(said: str, known: tuple[str, ...], where: str) -> None:
    if said not in known:
        raise Rejected(
            "not-in-the-list",
            fr=f"« {where} » : choisissez dans la liste ({', '.join(known)}).",
            en=f"“{where}”: choose from the list ({', '.join(known)}).",
            who="person",
            where=where,
        )


def _unknown() -> NotFound:
    return NotFound(
        "unknown-request",
        fr="Aucune demande ne porte ce numéro.",
        en="No request has this number.",
        who="person",
    )

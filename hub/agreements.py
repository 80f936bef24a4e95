"""Agreements: what a partner and the hub settle before a file may come in.

1. Either side proposes a version: controllers, purpose, lawful basis, recipients, dates, impact
   assessment, obligations. It changes nothing yet.
2. Each side signs for itself. The version both have signed takes the place of the one before.
3. Either side ends it. No earlier version revives, and the next push is refused.

An agreement signed on paper is recorded by the operator with its reference instead. Each step is
an event with the digest of the terms, so that nobody can say later that they read otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from hub.errors import Conflict, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.protections import PLAN
from hub.records import Agreement, Basis, Role, Side
from hub.settings import AgreementTerms
from hub.stages import ACTS
from hub.storage.books.organisations import ENDED, SIGNED

CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"


def propose(parts: Parts, actor: Actor, asked: Mapping[str, Any]) -> Agreement:
    """Put a version forward. Raises `Rejected` naming the first term that cannot stand.

    A `Conflict` "second-purpose" where a table would hold two purposes' pseudonyms.
    """
    try:
        terms = AgreementTerms.model_validate(dict(asked) | {"demo": parts.territory.demo})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(
            "agreement-invalid",
            fr=f"La convention est incorrecte à « {where} » : {first['msg']}.",
            en=f"The agreement is wrong at “{where}”: {first['msg']}.",
            who="partner",
            where=where,
        ) from error
    _, decision = _may(parts, actor, "propose", terms.partner)
    if f"{terms.partner}/{terms.dataset}" not in parts.datasets:
        raise NotFound(
            "unknown-dataset",
            fr="Ce partenaire n’a pas de jeu de données de ce nom.",
            en="This partner has no dataset of that name.",
            who="partner",
        )
    made = Agreement(terms.partner, terms.dataset, terms.purpose, Basis(terms.basis), terms.terms())
    _one_purpose(parts, made)
    event = parts.told(_event(parts, actor, made, "proposed"), decision)
    return parts.books.add_agreement(made, event=event)


def sign(parts: Parts, actor: Actor, number: int) -> Agreement:
    """Sign a version for the actor's own side. Raises `Conflict` "second-purpose"."""
    _one_purpose(parts, version(parts, actor, number))
    return _act(parts, actor, number, "sign", SIGNED)


def end(parts: Parts, actor: Actor, number: int) -> Agreement:
    """End a version for the actor's own side; it is over at once."""
    return _act(parts, actor, number, "end", ENDED)


def versions(parts: Parts, actor: Actor) -> list[Agreement]:
    """Every version the actor may read: a partner its own, those who watch over the hub all."""
    own = actor.organisation if actor.role == Role.PARTNER else None
    if own is not None:
        _may(parts, actor, "read", own)
        return parts.books.agreement_versions(own)
    _may(parts, actor, "read", "all")
    return parts.books.agreement_versions()


def version(parts: Parts, actor: Actor, number: int) -> Agreement:
    """One version. Another partner's is as unknown as one that is not there."""
    found = parts.books.agreement_version(number)
    if actor.role == Role.PARTNER and found.partner != actor.organisation:
        return parts.books.agreement_version(-1)
    _may(parts, actor, "read", found.partner)
    return found


def shown(agreement: Agreement) -> dict[str, Any]:
    """An agreement as JSON."""
    return {
        "number": agreement.number,
        "partner": agreement.partner,
        "dataset": agreement.dataset,
        "purpose": agreement.purpose,
        "basis": str(agreement.basis),
        "terms": dict(agreement.terms),
        "digest": digest(agreement),
        "signatures": {side: at.isoformat() for side, at in sorted(agreement.signatures.items())},
        "ended_at": agreement.ended_at.isoformat() if agreement.ended_at else None,
    }


def digest(agreement: Agreement) -> str:
    """SHA-256, in hex, of what is agreed: what each side signs."""
    said = {
        "partner": agreement.partner,
        "dataset": agreement.dataset,
        "purpose": agreement.purpose,
        "basis": str(agreement.basis),
        "terms": dict(agreement.terms),
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


def odrl(parts: Parts, agreement: Agreement) -> dict[str, Any]:
    """The agreement as an ODRL 2.2 policy in JSON-LD (W3C): what is permitted, forbidden, owed."""
    base = parts.settings.public_url
    address = f"{base}/v1/agreements/{agreement.number}"
    terms = agreement.terms
    obligations = terms.get("obligations") or {}
    target = f"{base}/v1/partners/{agreement.partner}/datasets/{agreement.dataset}"
    within = [_constraint("purpose", "eq", f"{base}/purposes#{agreement.purpose}")]
    if terms.get("territory"):
        within.append(_constraint("spatial", "eq", terms["territory"]))
    for name, operator in (("valid_from", "gteq"), ("valid_until", "lteq")):
        if terms.get(name):
            within.append(_constraint("dateTime", operator, terms[name]))
    asked = _constraint(f"{base}/methodology#protection", "gteq", terms.get("protection", PLAN))
    duties: list[dict[str, Any]] = [
        {"action": [{"rdf:value": {"@id": "odrl:anonymize"}, "refinement": [asked]}]},
        {"action": "attribute"},
    ]
    forbidden = [{"target": target, "action": "sell"}, {"target": target, "action": "reproduce"}]
    if obligations.get("no_join"):
        forbidden.append({"target": target, "action": "aggregate"})
    release: dict[str, Any] = {
        "target": target, "action": "distribute", "duty": duties, "constraint": list(within),
    }  # fmt: skip
    if obligations.get("embargo_until"):
        release["constraint"].append(_constraint("dateTime", "gteq", obligations["embargo_until"]))
    return {
        "@context": CONTEXT,
        "@type": "Agreement" if agreement.signed or terms.get("signed_off") else "Offer",
        "uid": address,
        # Terms that are ours alone: the operand that says how strictly releases are protected.
        "profile": f"{base}/methodology",
        "assigner": f"{base}/organisations#{agreement.partner}",
        "assignee": f"{base}/organisations#hub",
        "permission": [
            {"target": target, "action": "use", "constraint": within},
            release,
        ],
        "prohibition": forbidden,
    }


def _constraint(left: str, operator: str, right: str) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def _one_purpose(parts: Parts, asked: Agreement) -> None:
    """Refuse where a table would hold the pseudonyms of two purposes.

    Rows of a dataset about people have the pseudonyms of one purpose: while its agreement is in
    force, and afterwards while a table has rows under a key of it. A second purpose takes a dataset
    of its own, with tables of its own.
    """
    dataset = parts.datasets[f"{asked.partner}/{asked.dataset}"]
    if not dataset.subject or dataset.key in ACTS or asked.basis is Basis.NOT_PERSONAL:
        return
    in_force = {one.number for one in parts.books.agreements()}
    stored = {
        period
        for table in dataset.tables
        for period in parts.tables.periods(f"{dataset.key}/{table}")
    }
    for other in parts.books.agreement_versions(asked.partner):
        if other.dataset != asked.dataset or other.purpose == asked.purpose:
            continue
        if other.basis is Basis.NOT_PERSONAL:
            continue
        # One on paper has no signatures here; neither has a proposal that was taken back.
        was = other.signed or (other.ended_at is not None and not other.signatures)
        left = was and not stored.isdisjoint(parts.keyring.periods(other.purpose))
        if other.number in in_force or left:
            raise Conflict(
                "second-purpose",
                fr="Ce jeu de données personnelles sert déjà une autre finalité : une table ne "
                "tient pas les pseudonymes de deux finalités. Il faut un jeu de données à part.",
                en="This personal dataset serves another purpose already: no table holds two "
                "purposes' pseudonyms. It takes a dataset of its own.",
                who="partner",
                where="purpose",
            )


def _act(parts: Parts, actor: Actor, number: int, action: str, act: str) -> Agreement:
    found = version(parts, actor, number)
    side, decision = _may(parts, actor, action, found.partner)
    event = parts.told(_event(parts, actor, found, act, side), decision)
    return parts.books.act_on_agreement(number, side, act, actor.id, parts.clock(), event=event)


def _may(parts: Parts, actor: Actor, action: str, partner: str) -> tuple[Side, Decision]:
    side = Side.PARTNER if actor.role == Role.PARTNER else Side.HUB
    asked = {"action": action, "partner": partner, "side": str(side)}
    return side, parts.require("agreement", actor, asked)


def _event(
    parts: Parts, actor: Actor, agreement: Agreement, did: str, side: Side | None = None
) -> AuditEvent:
    kinds = {
        "proposed": Kind.AGREEMENT_PROPOSED,
        SIGNED: Kind.AGREEMENT_SIGNED,
        ENDED: Kind.AGREEMENT_ENDED,
    }
    return AuditEvent(
        kinds[did],
        actor.organisation,
        f"{agreement.partner}/{agreement.dataset}",
        parts.clock(),
        {
            "partner": agreement.partner,
            "dataset": f"{agreement.partner}/{agreement.dataset}",
            "purpose": agreement.purpose,
            "basis": str(agreement.basis),
            "version": agreement.number or None,
            "terms": digest(agreement),
            "side": str(side) if side else None,
        },
    )

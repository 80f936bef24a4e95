"""Grants: who allowed what, as the API and the command line record it.

A grant is kept by the keyed digest of the partner's reference, never by the reference. Someone who
withdrew is remembered by a refusal mark, which is not the digest and joins to no table, so that an
old consent sent once more cannot revive what its person ended: only a consent given *after* the
withdrawal counts.

A no from someone whose yes stands is a withdrawal, and is made one: it ends the grant and erases
the rows, whichever way the partner chose to say it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from consent import dpv, model, pseudonyms, purposes, records
from hub import consent_proofs, contributors, withdraw
from hub.audit import receipts
from hub.errors import Conflict, NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.policy.gate import Decision
from hub.records import Agreement, Contribution, Grant, Role
from hub.storage.books import ASKED_AGAIN, EXPIRED, GIVEN, REFUSED

AT_ONCE: Final = 1000
"""Grants of an import told of by one event: bounds the event's body and its tree of receipts."""
OWN_PAGE: Final = "the person's own page, by code and secret"
"""How a yes at 15 is collected where it does not come through the partner's app."""
COLUMNS: Final = ("reference", "purpose", "population", "birth_month", "given_at", "state")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person answered to one purpose, as it was collected.

    `birth` is a month, "YYYY-MM" or empty. Under 15 both halves are needed: `parent_at` and
    `parent_identified_by` (how, never who).
    """

    reference: str
    purpose: str
    population: str
    given_at: datetime
    birth: str = ""
    agreed: bool = True
    expires_at: datetime | None = None
    notice_version: str = ""
    language: str = "fr"
    collection_method: str = ""
    parent_at: datetime | None = None
    parent_identified_by: str = ""


Keep = Callable[[Grant, Sequence[Contribution], AuditEvent], object]
"""Writes a checked answer and its secrets with their event, in one transaction."""


def give(parts: Parts, actor: Actor, partner: str, asked: Asked, keep: Keep | None = None) -> Grant:
    """Record one answer. Raises `Rejected` naming why it cannot stand as consent.

    `keep` writes it in the books' place: together with the codes given for it.
    """
    decision = _allowed(parts, actor, partner, asked.purpose)
    try:
        subject = digest_of(parts, partner, asked.reference)
        grant = _grant(parts, partner, subject, asked)
    except model.ConsentError as error:
        raise Rejected(error.code, fr=error.fr, en=error.en, who="person") from error
    return _keep(parts, actor, grant, decision, keep)


def agree_again(parts: Parts, actor: Actor, former: Grant, language: str) -> Grant:
    """Record the yes of a person who was asked again at 15: a new grant, theirs alone.

    The month of birth is known from the former grant, and nobody is asked for it twice. Raises
    `Conflict` where nothing was asked, or silence has ended it meanwhile.
    """
    if former.state != ASKED_AGAIN:
        raise Conflict(
            "not-asked-again",
            fr="La question n’est plus posée : le délai est passé, ou tu as déjà répondu.",
            en="The question is no longer open: time is up, or you have answered already.",
            who="person",
        )
    decision = _allowed(parts, actor, former.partner, former.purpose, again=True)
    fifteen = model.Month.parse(str(former.evidence["fifteen"]))
    asked = Asked(
        reference="",
        purpose=former.purpose,
        population=former.population,
        given_at=parts.clock(),
        birth=str(fifteen.birthday(-15)),
        language=language,
        collection_method=OWN_PAGE,
    )
    try:
        grant = _grant(parts, former.partner, former.subject, asked)
    except model.ConsentError as error:
        raise Rejected(error.code, fr=error.fr, en=error.en, who="person") from error
    return _keep(parts, actor, grant, decision, None)


def _keep(parts: Parts, actor: Actor, grant: Grant, decision: Decision, keep: Keep | None) -> Grant:
    """Write a checked answer with its secret and its event, unless an end is younger.

    What a no ends goes first: killed in between, the no has its effect, and is sent again.
    """
    partner = grant.partner
    standing = _standing(parts, partner, [grant])
    if not standing:
        raise Rejected(
            "consent-older-than-withdrawal",
            fr="La personne a retiré son accord après cette date : il faut un nouvel accord.",
            en="The person withdrew after that date: a new consent is needed.",
            who="partner",
        )
    _end_what_stands(parts, actor, grant)
    (grant,) = _kept(parts, standing)
    secrets = contributors.secrets_of(parts, [grant])
    committed = receipt_facts(parts, grant, secrets[0] if secrets else None)
    now = parts.clock()
    event = AuditEvent(
        Kind.CONSENT_GIVEN,
        actor.organisation,
        grant.id,
        now,
        {
            "partner": partner,
            "purpose": grant.purpose,
            "state": grant.state,
            "commitments": [one.commitment.hex() for one in secrets],
            "policy": [decision.replayable()],
            "receipt": receipts.digest("consent", committed),
        },
    )
    if keep is None:
        parts.books.give([grant], secrets, event=event)
    else:
        keep(grant, secrets, event)
    return grant


def import_file(parts: Parts, actor: Actor, partner: str, path: Path) -> dict[str, Any]:
    """Record the answers of a CSV (`;`, columns `COLUMNS`, optional parental columns).

    Rows that cannot stand are counted by reason and position, and left out.
    """
    good: list[Grant] = []
    problems: Counter[str] = Counter()
    lines: dict[str, list[int]] = {}
    agreements = {name: parts.agreement_for(partner, name) for name in purposes.PURPOSES}
    for purpose, agreement in agreements.items():
        if agreement is not None:
            _allowed(parts, actor, partner, purpose)
    for line, row in _rows(path):
        try:
            asked = _asked(row)
            subject = digest_of(parts, partner, asked.reference)
            good.append(_grant(parts, partner, subject, asked, agreements))
        except model.ConsentError as error:
            problems[error.code] += 1
            lines.setdefault(error.code, []).append(line)
    standing = _standing(parts, partner, good)
    if standing:
        kept = _kept(parts, standing)
        (first, secrets, event), *further = [
            _imported(parts, actor, partner, kept[at : at + AT_ONCE], {} if at else problems)
            for at in range(0, len(kept), AT_ONCE)
        ]
        parts.books.give(first, secrets, event=event, further=further)
    for grant in standing:  # now that what the same file granted before is there, too
        _end_what_stands(parts, actor, grant)
    states = Counter(grant.state for grant in standing)
    return {
        "given": states["given"],
        "refused": states["refused"],
        "older_than_withdrawal": len(good) - len(standing),
        "rejected": dict(problems),
        "lines": {code: where[:20] for code, where in lines.items()},
    }


def _imported(
    parts: Parts, actor: Actor, partner: str, some: Sequence[Grant], rejected: Mapping[str, int]
) -> tuple[Sequence[Grant], Sequence[Contribution], AuditEvent]:
    """Some grants of an import with their secrets, and the event that commits to their receipts."""
    secrets = contributors.secrets_of(parts, some)
    by_grant = {secret.grant: secret for secret in secrets}
    digests = [
        receipts.digest("consent", receipt_facts(parts, grant, by_grant.get(grant.id)))
        for grant in some
    ]
    facts = {
        "grants": len(some),
        "rejected": dict(rejected),
        "receipts": digests,
        "receipt": receipts.commitment(digests),
    }
    event = AuditEvent(Kind.CONSENT_IMPORTED, actor.organisation, partner, parts.clock(), facts)
    return some, secrets, event


def receipt(parts: Parts, grant: Grant) -> bytes:
    """The signed receipt of a grant. Raises `NotFound` before the log has taken it in.

    With its proof while the grant stands as it was given; once it has ended, the withdrawal's
    receipt has one.
    """
    if grant.log_index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="L’accord est enregistré ; le reçu suivra dans un instant.",
            en="The consent is recorded; the receipt follows in a moment.",
            who="person",
        )
    if grant.ended_at is not None or grant.state == ASKED_AGAIN:
        return receipts.issue("consent", shown(grant), parts.log.signer)
    facts = receipt_facts(parts, grant, parts.books.contribution(grant.id))
    return parts.receipt("consent", facts, grant.log_index)


def receipt_facts(parts: Parts, grant: Grant, contribution: Contribution | None) -> dict[str, Any]:
    """What the receipt of a grant that stands says: the grant, and its secret (to nobody else)."""
    return shown(grant) | contributors.facts(parts, contribution)


def shown(grant: Grant) -> dict[str, Any]:
    """A grant as JSON; names nobody."""
    return {
        "id": grant.id,
        "partner": grant.partner,
        "purpose": grant.purpose,
        "state": grant.state,
        "population": grant.population,
        "notice_version": grant.notice_version,
        # In UTC, as the books give it back: a receipt says the same before and after.
        "given_at": grant.given_at.astimezone(UTC).isoformat(),
        "expires_at": grant.expires_at.astimezone(UTC).isoformat() if grant.expires_at else None,
        "ended_at": grant.ended_at.isoformat() if grant.ended_at else None,
        "record": dict(grant.evidence),
        "log_index": grant.log_index,
    }


def linked(parts: Parts, grant: Grant) -> dict[str, Any]:
    """The record of a grant as linked data (JSON-LD, W3C DPV), with what came of it since."""
    record = consent_proofs.told(parts, grant)
    if grant.ended_at is None and grant.expires_at and grant.expires_at <= parts.clock():
        record = records.ended(record, EXPIRED, grant.expires_at)
    return dpv.jsonld(record, f"{parts.settings.public_url}/v1/consents/{grant.id}")


def found(parts: Parts, grant_id: str) -> Grant:
    """The answer of that number. Raises `NotFound`, also for what a withdrawal left behind."""
    grant = parts.books.grant(grant_id)
    if grant is None or not grant.answered:
        raise unknown_grant()
    return grant


def unknown_grant() -> NotFound:
    """The answer for a grant that is not there, or not the caller's to know of."""
    return NotFound(
        "unknown-consent",
        fr="Aucun accord ne porte ce numéro.",
        en="No consent has this number.",
        who="person",
    )


def _allowed(
    parts: Parts, actor: Actor, partner: str, purpose: str, *, again: bool = False
) -> Decision:
    """Ask the policy. `again`: the person answers on their own page, because they were asked."""
    agreement = parts.agreement_for(partner, purpose)
    return parts.require(
        "consent",
        actor,
        {
            "partner": partner,
            "purpose": purpose,
            "purpose_known": purpose in purposes.PURPOSES,
            "agreement": parts.agreement_facts(partner, agreement.dataset) if agreement else None,
            **({"again": True} if again else {}),
        },
    )


def _grant(
    parts: Parts,
    partner: str,
    subject: bytes,
    asked: Asked,
    agreements: Mapping[str, Agreement | None] | None = None,
) -> Grant:
    """Check an answer. `agreements` are the partner's by purpose. Raises `ConsentError`."""
    now = parts.clock()
    agreement = (
        parts.agreement_for(partner, asked.purpose)
        if agreements is None
        else agreements.get(asked.purpose)
    )
    known = purposes.PURPOSES.get(asked.purpose)
    version = asked.notice_version or (known.notice_version if known else "")
    parent = (
        model.ParentalHalf(asked.parent_at, asked.parent_identified_by) if asked.parent_at else None
    )
    grant_id = parts.new_id(now)
    state, evidence, given_at, expires_at = REFUSED, {}, asked.given_at, None
    events = records.refused(asked.given_at, grant_id)
    if asked.agreed:
        granted = model.check_grant(
            purpose=asked.purpose,
            notice_version=version,
            population=asked.population,
            given_at=asked.given_at,
            expires_at=asked.expires_at,
            birth=model.Month.parse(asked.birth) if asked.birth else None,
            parent=parent,
            now=now,
        )
        state, given_at, expires_at = GIVEN, granted.starts_at, granted.expires_at
        evidence = granted.evidence()
        events = records.given(granted, grant_id)
    else:
        model.check_refusal(
            purpose=asked.purpose,
            notice_version=version,
            population=asked.population,
            given_at=asked.given_at,
            now=now,
        )
    evidence |= records.record(
        record_id=grant_id,
        purpose=asked.purpose,
        notice_version=version,
        language=asked.language,
        events=events,
        parties=_parties(parts, partner, agreement),
        hosting_country=str(agreement.terms.get("hosting_country", "FR")) if agreement else "FR",
        collection_method=asked.collection_method,
    )
    return Grant(
        id=grant_id,
        partner=partner,
        purpose=asked.purpose,
        subject=subject,
        state=state,
        population=asked.population,
        given_at=given_at,
        expires_at=expires_at,
        notice_version=version,
        evidence=evidence,
    )


def _parties(parts: Parts, partner: str, agreement: Agreement | None) -> Iterable[records.Party]:
    """Whom the agreement names, as the territory describes them, and who collected the answer."""
    terms = agreement.terms if agreement else {}
    described = {party.name: party for party in parts.territory.parties}
    roles = {"controller": terms.get("controllers", ()), "processor": terms.get("processors", ())}
    for role, names in roles.items():
        for name in names:
            if (party := described.get(name)) is not None:
                yield records.Party(
                    party.id, party.name, role, party.address, party.contact, party.kind
                )
    for party in parts.territory.parties:
        if party.id == partner:
            yield records.Party(
                f"{party.id}-collector", party.name, "collector",
                party.address, party.contact, party.kind,
            )  # fmt: skip


def _standing(parts: Parts, partner: str, grants: Sequence[Grant]) -> list[Grant]:
    """Leave out answers older than a withdrawal of the same person and purpose."""
    marks = parts.refusal_marks([grant.subject for grant in grants])
    ended: dict[tuple[str, bytes], datetime] = {}
    for purpose in {grant.purpose for grant in grants}:
        for mark, at in parts.books.refusals(partner, purpose):
            key = (purpose, mark)
            ended[key] = max(at, ended.get(key, at))
    return [
        grant
        for grant, mark in zip(grants, marks, strict=True)
        if (end := ended.get((grant.purpose, mark))) is None or grant.given_at > end
    ]


def _kept(parts: Parts, answers: Sequence[Grant]) -> list[Grant]:
    """Answers as the books keep them: of who says no the mark, as of who leaves.

    It is all that is needed to refuse an older yes, and it joins to no table.
    """
    marks = parts.refusal_marks([answer.subject for answer in answers])
    return [
        replace(answer, subject=mark) if answer.state == REFUSED else answer
        for answer, mark in zip(answers, marks, strict=True)
    ]


def _end_what_stands(parts: Parts, actor: Actor, answer: Grant) -> None:
    """Withdraw what a person had allowed before they said no to it; nothing for another answer."""
    if answer.state != REFUSED:
        return
    before = [
        grant
        for grant in parts.books.grants_of(answer.subject, answer.purpose)
        if grant.partner == answer.partner
        and grant.state in {GIVEN, ASKED_AGAIN}
        and grant.given_at <= answer.given_at
    ]
    if before:
        via = "partner" if actor.role == Role.PARTNER else "cli"
        withdraw.withdraw(parts, actor, answer.partner, answer.subject, answer.purpose, via=via)


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=";")
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise Rejected(
                    "missing-column",
                    fr=f"Il manque la colonne « {missing[0]} » au fichier des accords.",
                    en=f"The consents file lacks the column “{missing[0]}”.",
                    who="partner",
                    where=missing[0],
                )
            yield from ((reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Rejected(
            "file-unreadable",
            fr="Le fichier des accords ne peut être lu (CSV, UTF-8, séparateur « ; »).",
            en="The consents file cannot be read (CSV, UTF-8, separator “;”).",
            who="partner",
        ) from error


def _asked(row: dict[str, str]) -> Asked:
    return Asked(
        reference=_text(row, "reference"),
        purpose=_text(row, "purpose"),
        population=_text(row, "population"),
        given_at=_time(_text(row, "given_at")),
        birth=_text(row, "birth_month"),
        agreed=_agreed(_text(row, "state")),
        parent_at=_time(text) if (text := _text(row, "parent_given_at")) else None,
        parent_identified_by=_text(row, "parent_identified_by"),
    )


def _agreed(said: str) -> bool:
    if said not in {GIVEN, REFUSED}:
        raise model.ConsentError("answer-unknown")
    return said == GIVEN


def _text(row: dict[str, str], column: str) -> str:
    return (row.get(column) or "").strip()


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise model.ConsentError("time-without-zone") from error


def digest_of(parts: Parts, partner: str, reference: str) -> bytes:
    """The keyed digest a partner's reference stands for."""
    return pseudonyms.digest(parts.keyring.digest_key, partner, reference)

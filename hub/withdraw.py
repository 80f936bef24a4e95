"""Withdraw: a consent ended, or an objection raised, with effect.

`withdraw`, at once and in one transaction:

1. The policy says whether this actor may end this person's consent.
2. The grants end, the withdrawal is recorded with its event and its job. From here on the gate
   refuses the person: a push asks the gate under the table's writer lease, so whatever it appends
   after this moment is without them.

`complete`, in a worker; every step may be killed and is then done again:

3. For each personal table of the ended purposes, under its writer lease: the person's pseudonym in
   every period whose key lives, and the rewrite of just those buckets without their rows.
   Rewriting names a bucket, never a pseudonym, because a table's log keeps what it is told.
4. The older versions, orphans, log entries and checkpoints that still held the rows are purged.
5. Rows set aside for the person are dropped.
6. One transaction records completion and its event, and takes the digest out of ended grants: a
   refusal mark stays, so that an old consent pushed again is not believed. An objection keeps its
   digest, which is what refuses the next tap.
7. The books are compacted, so that no deleted page keeps the digest.
8. The log takes the event in; from then on the receipt says where it stands.

Published releases stay: a release recomputed because one person left would, beside the old one,
be that person. Releases opened later are computed without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from consent import pseudonyms, purposes
from hub.audit import receipts
from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.records import Agreement, Basis, Withdrawal
from hub.stages import ACTS
from hub.storage.states import commit, state


def withdraw(
    parts: Parts,
    actor: Actor,
    partner: str,
    subject: bytes,
    purpose: str | None = None,
    *,
    via: str,
) -> Withdrawal:
    """End a person's consent, or record an objection, at one partner. Steps 1 and 2.

    `subject` is the keyed digest of the partner's reference. Answers the same whether or not
    anything was known about the person. `purpose` None ends them all.
    """
    parts.require("withdraw", actor, {"partner": partner, "via": via})  # 1
    if purpose is not None and purpose not in purposes.PURPOSES:
        raise Rejected(
            "unknown-purpose",
            fr="Cette finalité n’existe pas ; la liste est sur la page des finalités.",
            en="There is no such purpose; the purposes page lists them.",
            who="person",
        )
    agreements = _personal(parts, partner, [purpose] if purpose else list(purposes.PURPOSES))
    if not agreements:
        raise NotFound(
            "nothing-personal",
            fr="Ce partenaire ne confie au hub aucune donnée personnelle.",
            en="This partner entrusts no personal data to the hub.",
            who="person",
        )
    now = parts.clock()
    ended = tuple(sorted({agreement.purpose for agreement in agreements}))
    withdrawal = Withdrawal(
        id=parts.new_id(now),
        partner=partner,
        subject=subject,
        purposes=ended,
        requested_at=now,
    )
    objects = any(agreement.basis is Basis.PUBLIC_TASK for agreement in agreements)
    event = AuditEvent(
        Kind.OBJECTION_RECORDED if objects else Kind.CONSENT_WITHDRAWN,
        actor.organisation,
        withdrawal.id,
        now,
        {"partner": partner, "purposes": list(ended), "via": via},
    )
    return parts.books.withdraw(withdrawal, event=event)  # 2


def complete(parts: Parts, withdrawal_id: str) -> Withdrawal:
    """Make the withdrawal true of every table. Steps 3 to 8; safe to run again."""
    withdrawal = parts.books.withdrawal(withdrawal_id)
    if withdrawal is None:
        raise unknown_withdrawal()
    if withdrawal.completed_at is None:
        tables: dict[str, dict[str, int]] = {}
        commits: dict[str, Any] = {}
        objects = False
        for agreement in _personal(parts, withdrawal.partner, withdrawal.purposes):
            objects |= agreement.basis is Basis.PUBLIC_TASK
            dataset = parts.datasets[f"{agreement.partner}/{agreement.dataset}"]
            gone = {
                period: [
                    pseudonyms.pseudonym(
                        parts.keyring.period_key(agreement.purpose, period), withdrawal.subject
                    )
                ]
                for period in parts.keyring.periods(agreement.purpose)
            }
            with parts.holding_tables(dataset.key):
                for table in dataset.tables:
                    name = f"{dataset.key}/{table}"
                    before = state(parts.tables, name)
                    rewritten = parts.tables.rewrite(name, gone) > 0  # 3
                    parts.tables.purge(name)  # 4
                    after = state(parts.tables, name)
                    tables[name] = {"version": after.version}
                    # Nothing rewritten: perhaps because a run before this one died after doing it.
                    commits[name] = commit(before, after, after.version, 0) | {
                        "before": before.digest if rewritten else None
                    }
        now = parts.clock()
        parts.books.drop_set_aside(  # 5
            subject_digest=withdrawal.subject,
            event=AuditEvent(
                Kind.QUARANTINE_DROPPED,
                WORKER.organisation,
                withdrawal.id,
                now,
                {"because": "withdrawal"},
            ),
        )
        subject = withdrawal.subject
        mark = subject if objects else parts.refusal_marks([subject])[0]
        completed = replace(withdrawal, subject=mark, completed_at=now, tables=tables)
        parts.books.complete_withdrawal(  # 6
            completed,
            event=AuditEvent(
                Kind.WITHDRAWAL_COMPLETED,
                WORKER.organisation,
                withdrawal.id,
                now,
                {
                    "purposes": list(withdrawal.purposes),
                    "tables": tables,
                    "commits": commits,
                    "receipt": receipts.digest("withdrawal", receipt_facts(parts, completed)),
                },
            ),
        )
    parts.books.compact()  # 7
    parts.sequence()  # 8
    return parts.books.withdrawal(withdrawal_id) or withdrawal


def receipt(parts: Parts, withdrawal: Withdrawal) -> bytes:
    """The signed receipt of a completed withdrawal. Raises `NotFound` before it is complete."""
    if withdrawal.completed_at is None or withdrawal.log_index is None:
        raise NotFound(
            "receipt-not-ready",
            fr="Le retrait est pris en compte et l’effacement est en cours ; le reçu suivra.",
            en="The withdrawal stands and the erasure is under way; the receipt follows.",
            who="person",
        )
    return parts.receipt("withdrawal", receipt_facts(parts, withdrawal), withdrawal.log_index)


def receipt_facts(parts: Parts, withdrawal: Withdrawal) -> dict[str, Any]:
    """What the receipt says: the withdrawal, and by their commitments the grants it ended.

    Where it found none, random ones stand in for them: both look the same to whoever has no secret.
    """
    ended = parts.books.ended_by(withdrawal.id)
    if not ended:  # asked for before grants had secrets
        return shown(withdrawal)
    named = {purpose: [one.hex() for one in ones] for purpose, ones in ended.items()}
    return shown(withdrawal) | {"ended": named}


def shown(withdrawal: Withdrawal) -> dict[str, Any]:
    """A withdrawal as JSON: what ended, when, and how far; never whose."""
    completed = withdrawal.completed_at
    return {
        "id": withdrawal.id,
        "partner": withdrawal.partner,
        "purposes": list(withdrawal.purposes),
        "requested_at": withdrawal.requested_at.isoformat(),
        "state": "completed" if completed else "under_way",
        "completed_at": completed.isoformat() if completed else None,
        "tables": {name: dict(done) for name, done in withdrawal.tables.items()},
        "log_index": withdrawal.log_index,
    }


def unknown_withdrawal() -> NotFound:
    """The answer for a withdrawal that is not there, or not the caller's to know of."""
    return NotFound(
        "unknown-withdrawal",
        fr="Aucun retrait ne porte ce numéro.",
        en="No withdrawal has this number.",
        who="person",
    )


def _personal(parts: Parts, partner: str, ended: Sequence[str]) -> list[Agreement]:
    """The partner's agreements on rows about people, for the ended purposes."""
    return [
        agreement
        for agreement in parts.books.agreements()
        if agreement.partner == partner
        and agreement.purpose in ended
        and agreement.basis is not Basis.NOT_PERSONAL
        and f"{partner}/{agreement.dataset}" not in ACTS
    ]

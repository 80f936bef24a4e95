"""Withdraw: a consent ended, or an objection raised, with effect.

`withdraw`, at once and in one transaction:

1. The policy says whether this actor may end this person's consent.
2. The withdrawal is written into the journal beside the back-ups, if there are any: a back-up that
   is restored must not bring back who left since. Then the grants end, and the withdrawal is
   recorded with its event, its deadline and its job. From here on the gate refuses the person: a
   push asks the gate under the table's writer lease, so whatever it appends after this moment is
   without them.

`complete`, in a worker; every step may be killed and is then done again. However many withdrawals
wait, they are made true together, each table rewritten once:

3. For each personal table of the ended purposes, under its writer lease: the pseudonyms of those
   who leave in every period whose key lives, and the rewrite of just their buckets or leaves.
   Rewriting names a bucket, never a pseudonym, because a table's log keeps what it is told.
4. The older versions, orphans, log entries and checkpoints that still held the rows are purged,
   and the rewrite is recorded (`upkeep`).
5. Rows set aside for them are dropped.
6. One transaction records the completions, seals how the ended consents were collected for the
   officer (`consent_proofs`), and takes the digests out of ended grants: a refusal mark stays, so
   that an old consent pushed again is not believed. An objection keeps its digest, which is what
   refuses the next tap. An event tells of up to `TOGETHER` completions and commits to their
   receipts, each of which is proved alone.
7. The books are compacted, so that no deleted page keeps a digest. The job that came here ends
   only after this; those of the others ended in step 6.
8. The log takes the events in; from then on each receipt says where it stands.

Published releases stay: a release recomputed because one person left would, beside the old one,
be that person. Releases opened later are computed without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa

from consent import pseudonyms, purposes
from hub import consent_proofs, journal, upkeep
from hub.audit import receipts
from hub.errors import NotFound, Rejected, Unavailable
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.records import Agreement, Basis, ConsentProof, Erasure, Withdrawal

MOST: Final = 10_000
"""Withdrawals made true together; more wait for the next time."""
TOGETHER: Final = 64
"""Completions in one event, and the receipts it commits to where there is more than one."""

Ended = Mapping[str, Sequence[bytes]]
"""Commitments of the grants a withdrawal ended, by purpose."""


def withdraw(
    parts: Parts,
    actor: Actor,
    partner: str,
    subject: bytes,
    purpose: str | None = None,
    *,
    via: str,
    by: str = "",
) -> Withdrawal:
    """End a person's consent, or record an objection, at one partner. Steps 1 and 2.

    `subject` is the keyed digest of the partner's reference. Answers the same whether or not
    anything was known about the person. `purpose` None ends them all. `by`: the parent, where
    the code of theirs asks. Raises `ValueError` for a mark: its rows are gone, and nobody could
    complete it.
    """
    if len(subject) != pseudonyms.DIGEST_BYTES:
        raise ValueError("a withdrawal is of a digest")
    decision = parts.require("withdraw", actor, {"partner": partner, "via": via})  # 1
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
        due_at=now + timedelta(hours=parts.settings.withdrawal_hours),
        by=by,
    )
    objects = any(agreement.basis is Basis.PUBLIC_TASK for agreement in agreements)
    event = AuditEvent(
        Kind.OBJECTION_RECORDED if objects else Kind.CONSENT_WITHDRAWN,
        actor.organisation,
        withdrawal.id,
        now,
        {"partner": partner, "purposes": list(ended), "via": via},
    )
    journal.note(parts, withdrawal)  # 2
    return parts.books.withdraw(withdrawal, event=parts.told(event, decision))


def complete(parts: Parts, withdrawal_id: str) -> Withdrawal:
    """Make the withdrawal, and all that wait, true of every table. Steps 3 to 8."""
    withdrawal = _known(parts, withdrawal_id)
    if withdrawal.completed_at is None:
        with parts.holding_withdrawals():
            waiting = parts.books.pending_withdrawals(MOST)
            others = [one for one in waiting if one.id != withdrawal_id]
            # Another worker may have completed it while this one waited for the lease.
            if _known(parts, withdrawal_id).completed_at is None:
                _complete(parts, [withdrawal, *others])
    parts.books.compact()  # 7
    parts.sequence()  # 8
    return _known(parts, withdrawal_id)


def _complete(parts: Parts, batch: Sequence[Withdrawal]) -> None:
    """Steps 3 to 6 for a batch, whose first keeps its job."""
    ids = [withdrawal.id for withdrawal in batch]
    parts.books.advance_withdrawals(ids, Erasure.ERASING)
    versions: dict[str, int] = {}
    tables: dict[tuple[str, str], list[str]] = {}
    objections: set[tuple[str, str]] = set()
    leaving: dict[str, list[tuple[str, pa.Array]]] = {}
    for partner in sorted({withdrawal.partner for withdrawal in batch}):
        for agreement in _personal(parts, partner, list(purposes.PURPOSES)):
            about = (partner, agreement.purpose)
            theirs = (one for one in batch if one.partner == partner)
            gone = [one.subject for one in theirs if agreement.purpose in one.purposes]
            if not gone:
                continue
            if agreement.basis is Basis.PUBLIC_TASK:
                objections.add(about)
            key = f"{partner}/{agreement.dataset}"
            tables.setdefault(about, []).append(key)
            leaving.setdefault(key, []).append((agreement.purpose, pa.array(gone, pa.binary())))
    for key, groups in sorted(leaving.items()):
        with parts.holding_tables(key):
            gone_by_period = _pseudonyms(parts, groups)
            for table in parts.datasets[key].tables:
                name = f"{key}/{table}"
                after, _ = upkeep.rewrite(  # 3, 4
                    parts,
                    name,
                    "withdrawals",
                    lambda name=name, gone=gone_by_period: parts.tables.rewrite(name, gone),  # type: ignore[misc]
                )
                versions[name] = after.version
    parts.books.advance_withdrawals(ids, Erasure.ERASED)
    until = parts.books.backups_until()
    completed_at = parts.clock()
    marks = parts.refusal_marks([withdrawal.subject for withdrawal in batch])
    ended = parts.books.ended_by(ids)
    proofs = _proofs(parts, batch)
    done: list[Withdrawal] = []
    for withdrawal, mark in zip(batch, marks, strict=True):
        abouts = [(withdrawal.partner, purpose) for purpose in withdrawal.purposes]
        keys = {key for about in abouts for key in tables.get(about, ())}
        objects = not objections.isdisjoint(abouts)
        done.append(
            replace(
                withdrawal,
                subject=withdrawal.subject if objects else mark,
                completed_at=completed_at,
                tables={
                    name: {"version": version}
                    for name, version in versions.items()
                    if name.rpartition("/")[0] in keys
                },
                backups_until=until,
                state=Erasure.COMPLETED,
            )
        )
    with parts.books.together():
        _drop_set_aside(parts, batch)  # 5
        for start in range(0, len(done), TOGETHER):  # 6
            some = done[start : start + TOGETHER]
            told = [
                proof
                for one in batch[start : start + TOGETHER]
                for purpose in one.purposes
                for proof in proofs.pop((one.partner, one.subject, purpose), ())
            ]
            event = _completed(parts, some, ended, told)
            parts.books.complete_withdrawals(some, batch[0].id, told, event=event)


def _pseudonyms(parts: Parts, groups: Sequence[tuple[str, pa.Array]]) -> dict[str, list[bytes]]:
    """The pseudonyms of people, given by purpose, in every period whose key lives."""
    gone: dict[str, list[bytes]] = {}
    for purpose, subjects in groups:
        for period in parts.keyring.periods(purpose):
            key = parts.keyring.period_key(purpose, period)
            gone.setdefault(period, []).extend(pseudonyms.pseudonyms(key, subjects).to_pylist())
    return gone


def _drop_set_aside(parts: Parts, batch: Sequence[Withdrawal]) -> None:
    """Step 5."""
    for start in range(0, len(batch), 1_000):
        some = batch[start : start + 1_000]
        parts.books.drop_set_aside(
            subjects=[withdrawal.subject for withdrawal in some],
            event=AuditEvent(
                Kind.QUARANTINE_DROPPED,
                WORKER.organisation,
                some[0].id,
                parts.clock(),
                {"because": "withdrawal"},
            ),
        )


def _proofs(
    parts: Parts, batch: Sequence[Withdrawal]
) -> dict[tuple[str, bytes, str], list[ConsentProof]]:
    """How the consents that ended were collected, sealed, by partner, person and purpose."""
    over = parts.books.unproved([withdrawal.subject for withdrawal in batch])
    sealed = {proof.grant: proof for proof in consent_proofs.sealed(parts, over)}
    found: dict[tuple[str, bytes, str], list[ConsentProof]] = {}
    for grant in over:
        if grant.id in sealed:
            about = (grant.partner, grant.subject, grant.purpose)
            found.setdefault(about, []).append(sealed[grant.id])
    return found


def _completed(
    parts: Parts,
    some: Sequence[Withdrawal],
    ended: Mapping[str, Ended],
    proofs: Sequence[ConsentProof],
) -> AuditEvent:
    """The event of some completions; it is about the first and found by each.

    Random digests fill up the receipts it commits to, and their order says nothing: who holds one
    of them cannot tell from its proof how many left together.
    """
    digests = [receipts.digest("withdrawal", _facts(one, ended.get(one.id, {}))) for one in some]
    receipt: dict[str, Any] = {"receipt": digests[0]}
    if len(digests) > 1:
        filled = sorted([*digests, *(parts.token(32) for _ in range(TOGETHER - len(digests)))])
        receipt = {"receipts": filled, "receipt": receipts.commitment(filled)}
    return AuditEvent(
        Kind.WITHDRAWAL_COMPLETED,
        WORKER.organisation,
        some[0].id,
        parts.clock(),
        {
            "purposes": sorted({purpose for one in some for purpose in one.purposes}),
            "tables": {name: told for one in some for name, told in one.tables.items()},
            **receipt,
            **({"proofs": consent_proofs.digests(proofs)} if proofs else {}),
        },
    )


def overdue(parts: Parts) -> list[Withdrawal]:
    """Withdrawals that are not complete though their deadline has passed, oldest first."""
    now = parts.clock()
    waiting = parts.books.pending_withdrawals(MOST)
    return [one for one in waiting if one.due_at is not None and one.due_at <= now]


def check_in_time(parts: Parts) -> None:
    """Raise `Unavailable` naming the first withdrawal that is overdue, and how many there are."""
    late = overdue(parts)
    if late:
        raise Unavailable(
            "withdrawal-overdue",
            fr=f"{len(late)} retrait(s) en retard ; le premier : {late[0].id}. "
            "Le processus de traitement doit tourner.",
            en=f"{len(late)} withdrawal(s) overdue, the first: {late[0].id}. "
            "The worker has to run.",
            who="operator",
            where=late[0].id,
        )


def _known(parts: Parts, withdrawal_id: str) -> Withdrawal:
    withdrawal = parts.books.withdrawal(withdrawal_id)
    if withdrawal is None:
        raise unknown_withdrawal()
    return withdrawal


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
    return _facts(withdrawal, parts.books.ended_by([withdrawal.id]).get(withdrawal.id, {}))


def _facts(withdrawal: Withdrawal, ended: Ended) -> dict[str, Any]:
    if not ended:  # asked for before grants had secrets
        return shown(withdrawal)
    named = {purpose: [one.hex() for one in ones] for purpose, ones in ended.items()}
    return shown(withdrawal) | {"ended": named}


def shown(withdrawal: Withdrawal) -> dict[str, Any]:
    """A withdrawal as JSON: what ended, when, and how far; never whose."""
    completed, until = withdrawal.completed_at, withdrawal.backups_until
    return {
        "id": withdrawal.id,
        "partner": withdrawal.partner,
        "purposes": list(withdrawal.purposes),
        "requested_at": withdrawal.requested_at.isoformat(),
        "due_at": withdrawal.due_at.isoformat() if withdrawal.due_at else None,
        "state": str(withdrawal.state),
        "completed_at": completed.isoformat() if completed else None,
        "tables": {name: dict(done) for name, done in withdrawal.tables.items()},
        "backups_expire_at": until.isoformat() if until else None,
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
    """The partner's agreements on rows about people, for the ended purposes, ended or not.

    What came in under an agreement is still there when it is over, or says otherwise by now.
    """
    about_people = {dataset.name for dataset in parts.personal() if dataset.partner == partner}
    return [
        agreement
        for agreement in parts.books.concluded()
        if agreement.partner == partner
        and agreement.purpose in ended
        and agreement.dataset in about_people
    ]

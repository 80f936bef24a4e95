"""Grants and their end.

One rule decides who stands where: of a person's acts for one purpose at one partner (a grant, a
refusal, an objection), the latest counts, and of two at the same instant the refusal. A withdrawal
therefore does the same whatever it finds: it ends every grant there is and records a refusal. An
old consent that is sent once more is older than that refusal and changes nothing; a new one is
younger and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Table,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from consent import gate
from hub.errors import Conflict, NotFound
from hub.events import AuditEvent
from hub.records import Basis, ConsentProof, Contribution, Erasure, Grant, Withdrawal
from hub.storage.books import consent_proofs, contributions
from hub.storage.books.desk import Desk
from hub.storage.books.jobs import WITHDRAWAL, fulfil, promise
from hub.storage.books.organisations import CONCLUDED
from hub.storage.books.schema import consent_proofs as consent_proofs_table
from hub.storage.books.schema import erasures, event_places, grants, links, withdrawals
from hub.storage.books.standing import (
    ASKED_AGAIN,
    EXPIRED,
    GIVEN,
    OBJECTED,
    REFUSED,
    SAYS_NO,
    WITHDRAWN,
    Standings,
    is_one_of,
)

BY: Final = "by"
"""In the evidence of what a withdrawal left behind: which half of a joint consent asked."""
_AT_ONCE: Final = 500

Given = tuple[Sequence[Grant], Sequence[Contribution], AuditEvent]
"""Grants, their secrets and the event that tells of them."""


class Grants(Desk):
    """Who allowed what, by keyed digest."""

    def __init__(self, engine: Engine, randomness: Callable[[int], bytes]) -> None:
        super().__init__(engine, randomness)
        self._standings = Standings()

    def give(
        self,
        given: Sequence[Grant],
        secrets: Sequence[Contribution] = (),
        *,
        event: AuditEvent,
        further: Sequence[Given] = (),
    ) -> list[Grant]:
        """Record grants (or objections) and their secrets, all or none, under one event.

        `further` grants have events of their own, in the same transaction: an event says of each
        grant what it became, and shall not become too large. A `Conflict` where an id is taken.
        An empty sequence is no act and leaves no event.
        """
        if not given:
            return []
        with self._change() as connection:
            for some, theirs, said in [(given, secrets, event), *further]:
                with self._logging(connection, said) as sequence:
                    values = [grant_values(grant, sequence) for grant in some]
                    connection.execute(insert(grants), values)
                    contributions.keep(connection, theirs, sequence)
        return [*given, *(grant for some, _, _ in further for grant in some)]

    def grant(self, grant_id: str) -> Grant | None:
        """One grant; `log_index` is the place of the event that gave it."""
        with self._read() as connection:
            row = connection.execute(grant_query().where(grants.c.id == grant_id)).first()
        return None if row is None else grant_of(row)

    def grants_of(self, subject: bytes, purpose: str | None = None) -> list[Grant]:
        """A person's grants, refusals and objections, oldest first."""
        query = grant_query().where(grants.c.subject == subject)
        if purpose is not None:
            query = query.where(grants.c.purpose == purpose)
        with self._read() as connection:
            rows = connection.execute(query.order_by(grants.c.given_at, grants.c.number))
            return [grant_of(row) for row in rows]

    def standing(self, partner: str, purpose: str, now: datetime) -> gate.Standing:
        """Everyone's standing at `now`: who granted, in which population, and who is against.

        Each digest appears once, on one side. What is told may be told to several: see `Standings`.
        """
        with self._read() as connection:
            return self._standings.ask(connection, partner, purpose, now)

    def keep_up(self, now: datetime) -> None:
        """Have the standings that were asked for ready as they are at `now`."""
        with self._read() as connection:
            self._standings.keep_up(connection, now)

    def refusals(self, partner: str, purpose: str) -> list[tuple[bytes, datetime]]:
        """Refusals and objections with their times: what an import must be younger than."""
        query = (
            select(grants.c.subject, grants.c.given_at)
            .where(grants.c.partner == partner, grants.c.purpose == purpose)
            .where(grants.c.state.in_(SAYS_NO), grants.c.ended_at.is_(None))
        )
        with self._read() as connection:
            return [(row.subject, row.given_at) for row in connection.execute(query)]

    def unproved(self, subjects: Sequence[bytes]) -> list[Grant]:
        """Consents of these people that have ended and have no sealed proof yet, oldest first."""
        over = or_(grants.c.state == WITHDRAWN, grants.c.state == EXPIRED)
        proved = select(consent_proofs_table.c.grant)
        found: list[Grant] = []
        with self._read() as connection:
            for start in range(0, len(subjects), _AT_ONCE):
                theirs = grants.c.subject.in_(subjects[start : start + _AT_ONCE])
                query = grant_query().where(theirs, over, grants.c.id.not_in(proved))
                rows = connection.execute(query.order_by(grants.c.number))
                found += [grant_of(row) for row in rows]
        return found

    def withdraw(self, withdrawal: Withdrawal, *, event: AuditEvent) -> Withdrawal:
        """End a person's grants for some purposes, record the refusal, promise the rewrite.

        The refusal takes effect with this transaction, before any row is rewritten, and is
        recorded where there was no grant too. It is an objection where an agreement of the
        partner on that purpose rests, or rested until its end, on a public task.
        """
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(withdrawals).values(
                    id=withdrawal.id,
                    partner=withdrawal.partner,
                    subject=withdrawal.subject,
                    purposes=list(withdrawal.purposes),
                    requested_at=withdrawal.requested_at,
                    tables={},
                    event=sequence,
                )
            )
            for purpose in withdrawal.purposes:
                ended = _refuse(connection, withdrawal, purpose, sequence)
                stand_in = self._randomness(contributions.COMMITMENT_BYTES)
                refusal = _refusal(withdrawal, purpose)
                contributions.end(connection, withdrawal, ended, refusal, stand_in, sequence)
            connection.execute(
                insert(erasures).values(
                    withdrawal=withdrawal.id,
                    state=str(Erasure.REQUESTED),
                    due_at=withdrawal.due_at,
                )
            )
            promise(connection, WITHDRAWAL, withdrawal.id)
        return replace(withdrawal, completed_at=None, tables={}, log_index=None)

    def withdrawal(self, withdrawal_id: str) -> Withdrawal | None:
        """One withdrawal; `log_index` is the place of its latest event, request or completion."""
        with self._read() as connection:
            query = withdrawal_query().where(withdrawals.c.id == withdrawal_id)
            row = connection.execute(query).first()
        return None if row is None else withdrawal_of(row)

    def complete_withdrawals(
        self,
        done: Sequence[Withdrawal],
        promised: str = "",
        proofs: Sequence[ConsentProof] = (),
        *,
        event: AuditEvent,
    ) -> None:
        """Record that the rows of all of them are gone, under one event, and end their jobs.

        The job about `promised` stays. Where a `subject` is another than was recorded (a mark that
        is not the digest), it takes the digest's place in the withdrawal, the ended grants and the
        refusals. An objection keeps its digest, without which it could not refuse; so does a grant
        given since. `proofs` take the place of the evidence they hold. Call `compact` afterwards.
        `NotFound` where there is no such withdrawal, `Conflict` where one is complete already.
        """
        ids = [withdrawal.id for withdrawal in done]
        with self._write(event) as (connection, sequence):
            asked: Iterable[Row[Any]] = connection.execute(_ASKED, {"these": ids})
            waiting = {row.id: row for row in asked}
            if set(waiting) != set(ids):
                raise _unknown()
            if any(row.completed_at is not None for row in waiting.values()):
                raise _completed()
            _replace_subjects(
                connection,
                [
                    (waiting[one.id], one.subject)
                    for one in done
                    if one.subject != waiting[one.id].subject
                ],
            )
            connection.execute(
                _DONE,
                [
                    {
                        "this": one.id,
                        "subject": one.subject,
                        "completed_at": one.completed_at or event.at,
                        "tables": dict(one.tables),
                        "event": sequence,
                    }
                    for one in done
                ],
            )
            for until in {one.backups_until for one in done}:
                kept = [one.id for one in done if one.backups_until == until]
                connection.execute(_ERASED, {"these": kept, "until": until})
            consent_proofs.keep(connection, proofs, sequence)
            fulfil(connection, WITHDRAWAL, *(one for one in ids if one != promised))


_ASKED: Final = select(
    withdrawals.c.id,
    withdrawals.c.partner,
    withdrawals.c.subject,
    withdrawals.c.purposes,
    withdrawals.c.requested_at,
    withdrawals.c.completed_at,
).where(withdrawals.c.id.in_(bindparam("these", expanding=True)))
_DONE: Final = update(withdrawals).where(withdrawals.c.id == bindparam("this"))
_ERASED: Final = (
    update(erasures)
    .where(erasures.c.withdrawal.in_(bindparam("these", expanding=True)))
    .values(state=str(Erasure.COMPLETED), backups_until=bindparam("until"))
)
_MARKED: Final = (
    update(grants)
    .where(grants.c.partner == bindparam("of"), grants.c.subject == bindparam("digest"))
    .where(grants.c.purpose == bindparam("for"))
    .where(is_one_of(WITHDRAWN, REFUSED, EXPIRED))
)
_UNLINKED: Final = update(links).where(
    links.c.partner == bindparam("of"), links.c.subject == bindparam("digest")
)


def _refuse(
    connection: Connection, withdrawal: Withdrawal, purpose: str, sequence: int
) -> list[str]:
    """Refuse from now on; the grants that ended."""
    theirs = (
        (grants.c.partner == withdrawal.partner)
        & (grants.c.purpose == purpose)
        & (grants.c.subject == withdrawal.subject)
    )
    newest = connection.execute(select(func.max(grants.c.given_at)).where(theirs)).scalar()
    ended = connection.execute(
        update(grants)
        .where(theirs, grants.c.state.in_((GIVEN, ASKED_AGAIN)), grants.c.ended_at.is_(None))
        .values(state=WITHDRAWN, ended_at=withdrawal.requested_at)
        .returning(grants.c.id)
    )
    ids = list(ended.scalars())
    # What time ended keeps saying so; its secret goes now, with its rows.
    ids += connection.execute(
        select(grants.c.id).where(theirs, grants.c.state == EXPIRED)
    ).scalars()
    refusal = Grant(
        id=_refusal(withdrawal, purpose),
        partner=withdrawal.partner,
        purpose=purpose,
        subject=withdrawal.subject,
        state=_no(connection, withdrawal.partner, purpose),
        population="",
        # Never older than what it ends: a clock that runs backwards must not undo it.
        given_at=max(withdrawal.requested_at, newest or withdrawal.requested_at),
        expires_at=None,
        notice_version="",
        evidence={BY: withdrawal.by} if withdrawal.by else {},
    )
    connection.execute(insert(grants).values(grant_values(refusal, sequence)))
    return ids


def _refusal(withdrawal: Withdrawal, purpose: str) -> str:
    return f"{withdrawal.id}.{purpose}"


def _no(connection: Connection, partner: str, purpose: str) -> str:
    public_task = select(CONCLUDED.c.number).where(
        CONCLUDED.c.partner == partner,
        CONCLUDED.c.purpose == purpose,
        CONCLUDED.c.basis == str(Basis.PUBLIC_TASK),
    )
    return REFUSED if connection.execute(public_task).first() is None else OBJECTED


def _replace_subjects(connection: Connection, replaced: Sequence[tuple[Row[Any], bytes]]) -> None:
    """Put marks in the place of the digests of withdrawals, wherever these need not stay."""
    if not replaced:
        return
    connection.execute(
        _MARKED,
        [
            {"of": row.partner, "digest": row.subject, "for": purpose, "subject": mark}
            for row, mark in replaced
            for purpose in row.purposes
        ],
    )
    linked = _among(connection, links, replaced)
    if not linked:
        return
    # Nothing of these people is left at the partner: their code leads to the mark from here on.
    linked -= _among(connection, grants, replaced)
    gone = [
        {"of": row.partner, "digest": row.subject, "subject": mark, "ended_at": row.requested_at}
        for row, mark in replaced
        if (row.partner, row.subject) in linked
    ]
    if gone:
        connection.execute(_UNLINKED, gone)


def _among(
    connection: Connection, table: Table, replaced: Sequence[tuple[Row[Any], bytes]]
) -> set[tuple[str, bytes]]:
    """Those whose withdrawals these are that a table still knows by partner and digest."""
    query = select(table.c.partner, table.c.subject).where(
        table.c.partner.in_({row.partner for row, _ in replaced}),
        table.c.subject.in_({row.subject for row, _ in replaced}),
    )
    return {(partner, subject) for partner, subject in connection.execute(query)}


def grant_query() -> Select[Any]:
    """Grants with the place of their event."""
    return select(grants, event_places.c.log_index).outerjoin(
        event_places, event_places.c.event == grants.c.event
    )


def grant_values(grant: Grant, sequence: int) -> dict[str, Any]:
    """The columns of a grant."""
    return {
        "id": grant.id,
        "partner": grant.partner,
        "purpose": grant.purpose,
        "subject": grant.subject,
        "state": grant.state,
        "population": grant.population,
        "given_at": grant.given_at,
        "expires_at": grant.expires_at,
        "notice_version": grant.notice_version,
        "evidence": dict(grant.evidence),
        "ended_at": grant.ended_at,
        "event": sequence,
    }


def grant_of(row: Row[Any]) -> Grant:
    """A grant from its row."""
    return Grant(
        id=row.id,
        partner=row.partner,
        purpose=row.purpose,
        subject=row.subject,
        state=row.state,
        population=row.population,
        given_at=row.given_at,
        expires_at=row.expires_at,
        notice_version=row.notice_version,
        evidence=row.evidence,
        ended_at=row.ended_at,
        log_index=row.log_index,
    )


def withdrawal_query() -> Select[Any]:
    """Withdrawals with the place of their event, and how far they are."""
    far = (erasures.c.due_at, erasures.c.backups_until, erasures.c.state)
    query = select(withdrawals, event_places.c.log_index, *far)
    query = query.outerjoin(event_places, event_places.c.event == withdrawals.c.event)
    return query.outerjoin(erasures, erasures.c.withdrawal == withdrawals.c.id)


def withdrawal_of(row: Row[Any]) -> Withdrawal:
    """A withdrawal from its row."""
    return Withdrawal(
        id=row.id,
        partner=row.partner,
        subject=row.subject,
        purposes=tuple(row.purposes),
        requested_at=row.requested_at,
        completed_at=row.completed_at,
        tables=row.tables,
        log_index=row.log_index,
        due_at=row.due_at,
        backups_until=row.backups_until,
        state=Erasure(row.state or Erasure.REQUESTED),
    )


def _unknown() -> NotFound:
    return NotFound(
        "unknown-withdrawal",
        fr="Aucun retrait ne porte ce numéro.",
        en="No withdrawal has this number.",
        who="person",
    )


def _completed() -> Conflict:
    return Conflict(
        "withdrawal-completed",
        fr="Ce retrait est déjà achevé ; rien n’a été changé.",
        en="This withdrawal is complete already; nothing was changed.",
        who="operator",
    )

"""The register of rights: what was claimed, by when it must be answered, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from hub.errors import Conflict
from hub.events import AuditEvent
from hub.records import HOLDING, Case
from hub.storage.books.desk import Desk
from hub.storage.books.jobs import CORRECTION, promise
from hub.storage.books.schema import cases, codes, jobs, links


class Rights(Desk):
    """Cases. What may follow what is `hub.rights.TRANSITIONS`; here a case moves or does not."""

    def open_case(self, case: Case, correction: str = "", *, event: AuditEvent) -> Case:
        """Record a claim, and promise the correction it asks for. `Conflict` where the id is taken.

        The job's `about`, and with it which day is wrong, goes when the job is done.
        """
        with self._write(event) as (connection, sequence):
            connection.execute(insert(cases).values(**_values(case), event=sequence))
            if correction:
                promise(connection, CORRECTION, correction)
        return case

    def move_case(self, case: Case, *, was: str, event: AuditEvent) -> Case:
        """Bring a case from the state `was` to that of `case`. `Conflict` where it is elsewhere."""
        with self._write(event) as (connection, sequence):
            done = connection.execute(
                update(cases)
                .where(cases.c.id == case.id, cases.c.state == was)
                .values(**_values(case), event=sequence)
            )
            if done.rowcount != 1:
                raise case_moved()
        return case

    def correcting(self, case_id: str) -> bool:
        """Whether the correction a case asks for is promised and not done yet."""
        theirs = jobs.c.about.startswith(f"{case_id}.", autoescape=True)
        promised = select(jobs.c.id).where(jobs.c.kind == CORRECTION, theirs)
        with self._read() as connection:
            return connection.execute(promised).first() is not None

    def case(self, case_id: str) -> Case | None:
        """One case."""
        with self._read() as connection:
            row = connection.execute(select(cases).where(cases.c.id == case_id)).first()
        return None if row is None else _case(row)

    def cases(self, participant: str | None = None, limit: int = 500) -> list[Case]:
        """Cases, those not answered first, the most urgent first; a participant's own if named."""
        query = select(cases).order_by(cases.c.closed_at.is_not(None), cases.c.due_at, cases.c.id)
        if participant is not None:
            query = query.where(cases.c.participant == participant)
        with self._read() as connection:
            return [_case(row) for row in connection.execute(query.limit(limit))]

    def held(self, partner: str) -> list[bytes]:
        """Digests of those whose rows at a partner an open case holds."""
        query = _linked().join(cases, cases.c.participant == codes.c.participant)
        holding = query.where(cases.c.kind.in_(HOLDING), cases.c.closed_at.is_(None))
        with self._read() as connection:
            return list(connection.scalars(holding.where(links.c.partner == partner).distinct()))

    def linked(self, participant: str, partner: str) -> list[bytes]:
        """Digests a participant's codes were ever linked to at a partner, unless ended since.

        Also where another code took over: a case of theirs goes on under the one it was opened
        with.
        """
        theirs = _linked().where(codes.c.participant == participant, links.c.partner == partner)
        with self._read() as connection:
            return list(connection.scalars(theirs.distinct()))

    def late_cases(self, now: datetime) -> int:
        """How many cases are past their date without an answer."""
        query = select(cases.c.id).where(cases.c.closed_at.is_(None), cases.c.due_at < now)
        with self._read() as connection:
            return len(connection.execute(query).all())


def _linked() -> Select[tuple[bytes]]:
    query = select(links.c.subject).join(codes, codes.c.digest == links.c.code)
    return query.where(links.c.ended_at.is_(None))


def case_moved() -> Conflict:
    """What is said where a case is no longer in the state something was asked of it."""
    return Conflict(
        "case-moved",
        fr="Ce dossier n’en est plus là : rechargez la liste.",
        en="This case is no longer there: reload the list.",
        who="operator",
    )


def _values(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "kind": case.kind,
        "concerns": case.concerns,
        "participant": case.participant,
        "state": case.state,
        "opened_at": case.opened_at,
        "due_at": case.due_at,
        "extended_for": case.extended_for,
        "closed_at": case.closed_at,
        "ground": case.ground,
    }


def _case(row: Row[Any]) -> Case:
    return Case(
        id=row.id,
        kind=row.kind,
        concerns=row.concerns,
        participant=row.participant,
        state=row.state,
        opened_at=row.opened_at,
        due_at=row.due_at,
        extended_for=row.extended_for,
        closed_at=row.closed_at,
        ground=row.ground,
    )

"""Sealed proofs of consents that ended: put in the place of their evidence, destroyed in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from hub.events import AuditEvent
from hub.records import ConsentProof
from hub.storage.books.desk import Desk
from hub.storage.books.schema import consent_proofs, grants


class ConsentProofs(Desk):
    """What the officer alone can read. Written by `Grants.complete_withdrawals`."""

    def consent_proof(self, grant_id: str) -> ConsentProof | None:
        """The proof of a consent; None where there is none, or none any more."""
        query = select(consent_proofs).where(consent_proofs.c.grant == grant_id)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else ConsentProof(row.grant, row.sealed, row.kept_until)

    def proofs_over(self, now: datetime) -> list[datetime]:
        """Until when the proofs were to be kept whose time is over."""
        query = select(consent_proofs.c.kept_until).where(consent_proofs.c.kept_until <= now)
        with self._read() as connection:
            return list(connection.scalars(query.order_by(consent_proofs.c.kept_until)))

    def drop_proofs(self, now: datetime, *, event: AuditEvent) -> int:
        """Destroy the proofs whose time is over; how many. Call `compact` afterwards."""
        with self._write(event) as (connection, _):
            gone = delete(consent_proofs).where(consent_proofs.c.kept_until <= now)
            return connection.execute(gone).rowcount

    def collected_over(self, before: datetime) -> list[datetime]:
        """When consents ended by then of which the books still say how they were collected."""
        with self._read() as connection:
            return sorted(row.ended_at for row in connection.execute(_collected(before)))

    def drop_collected(self, before: datetime, names: Iterable[str], *, event: AuditEvent) -> int:
        """Take these out of the evidence of such consents; of how many. `compact` afterwards."""
        gone = set(names)
        with self._write(event) as (connection, _):
            found = connection.execute(_collected(before)).all()
            for row in found:
                left = {name: said for name, said in row.evidence.items() if name not in gone}
                connection.execute(
                    update(grants).where(grants.c.id == row.id).values(evidence=left)
                )
        return len(found)


def _collected(before: datetime) -> Select[Any]:
    """Consents that ended by then and have no proof in the place of their evidence."""
    known = grants.c.evidence["age"].as_string().is_not(None)
    query = select(grants.c.id, grants.c.ended_at, grants.c.evidence)
    return query.where(grants.c.ended_at <= before, known)


def keep(connection: Connection, proofs: Sequence[ConsentProof], sequence: int) -> None:
    """Put proofs in the place of the evidence they hold."""
    if not proofs:
        return
    connection.execute(
        insert(consent_proofs),
        [
            {"grant": p.grant, "sealed": p.sealed, "kept_until": p.kept_until, "event": sequence}
            for p in proofs
        ],
    )
    connection.execute(
        update(grants).where(grants.c.id == bindparam("this")),
        [{"this": p.grant, "evidence": dict(p.remains)} for p in proofs],
    )

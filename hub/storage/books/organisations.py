"""Organisations, and the agreements under which they push."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row, func, insert, select

from hub.events import AuditEvent
from hub.records import Agreement, Basis, Organisation
from hub.storage.books.desk import Desk
from hub.storage.books.schema import agreements, organisations

_KEY: Final = ("partner", "dataset", "purpose")

IN_FORCE: Final = (
    select(agreements)
    .where(
        agreements.c.number.in_(
            select(func.max(agreements.c.number)).group_by(*(agreements.c[name] for name in _KEY))
        )
    )
    .subquery("agreements_in_force")
)
"""Agreements that no later one of the same partner, dataset and purpose supersedes."""


class Organisations(Desk):
    """Who takes part, and on what terms."""

    def add_organisation(self, organisation: Organisation, *, event: AuditEvent) -> None:
        """Add one. A `Conflict` where its id is taken."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(organisations).values(
                    id=organisation.id, name=organisation.name, event=sequence
                )
            )

    def organisations(self) -> list[Organisation]:
        """All of them, by id."""
        query = select(organisations.c.id, organisations.c.name).order_by(organisations.c.id)
        with self._read() as connection:
            return [Organisation(row.id, row.name) for row in connection.execute(query)]

    def add_agreement(self, agreement: Agreement, *, event: AuditEvent) -> None:
        """Record an agreement. One of the same partner, dataset and purpose is superseded."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(agreements).values(
                    partner=agreement.partner,
                    dataset=agreement.dataset,
                    purpose=agreement.purpose,
                    basis=str(agreement.basis),
                    terms=dict(agreement.terms),
                    event=sequence,
                )
            )

    def agreement(self, partner: str, dataset: str, purpose: str | None = None) -> Agreement | None:
        """The agreement in force, the latest recorded where there are several purposes."""
        query = (
            select(agreements)
            .where(agreements.c.partner == partner, agreements.c.dataset == dataset)
            .order_by(agreements.c.number.desc())
            .limit(1)
        )
        if purpose is not None:
            query = query.where(agreements.c.purpose == purpose)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _agreement(row)

    def agreements(self) -> list[Agreement]:
        """Every agreement in force, by partner, dataset and purpose."""
        query = select(IN_FORCE).order_by(*(IN_FORCE.c[name] for name in _KEY))
        with self._read() as connection:
            return [_agreement(row) for row in connection.execute(query)]


def _agreement(row: Row[Any]) -> Agreement:
    return Agreement(row.partner, row.dataset, row.purpose, Basis(row.basis), row.terms)

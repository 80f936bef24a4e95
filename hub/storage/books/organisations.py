"""Organisations, and the agreements under which they push."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, distinct, func, insert, or_, select

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent, Kind
from hub.records import Agreement, Basis, Organisation, Side
from hub.storage.books.desk import Desk
from hub.storage.books.schema import agreement_acts, agreements, events, organisations

_KEY: Final = ("partner", "dataset", "purpose")
SIGNED: Final = "signed"
ENDED: Final = "ended"

_BOTH: Final = (
    select(agreement_acts.c.agreement)
    .where(agreement_acts.c.act == SIGNED)
    .group_by(agreement_acts.c.agreement)
    .having(func.count(distinct(agreement_acts.c.side)) == len(Side))
)
_CONCLUDED: Final = (
    select(func.max(agreements.c.number))
    .join(events, events.c.sequence == agreements.c.event)
    .where(
        or_(agreements.c.number.in_(_BOTH), events.c.kind == str(Kind.AGREEMENT_RECORDED)),
    )
    .group_by(*(agreements.c[name] for name in _KEY))
)
_ENDED: Final = select(agreement_acts.c.agreement).where(agreement_acts.c.act == ENDED)
CONCLUDED: Final = (
    select(agreements).where(agreements.c.number.in_(_CONCLUDED)).subquery("agreements_concluded")
)
"""The latest concluded version of each: recorded from paper, or proposed and signed by both sides.

A proposal changes nothing before both have signed.
"""
IN_FORCE: Final = (
    select(CONCLUDED).where(CONCLUDED.c.number.not_in(_ENDED)).subquery("agreements_in_force")
)
"""Those of them that nobody has ended; one that was ended revives no earlier version."""


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

    def add_agreement(self, agreement: Agreement, *, event: AuditEvent) -> Agreement:
        """Add a version: in force at once where the event records one from paper."""
        with self._write(event) as (connection, sequence):
            number = connection.execute(
                insert(agreements)
                .values(
                    partner=agreement.partner,
                    dataset=agreement.dataset,
                    purpose=agreement.purpose,
                    basis=str(agreement.basis),
                    terms=dict(agreement.terms),
                    event=sequence,
                )
                .returning(agreements.c.number)
            ).scalar_one()
            return _one(connection, number)

    def act_on_agreement(
        self, number: int, side: Side, act: str, by: str, at: datetime, *, event: AuditEvent
    ) -> Agreement:
        """Sign or end a version for one side. A `Conflict` where that side has done so already."""
        with self._write(event) as (connection, sequence):
            found = _one(connection, number)
            if found.ended_at is not None or (act == SIGNED and str(side) in found.signatures):
                raise Conflict(
                    "agreement-settled",
                    fr="Cette version de la convention est déjà signée de ce côté, ou dénoncée.",
                    en="This version of the agreement is signed on this side already, or ended.",
                    who="partner",
                )
            connection.execute(
                insert(agreement_acts).values(
                    agreement=number, side=str(side), act=act, by=by, at=at, event=sequence
                )
            )
            return _one(connection, number)

    def agreement(self, partner: str, dataset: str, purpose: str | None = None) -> Agreement | None:
        """The agreement in force, the latest recorded where there are several purposes."""
        query = (
            select(IN_FORCE)
            .where(IN_FORCE.c.partner == partner, IN_FORCE.c.dataset == dataset)
            .order_by(IN_FORCE.c.number.desc())
            .limit(1)
        )
        if purpose is not None:
            query = query.where(IN_FORCE.c.purpose == purpose)
        with self._read() as connection:
            return next(iter(_read(connection, connection.execute(query).all())), None)

    def agreements(self) -> list[Agreement]:
        """Every agreement in force, by partner, dataset and purpose."""
        query = select(IN_FORCE).order_by(*(IN_FORCE.c[name] for name in _KEY))
        with self._read() as connection:
            return _read(connection, connection.execute(query).all())

    def concluded(self) -> list[Agreement]:
        """Every agreement that is or was in force, in the same order: rows outlive its end."""
        query = select(CONCLUDED).order_by(*(CONCLUDED.c[name] for name in _KEY))
        with self._read() as connection:
            return _read(connection, connection.execute(query).all())

    def agreement_versions(self, partner: str | None = None) -> list[Agreement]:
        """Every version ever proposed or recorded, oldest first."""
        query = select(agreements).order_by(agreements.c.number)
        if partner is not None:
            query = query.where(agreements.c.partner == partner)
        with self._read() as connection:
            return _read(connection, connection.execute(query).all())

    def agreement_version(self, number: int) -> Agreement:
        """One version. Raises `NotFound`."""
        with self._read() as connection:
            return _one(connection, number)


def _one(connection: Connection, number: int) -> Agreement:
    rows = connection.execute(select(agreements).where(agreements.c.number == number)).all()
    for found in _read(connection, rows):
        return found
    raise NotFound(
        "unknown-agreement",
        fr="Aucune convention ne porte ce numéro.",
        en="No agreement has this number.",
        who="partner",
    )


def _read(connection: Connection, rows: Sequence[Row[Any]]) -> list[Agreement]:
    """Agreements with what each side did to them, in two queries however many there are."""
    numbers = [row.number for row in rows]
    query = select(agreement_acts).where(agreement_acts.c.agreement.in_(numbers))
    acts: dict[int, list[Row[Any]]] = {number: [] for number in numbers}
    for act in connection.execute(query) if numbers else ():
        acts[act.agreement].append(act)
    return [_agreement(row, acts[row.number]) for row in rows]


def _agreement(row: Row[Any], acts: Iterable[Row[Any]]) -> Agreement:
    done = {(act.act, act.side): act.at for act in acts}
    return Agreement(
        row.partner,
        row.dataset,
        row.purpose,
        Basis(row.basis),
        row.terms,
        number=row.number,
        signatures={side: at for (act, side), at in done.items() if act == SIGNED},
        ended_at=min((at for (act, _), at in done.items() if act == ENDED), default=None),
    )

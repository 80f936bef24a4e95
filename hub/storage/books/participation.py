"""Codes, the references linked to them, the visits they open, and the birthdays of grants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update

from hub.errors import Conflict, NotFound
from hub.events import AuditEvent, Kind
from hub.records import Code, Contribution, Grant, Link, Withdrawal
from hub.storage.books import contributions
from hub.storage.books.desk import Desk
from hub.storage.books.grants import (
    grant_of,
    grant_query,
    grant_values,
    withdrawal_of,
    withdrawal_query,
)
from hub.storage.books.jobs import EXPIRY, STOP, fulfil, promise
from hub.storage.books.schema import codes, events, grants, links, visits, withdrawals
from hub.storage.books.standing import ASKED_AGAIN, EXPIRED, GIVEN

PERSON: Final = "person"


class Participation(Desk):
    """Who holds a code, and what it leads to. No code, secret or reference is kept as such."""

    def participate(
        self,
        given: Sequence[Grant],
        secrets: Sequence[Contribution],
        holders: Sequence[Code],
        linked: Sequence[Link],
        *,
        event: AuditEvent,
    ) -> None:
        """Record answers and their secrets with the codes given for them, all or none.

        A `Conflict` where an id, a code or a link is there already.
        """
        with self._write(event) as (connection, sequence):
            if given:
                connection.execute(insert(grants), [grant_values(g, sequence) for g in given])
            contributions.keep(connection, secrets, sequence)
            for code in holders:
                connection.execute(insert(codes).values(**_code_values(code), event=sequence))
            for link in linked:
                connection.execute(insert(links).values(**_link_values(link), event=sequence))

    def replace_codes(
        self,
        former: str | None,
        holders: Sequence[Code],
        linked: Sequence[Link],
        *,
        event: AuditEvent,
    ) -> None:
        """Give new codes; those of the participant `former` end, in the same transaction."""
        with self._write(event) as (connection, sequence):
            if former is not None:
                connection.execute(
                    update(codes)
                    .where(codes.c.participant == former, codes.c.ended_at.is_(None))
                    .values(ended_at=event.at)
                )
            for code in holders:
                connection.execute(insert(codes).values(**_code_values(code), event=sequence))
            for link in linked:
                connection.execute(insert(links).values(**_link_values(link), event=sequence))

    def code(self, digest: bytes) -> Code | None:
        """The code of that digest, ended or not; None where nobody has it."""
        with self._read() as connection:
            row = connection.execute(select(codes).where(codes.c.digest == digest)).first()
        return None if row is None else _code(row)

    def traces_of(self, code_id: str) -> list[str]:
        """The code itself, and the grants and withdrawals of whoever has it, by id; none else's."""
        owner = select(codes.c.participant).where(codes.c.id == code_id).scalar_subquery()
        theirs = select(codes.c.digest).where(codes.c.participant == owner)
        subjects = select(links.c.subject).where(links.c.code.in_(theirs))
        with self._read() as connection:
            found = [code_id]
            for table in (grants, withdrawals):
                query = select(table.c.id).where(table.c.subject.in_(subjects)).order_by(table.c.id)
                found += connection.scalars(query)
        return found

    def codes_of(self, participant: str) -> list[Code]:
        """A participant's codes, oldest first, ended ones too."""
        query = select(codes).where(codes.c.participant == participant)
        with self._read() as connection:
            rows = connection.execute(query.order_by(codes.c.given_at, codes.c.id))
            return [_code(row) for row in rows]

    def links_of(self, participant: str) -> list[Link]:
        """References linked to a participant's codes, unless linked to another since."""
        theirs = select(codes.c.digest).where(codes.c.participant == participant)
        query = select(links).where(links.c.code.in_(theirs), links.c.number.in_(_newest()))
        with self._read() as connection:
            return [_link(row) for row in connection.execute(query.order_by(links.c.number))]

    def participant_of(self, partner: str, subject: bytes, now: datetime) -> str | None:
        """Whose live code a reference is linked to; None where there is none."""
        query = (
            select(codes)
            .join(links, links.c.code == codes.c.digest)
            .where(links.c.partner == partner, links.c.subject == subject)
            .where(links.c.ended_at.is_(None), links.c.number.in_(_newest()))
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        return row.participant if row is not None and _code(row).live(now) else None

    def link(self, link: Link, mark: bytes, *, event: AuditEvent) -> bool:
        """Tie a reference to a code, whether or not anybody has that code; False where it was.

        A reference is at one code, the latest. A `Conflict` "link-replayed" where this very link
        was made before and is no longer the one that holds: it was replaced, or the person ended
        it (`mark` stands in the place of their digest since).
        """
        these = links.c.subject.in_((link.subject, mark))
        query = select(links).where(links.c.partner == link.partner, these)
        with self._change() as connection:
            made = connection.execute(query.order_by(links.c.number)).all()
            same = [row for row in made if row.code == link.code]
            if same:
                if same[-1].number == made[-1].number and same[-1].ended_at is None:
                    return False
                raise _replayed()
            with self._logging(connection, event) as sequence:
                connection.execute(insert(links).values(**_link_values(link), event=sequence))
        return True

    def replace_secret(self, code_id: str, secret: str, *, event: AuditEvent) -> None:
        """Keep another secret for a code. `NotFound` where there is no such code."""
        with self._write(event) as (connection, _):
            done = connection.execute(
                update(codes).where(codes.c.id == code_id).values(secret=secret)
            )
            if done.rowcount != 1:
                raise _no_code()

    def add_visit(
        self, visit_hash: bytes, code_id: str, expires_at: datetime, *, event: AuditEvent
    ) -> None:
        """Keep the hash of a visit: whoever presents it has shown code and secret."""
        with self._write(event) as (connection, sequence):
            connection.execute(
                insert(visits).values(
                    visit_hash=visit_hash, code=code_id, expires_at=expires_at, event=sequence
                )
            )

    def visit(self, visit_hash: bytes, now: datetime) -> Code | None:
        """Whose visit it is; None where unknown, over, or its code ended since."""
        query = (
            select(codes)
            .join(visits, visits.c.code == codes.c.id)
            .where(visits.c.visit_hash == visit_hash, visits.c.expires_at > now)
        )
        with self._read() as connection:
            row = connection.execute(query).first()
        code = None if row is None else _code(row)
        return code if code is not None and code.live(now) else None

    def end_visit(self, visit_hash: bytes) -> None:
        """End a visit; nothing where there is none."""
        with self._change() as connection:
            connection.execute(delete(visits).where(visits.c.visit_hash == visit_hash))

    def stopped(self, about: str) -> None:
        """Strike off what was asked with a code: it has been seen to."""
        with self._change() as connection:
            fulfil(connection, STOP, about)

    def withdrawals_of(self, subjects: Sequence[bytes]) -> list[Withdrawal]:
        """Withdrawals of a person by digest or mark, oldest first."""
        query = withdrawal_query().where(withdrawals.c.subject.in_(subjects))
        with self._read() as connection:
            rows = connection.execute(query.order_by(withdrawals.c.requested_at, withdrawals.c.id))
            return [withdrawal_of(row) for row in rows]

    def overdue_grants(self, now: datetime) -> list[Grant]:
        """Grants whose time has come and that are still said to stand, oldest first."""
        query = grant_query().where(grants.c.state == GIVEN, grants.c.expires_at <= now)
        with self._read() as connection:
            rows = connection.execute(query.order_by(grants.c.expires_at, grants.c.number))
            return [grant_of(row) for row in rows]

    def asked_again(self, before: datetime) -> list[Grant]:
        """Grants whose person was asked again and whose time had come by `before`."""
        query = grant_query().where(grants.c.state == ASKED_AGAIN, grants.c.expires_at <= before)
        with self._read() as connection:
            rows = connection.execute(query.order_by(grants.c.expires_at, grants.c.number))
            return [grant_of(row) for row in rows]

    def came_of_age(self, month: str) -> list[Grant]:
        """Standing grants whose 18th birthday was before this month, with no event of it yet."""
        told = select(events.c.about).where(events.c.kind == str(Kind.CONSENT_OF_AGE))
        eighteen = grants.c.evidence["eighteen"].as_string()
        query = grant_query().where(grants.c.state == GIVEN, eighteen < month)
        with self._read() as connection:
            rows = connection.execute(query.where(grants.c.id.not_in(told)))
            return [grant_of(row) for row in rows]

    def turn(self, grant_id: str, state: str, *, event: AuditEvent) -> Grant:
        """Move a standing grant on to "asked_again", or to "expired" with a job for its rows.

        A `Conflict` where it no longer stands: its person was quicker.
        """
        at = {"ended_at": event.at} if state == EXPIRED else {}
        stands = or_(grants.c.state == GIVEN, grants.c.state == ASKED_AGAIN)
        with self._write(event) as (connection, _):
            if state == EXPIRED:
                promise(connection, EXPIRY, grant_id)
            done = connection.execute(
                update(grants)
                .where(grants.c.id == grant_id, stands, grants.c.state != state)
                .values(state=state, **at)
            )
            if done.rowcount != 1:
                raise Conflict(
                    "grant-moved",
                    fr="Cet accord n’en est plus là ; rien n’a été changé.",
                    en="This consent is no longer there; nothing was changed.",
                    who="operator",
                )
            return grant_of(_find(connection, grant_id))


def _find(connection: Connection, grant_id: str) -> Row[Any]:
    return connection.execute(grant_query().where(grants.c.id == grant_id)).one()


def _newest() -> Select[Any]:
    """Numbers of the links that hold: of those of a reference, the latest."""
    return select(func.max(links.c.number)).group_by(links.c.partner, links.c.subject)


def _code_values(code: Code) -> dict[str, Any]:
    return {
        "id": code.id,
        "participant": code.participant,
        "digest": code.digest,
        "secret": code.secret,
        "holder": code.holder,
        "given_at": code.given_at,
        "lapses_at": code.lapses_at,
        "ended_at": code.ended_at,
    }


def _code(row: Row[Any]) -> Code:
    return Code(
        id=row.id,
        participant=row.participant,
        digest=row.digest,
        secret=row.secret,
        holder=row.holder,
        given_at=row.given_at,
        lapses_at=row.lapses_at,
        ended_at=row.ended_at,
    )


def _link_values(link: Link) -> dict[str, Any]:
    return {
        "partner": link.partner,
        "subject": link.subject,
        "code": link.code,
        "linked_at": link.linked_at,
        "ended_at": link.ended_at,
    }


def _link(row: Row[Any]) -> Link:
    return Link(row.partner, row.subject, row.code, row.linked_at, row.ended_at)


def _replayed() -> Conflict:
    return Conflict(
        "link-replayed",
        fr="Ce lien a déjà servi et ne tient plus : la personne l’a remplacé ou y a mis fin. "
        "Il faut un nouveau code.",
        en="This link was used before and no longer holds: the person replaced or ended it. "
        "A new code is needed.",
        who="partner",
    )


def _no_code() -> NotFound:
    return NotFound(
        "unknown-code",
        fr="Ce code n’ouvre rien.",
        en="This code opens nothing.",
        who="person",
    )

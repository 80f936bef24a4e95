"""Secrets of grants: kept sealed while a grant stands, gone in the transaction that ends it.

Of an ended grant the commitment stays, with the withdrawal that ended it: its receipt names it. A
withdrawal that found no grant is given a random one, so that its receipt looks like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, or_, select, update

from hub.records import Contribution, Withdrawal
from hub.storage.books.desk import Desk
from hub.storage.books.schema import contributions, grants

GIVEN: Final = "given"
COMMITMENT_BYTES: Final = 32
_AT_ONCE: Final = 1_000


class Contributions(Desk):
    """What lets a grant be found in the contributors of a release, by its holder alone."""

    def contribution(self, grant_id: str) -> Contribution | None:
        """A grant's secret (sealed, None once it ended) and commitment; None where it has none."""
        query = select(contributions).where(contributions.c.grant == grant_id)
        with self._read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _contribution(row)

    def contributing(
        self, partner: str, purpose: str, now: datetime
    ) -> list[tuple[bytes, Contribution | None]]:
        """Digest and secret of every grant that has not ended or expired at `now`.

        None for a grant given before grants had secrets.
        """
        query = (
            select(grants.c.subject, contributions)
            .outerjoin(contributions, contributions.c.grant == grants.c.id)
            .where(grants.c.partner == partner, grants.c.purpose == purpose)
            .where(grants.c.state == GIVEN, grants.c.ended_at.is_(None))
            .where(or_(grants.c.expires_at.is_(None), grants.c.expires_at > now))
        )
        with self._read() as connection:
            rows = connection.execute(query)
            return [(row.subject, _contribution(row) if row.grant else None) for row in rows]

    def ended_by(self, withdrawals: Sequence[str]) -> dict[str, dict[str, list[bytes]]]:
        """Commitments of the grants each withdrawal ended, sorted, by withdrawal and purpose."""
        query = (
            select(contributions.c.ended_by, grants.c.purpose, contributions.c.commitment)
            .join(contributions, contributions.c.grant == grants.c.id)
            .order_by(grants.c.purpose, contributions.c.commitment)
        )
        found: dict[str, dict[str, list[bytes]]] = {}
        with self._read() as connection:
            for start in range(0, len(withdrawals), _AT_ONCE):
                some = withdrawals[start : start + _AT_ONCE]
                theirs = query.where(contributions.c.ended_by.in_(some))
                for withdrawal, purpose, commitment in connection.execute(theirs):
                    found.setdefault(withdrawal, {}).setdefault(purpose, []).append(commitment)
        return found


def keep(connection: Connection, made: Sequence[Contribution], sequence: int) -> None:
    """Add the secrets of grants that are being given."""
    if made:
        rows = [
            {"grant": c.grant, "commitment": c.commitment, "secret": c.secret, "event": sequence}
            for c in made
        ]
        connection.execute(insert(contributions), rows)


def end(
    connection: Connection,
    withdrawal: Withdrawal,
    ended: Sequence[str],
    refusal: str,
    commitment: bytes,
    sequence: int,
) -> None:
    """Destroy the secrets of grants a withdrawal ends, and note that it did.

    Where none had a secret, `commitment` (random) is kept under the `refusal` in their place.
    """
    theirs = contributions.c.grant.in_(ended)
    destroyed = update(contributions).where(theirs)
    done = connection.execute(destroyed.values(secret=None, ended_by=withdrawal.id, event=sequence))
    if not done.rowcount:
        connection.execute(
            insert(contributions).values(
                grant=refusal, commitment=commitment, ended_by=withdrawal.id, event=sequence
            )
        )


def _contribution(row: Row[Any]) -> Contribution:
    return Contribution(row.grant, row.commitment, row.secret, row.ended_by)

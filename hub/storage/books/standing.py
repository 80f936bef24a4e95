"""Where everybody stands for a purpose at a partner: what the gate is told at the head of a push.

The books are asked about everybody once, and then only about those of whom something was written:
each write of a grant bears the number of its event (`records`), one writer at a time gives these
numbers, and so whatever a transaction sees below the highest is all there is below it. Everybody is
asked about again from the next moment on at which a grant begins or ends, where a mark took the
place of a digest, since it does not say whose, and where the last event known is another one now,
as in books that were put back to an earlier day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    not_,
    or_,
    select,
)

from consent import gate
from consent.lookup import UNKNOWN, Lookup
from consent.pseudonyms import DIGEST_BYTES, side_by_side
from hub.storage.books.schema import events, grants

GIVEN: Final = "given"
WITHDRAWN: Final = "withdrawn"
REFUSED: Final = "refused"
OBJECTED: Final = "objected"
ASKED_AGAIN: Final = "asked_again"
EXPIRED: Final = "expired"
SAYS_NO: Final = (REFUSED, OBJECTED)
"""States that stand against: a refusal where the basis is consent, else an objection."""

_AT_ONCE: Final = 500
_MANY: Final = 10_000
"""People to ask about, beyond whom asking about everyone at once is quicker."""
_PARTS: Final = list(
    pairwise([*(bytes([first]) for first in range(0, 256, 32)), b"\xff" * (DIGEST_BYTES + 1)])
)
"""Ranges of digests that are asked for in turn: what is asked for at once is new memory."""
_NEXT: Final = "\n"
_EVENT: Final = select(events.c.sequence, events.c.about, events.c.at)
_NEWEST: Final = _EVENT.where(
    events.c.sequence == select(func.max(grants.c.written)).scalar_subquery()
)

Whose = tuple[str, str]
"""A partner and a purpose."""
Event = tuple[int, str, datetime]
"""An event that wrote grants: its sequence, what it is about, and when it happened."""


class Standings:
    """Who stands where, remembered from one time it is asked to the next. Safe for threads."""

    def __init__(self) -> None:
        self._kept: dict[Whose, _Kept] = {}

    def ask(
        self, connection: Connection, partner: str, purpose: str, now: datetime
    ) -> gate.Standing:
        """Everyone's standing: who granted, in which population, and who is against.

        Each digest appears once, on one side. A grant that is not given yet, has ended or has
        expired at `now` does not count; a refusal counts whatever the clock says.
        """
        whose = (partner, purpose)
        # Before all else: what is written from here on is asked about the next time.
        newest = _event(connection, _NEWEST)
        kept = self._kept.get(whose)
        if kept is None or not kept.holds(now) or not _is_known(connection, kept.newest, newest):
            kept = _Kept.of(_everyone(connection, whose, now), newest, now)
        elif newest != kept.newest:
            kept = _since(connection, whose, kept, newest, now)
        self._kept[whose] = kept
        return kept.standing

    def keep_up(self, connection: Connection, now: datetime) -> None:
        """Ask what was asked before, so that who asks next need not wait for what changed."""
        for partner, purpose in tuple(self._kept):
            self.ask(connection, partner, purpose, now)


@dataclass(frozen=True, slots=True)
class _Said:
    """Acts: digests of those against, and of others `digest`, `stands` and `population`.

    `until` is the next moment at which one of them begins or ends, None where there is none.
    """

    no: pa.Array
    yes: pa.Table
    until: datetime | None = None

    def repeated(self) -> pa.Array:
        """Digests that stand here more than once, and perhaps a few that do not."""
        digests = [self.no, self.yes["digest"].combine_chunks()]
        fixed = [some.cast(pa.binary(DIGEST_BYTES)) for some in digests]
        leading = [_leading(some) for some in fixed]
        # They come in the order of the index: a stable sort merges what is in order.
        ordered = np.sort(np.concatenate(leading), kind="stable")
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        found = [
            some.filter(pa.array(np.isin(first, twice)))
            for some, first in zip(fixed, leading, strict=True)
        ]
        return pa.concat_arrays(found).cast(pa.binary()).unique()

    def instead(self, digests: pa.Array, other: Self) -> Self:
        """The same, but of these people what is said there."""
        theirs = Lookup(digests, keyed=True)
        no, yes = (
            pa.array(theirs.places(of) == UNKNOWN)
            for of in (self.no, self.yes["digest"].combine_chunks())
        )
        return replace(
            self,
            no=pa.concat_arrays([self.no.filter(no), other.no]),
            yes=pa.concat_tables([self.yes.filter(yes), other.yes]),
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was said up to the newest event, and who stands by it, from `since` on."""

    said: _Said
    standing: gate.Standing
    newest: Event | None
    since: datetime

    @classmethod
    def of(cls, said: _Said, newest: Event | None, now: datetime) -> Self:
        """What was said, as it is at a moment."""
        stand = said.yes.filter(said.yes["stands"])
        digests, populations = stand["digest"], stand["population"]
        standing = gate.Standing(digests.combine_chunks(), populations.combine_chunks(), said.no)
        return cls(said, standing, newest, now)

    def holds(self, now: datetime) -> bool:
        """Whether nobody's standing has changed with the clock."""
        return self.since <= now and (self.said.until is None or now < self.said.until)


def _event(connection: Connection, which: Select[tuple[int, str, datetime]]) -> Event | None:
    found = connection.execute(which).first()
    return None if found is None else (found.sequence, found.about, found.at)


def _is_known(connection: Connection, known: Event | None, newest: Event | None) -> bool:
    """Whether an event is still what these books say."""
    if known is None or known == newest:
        return known is not None
    return _event(connection, _EVENT.where(events.c.sequence == known[0])) == known


def _since(
    connection: Connection, whose: Whose, kept: _Kept, newest: Event | None, now: datetime
) -> _Kept:
    """The same with what was written since."""
    assert kept.newest is not None
    # Asked for one partner and purpose, or for each once, SQLite would look through everybody.
    new = select(grants.c.partner, grants.c.purpose, grants.c.subject)
    new = new.where(grants.c.written > kept.newest[0]).limit(_MANY + 1)
    written = connection.execute(new).all()
    changed = list({subject for *of, subject in written if tuple(of) == whose})
    if len(written) > _MANY or any(len(subject) != DIGEST_BYTES for subject in changed):
        return _Kept.of(_everyone(connection, whose, now), newest, now)
    if not changed:
        return replace(kept, newest=newest)
    acts = _acts_of(whose, changed)
    said = kept.said.instead(pa.array(changed, pa.binary()), _last(connection, acts, now))
    until = _first([said.until, *(_until(connection, some, now) for some in acts)])
    return _Kept.of(replace(said, until=until), newest, now)


def _everyone(connection: Connection, whose: Whose, now: datetime) -> _Said:
    """What everyone said.

    Almost everyone has said one thing only, and it needs no ordering: of the others alone it is
    asked what they said last.
    """
    acts = _acts(whose)
    begun = _begun(acts, now)
    said = _told(connection, [_between(begun, *ends) for ends in _PARTS], now)
    unclear = said.repeated()
    if len(unclear) > _MANY:
        said = _last(connection, [acts], now)
    elif len(unclear):
        said = said.instead(unclear, _last(connection, _acts_of(whose, unclear.to_pylist()), now))
    return replace(said, until=_until(connection, acts, now))


def _last(connection: Connection, acts: Iterable[Select[Any]], now: datetime) -> _Said:
    """What the people of these acts said last."""
    return _told(connection, [_latest(_begun(some, now)) for some in acts], now)


def is_one_of(*states: str) -> ColumnElement[bool]:
    """Whether a grant's state is one of these.

    Not IN: SQLAlchemy would spell it out for each of many executions, and SQLite makes a table of
    it, which it asks for each row.
    """
    return or_(*(grants.c.state == state for state in states))


def _acts(whose: Whose) -> Select[Any]:
    """What people said that has not ended."""
    partner, purpose = whose
    return (
        select(
            grants.c.subject,
            grants.c.population,
            grants.c.expires_at,
            grants.c.given_at,
            grants.c.number,
            (grants.c.state != GIVEN).label("against"),
        )
        .where(grants.c.partner == partner, grants.c.purpose == purpose)
        .where(grants.c.ended_at.is_(None), is_one_of(GIVEN, *SAYS_NO))
        .where(func.length(grants.c.subject) == DIGEST_BYTES)  # the gate refuses all others
    )


def _acts_of(whose: Whose, subjects: Sequence[bytes]) -> list[Select[Any]]:
    """The acts of these people, of so many at once."""
    return [
        _acts(whose).where(grants.c.subject.in_(subjects[start : start + _AT_ONCE]))
        for start in range(0, len(subjects), _AT_ONCE)
    ]


def _begun(acts: Select[Any], now: datetime) -> Select[Any]:
    """Of these acts those that are not to come."""
    return acts.where(or_(grants.c.state != GIVEN, grants.c.given_at <= now))


def _until(connection: Connection, acts: Select[Any], now: datetime) -> datetime | None:
    """The next moment at which one of these begins or ends, None where there is none."""
    moments = [
        func.min(moment).filter(moment > now) for moment in (grants.c.given_at, grants.c.expires_at)
    ]
    given = acts.with_only_columns(*moments).where(grants.c.state == GIVEN)
    return _first(connection.execute(given).one())


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _between(query: Select[Any], start: bytes, end: bytes) -> Select[Any]:
    """Of these acts those of people from one digest to before another."""
    return query.where(grants.c.subject >= start, grants.c.subject < end)


def _latest(query: Select[Any]) -> Select[Any]:
    """Of each person the last act; of two at the same instant the refusal."""
    acts = query.subquery()
    order = (acts.c.given_at.desc(), case((acts.c.against, 0), else_=1), acts.c.number.desc())
    age = func.row_number().over(partition_by=acts.c.subject, order_by=order)
    aged = select(acts, age.label("age")).subquery()
    return select(aged).where(aged.c.age == 1)


def _told(connection: Connection, queries: Iterable[Select[Any]], now: datetime) -> _Said:
    """What these acts say.

    They come as three texts a query: as many rows as people would each be a turn for the
    interpreter, while a push is being read on the other core. Aggregates see the rows in one order.
    """
    against, given, populations = list[bytes](), list[bytes](), list[str]()
    for query in queries:
        acts = query.subquery()
        no, yes = acts.c.against, not_(acts.c.against)
        who = _hex(connection, acts.c.subject)
        stands = or_(acts.c.expires_at.is_(None), acts.c.expires_at > now)
        texts = (
            func.aggregate_strings(who, "").filter(no),
            func.aggregate_strings(who.concat(case((stands, "01"), else_="00")), "").filter(yes),
            func.aggregate_strings(acts.c.population, _NEXT).filter(yes),
        )
        row = connection.execute(select(*texts)).one()
        against.append(bytes.fromhex(row[0] or ""))
        if row[1] is not None:
            given.append(bytes.fromhex(row[1]))
            populations.append(row[2])
    others = np.frombuffer(b"".join(given), np.uint8).reshape(-1, DIGEST_BYTES + 1)
    told = pc.split_pattern(pa.array([_NEXT.join(populations)]), _NEXT).values.slice(0, len(others))
    digests = side_by_side(np.ascontiguousarray(others[:, :DIGEST_BYTES]), DIGEST_BYTES)
    columns = [digests, pa.array(others[:, DIGEST_BYTES] == 1), told]
    return _Said(
        side_by_side(b"".join(against), DIGEST_BYTES),
        pa.table(columns, names=["digest", "stands", "population"]),
    )


def _leading(digests: pa.Array) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each of these values of a fixed width, in the same order as they."""
    return np.frombuffer(digests.buffers()[1] or b"", ">u8")[:: DIGEST_BYTES // 8].astype(np.uint64)


def _hex(connection: Connection, column: ColumnElement[bytes]) -> ColumnElement[str]:
    return func.hex(column) if connection.dialect.name == "sqlite" else func.encode(column, "hex")

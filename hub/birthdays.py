"""Time does its part: grants run out, and young people turn 15 and 18. Run by the worker.

`consent.model.TRANSITIONS` says what may follow what; here is when. Nothing goes back: a clock set
back finds less to do, never something to undo.

- A joint grant ends with the month of the 15th birthday. Admission has stopped by then, by its own
  date; here the young person is *asked again* (their page and their app say so), and the parent's
  code has lapsed, by its own date too. Whoever agrees anew gives a new grant.
- Silence, `consent.model.ANSWER_WITHIN` later, ends it: the grant expires and its rows go.
- A grant with a date of its own expires then, and its rows go.
- The 18th birthday changes no consent and is recorded once.

Expiring and the promise to erase are one transaction; `erase` is the job that keeps it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from consent import model
from consent.pseudonyms import DIGEST_BYTES
from hub import withdraw
from hub.errors import Conflict
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Parts
from hub.records import Grant
from hub.storage.books import ASKED_AGAIN, EXPIRED, GIVEN

ACTS: Final = {
    ASKED_AGAIN: (model.Act.TURNS_15, Kind.CONSENT_ASKED_AGAIN),
    EXPIRED: (model.Act.TIME_ENDS, Kind.CONSENT_EXPIRED),
}
_MODEL: Final = {GIVEN: model.State.ACTIVE, ASKED_AGAIN: model.State.ASKED_AGAIN}


def sweep(parts: Parts, now: datetime) -> int:
    """Move every grant on whose time has come. Returns how many; again finds none."""
    moved = 0
    for grant in parts.books.overdue_grants(now):
        moved += _turn(parts, grant, ASKED_AGAIN if _lapses_at_15(grant) else EXPIRED, now)
    for grant in parts.books.asked_again(now - model.ANSWER_WITHIN):
        moved += _turn(parts, grant, EXPIRED, now)
    month = model.Month(now.year, now.month)
    for grant in parts.books.came_of_age(str(month)):
        model.step(model.State.ACTIVE, model.Act.TURNS_18, joint=False)
        event = AuditEvent(Kind.CONSENT_OF_AGE, WORKER.organisation, grant.id, now, _facts(grant))
        parts.books.record(event=event)
        moved += 1
    return moved


def erase(parts: Parts, grant_id: str) -> None:
    """Let the rows of an expired grant go, unless its person agreed anew since. Again is harmless.

    It is a withdrawal like any other, made by time: the refusal it leaves is older than any answer
    the person gives later.
    """
    grant = parts.books.grant(grant_id)
    if grant is None or grant.state != EXPIRED or _agreed_anew(parts, grant):
        return
    if len(grant.subject) != DIGEST_BYTES:
        return  # a mark: another withdrawal has let them go
    withdraw.withdraw(parts, WORKER, grant.partner, grant.subject, grant.purpose, via="time")


def _turn(parts: Parts, grant: Grant, state: str, now: datetime) -> bool:
    act, kind = ACTS[state]
    joint = state == ASKED_AGAIN or (grant.state == GIVEN and bool(grant.evidence.get("joint")))
    if model.step(_MODEL[grant.state], act, joint=joint) != state:
        raise AssertionError("the table of transitions leads elsewhere")
    try:
        parts.books.turn(
            grant.id,
            state,
            event=AuditEvent(kind, WORKER.organisation, grant.id, now, _facts(grant)),
        )
    except Conflict:
        return False  # its person was quicker
    return True


def _lapses_at_15(grant: Grant) -> bool:
    """Whether it ended with the birthday, not by a date its person chose before."""
    fifteen = grant.evidence.get("fifteen")
    if not grant.evidence.get("joint") or not fifteen or grant.expires_at is None:
        return False
    return grant.expires_at >= model.Month.parse(str(fifteen)).over()


def _agreed_anew(parts: Parts, grant: Grant) -> bool:
    return any(
        other.given_at > grant.given_at and other.state in {GIVEN, ASKED_AGAIN}
        for other in parts.books.grants_of(grant.subject, grant.purpose)
        if other.partner == grant.partner
    )


def _facts(grant: Grant) -> dict[str, str]:
    return {"partner": grant.partner, "purpose": grant.purpose}

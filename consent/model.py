"""Grants: the states one goes through, and the checks a new one must pass.

Under 15, consent is joint (loi 78-17, art. 45): the person and a parent each give a half, in
either order; neither overrides the other, either one ends it. From 15 the person decides alone
and a parent's half is refused. Turning 15 ends the parent's half: the young person is asked again
and silence ends the grant. Turning 18 changes no consent; it is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn

from consent.ages import Age as Age
from consent.ages import Month as Month
from consent.ages import age_on as age_on
from consent.errors import PROBLEMS as PROBLEMS
from consent.errors import ConsentError as ConsentError
from consent.purposes import PURPOSES

POPULATIONS: Final = ("pupil", "post-bac", "staff")
"""Whom a person says they are; measures never pool them."""


class State(StrEnum):
    """Where a grant stands. Only `ADMITTING` states let rows in."""

    ASKED = "asked"
    AWAITING_PARENT = "awaiting_parent"
    AWAITING_PERSON = "awaiting_person"
    ACTIVE = "active"
    ASKED_AGAIN = "asked_again"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    OBJECTED = "objected"


ADMITTING: Final = frozenset({State.ACTIVE})
ENDED: Final = frozenset({State.REFUSED, State.WITHDRAWN, State.EXPIRED, State.OBJECTED})
"""From here no consent comes back: a new one is a new grant."""


class Act(StrEnum):
    """What may happen to a grant. An `END` refuses before both halves stand, withdraws after."""

    PERSON_AGREES = "person_agrees"
    PARENT_AGREES = "parent_agrees"
    PERSON_ENDS = "person_ends"
    PARENT_ENDS = "parent_ends"
    OBJECTS = "objects"
    TIME_ENDS = "time_ends"
    TURNS_15 = "turns_15"
    TURNS_18 = "turns_18"


_NO: Final = (None, None)
_OBJECTED: Final = (State.OBJECTED, State.OBJECTED)
_REFUSED: Final = (State.REFUSED, State.REFUSED)
_WITHDRAWN: Final = (State.WITHDRAWN, State.WITHDRAWN)
_EXPIRED: Final = (State.EXPIRED, State.EXPIRED)


def _ended(state: State) -> Mapping[Act, tuple[State | None, State | None]]:
    """An ended grant stays ended: a new consent is a new grant. Ending again changes nothing."""
    stays = (state, state)
    return {
        Act.PERSON_AGREES: _NO,
        Act.PARENT_AGREES: _NO,
        Act.PERSON_ENDS: stays,
        Act.PARENT_ENDS: (None, state),
        Act.OBJECTS: _OBJECTED,
        Act.TIME_ENDS: stays,
        Act.TURNS_15: (None, state),
        Act.TURNS_18: (state, None),
    }


TRANSITIONS: Final[Mapping[State, Mapping[Act, tuple[State | None, State | None]]]] = {
    # For each act: where a person of 15 or more who decides alone goes, and where a joint consent
    # goes. None: it cannot happen.
    State.ASKED: {
        Act.PERSON_AGREES: (State.ACTIVE, State.AWAITING_PARENT),
        Act.PARENT_AGREES: (None, State.AWAITING_PERSON),
        Act.PERSON_ENDS: _REFUSED,
        Act.PARENT_ENDS: (None, State.REFUSED),
        Act.OBJECTS: _OBJECTED,
        Act.TIME_ENDS: _EXPIRED,
        Act.TURNS_15: (None, State.ASKED_AGAIN),
        Act.TURNS_18: (State.ASKED, None),
    },
    State.AWAITING_PARENT: {
        Act.PERSON_AGREES: (None, State.AWAITING_PARENT),
        Act.PARENT_AGREES: (None, State.ACTIVE),
        Act.PERSON_ENDS: (None, State.REFUSED),
        Act.PARENT_ENDS: (None, State.REFUSED),
        Act.OBJECTS: _OBJECTED,
        Act.TIME_ENDS: (None, State.EXPIRED),
        Act.TURNS_15: (None, State.ASKED_AGAIN),
        Act.TURNS_18: _NO,
    },
    State.AWAITING_PERSON: {
        Act.PERSON_AGREES: (None, State.ACTIVE),
        Act.PARENT_AGREES: (None, State.AWAITING_PERSON),
        Act.PERSON_ENDS: (None, State.REFUSED),
        Act.PARENT_ENDS: (None, State.REFUSED),
        Act.OBJECTS: _OBJECTED,
        Act.TIME_ENDS: (None, State.EXPIRED),
        Act.TURNS_15: (None, State.ASKED_AGAIN),
        Act.TURNS_18: _NO,
    },
    State.ACTIVE: {
        Act.PERSON_AGREES: (State.ACTIVE, State.ACTIVE),
        Act.PARENT_AGREES: (None, State.ACTIVE),
        Act.PERSON_ENDS: _WITHDRAWN,
        Act.PARENT_ENDS: (None, State.WITHDRAWN),
        Act.OBJECTS: _OBJECTED,
        Act.TIME_ENDS: _EXPIRED,
        Act.TURNS_15: (None, State.ASKED_AGAIN),
        Act.TURNS_18: (State.ACTIVE, None),
    },
    # From here on the person decides alone: the parent's half has lapsed with the 15th birthday.
    State.ASKED_AGAIN: {
        Act.PERSON_AGREES: (State.ACTIVE, None),
        Act.PARENT_AGREES: _NO,
        Act.PERSON_ENDS: (State.WITHDRAWN, None),
        Act.PARENT_ENDS: _NO,
        Act.OBJECTS: (State.OBJECTED, None),
        Act.TIME_ENDS: (State.EXPIRED, None),
        Act.TURNS_15: _NO,
        Act.TURNS_18: _NO,
    },
    State.REFUSED: _ended(State.REFUSED),
    State.WITHDRAWN: _ended(State.WITHDRAWN),
    State.EXPIRED: _ended(State.EXPIRED),
    State.OBJECTED: _ended(State.OBJECTED),
}
"""Every state and every act, once: (alone, joint)."""


ANSWER_WITHIN: Final = timedelta(days=31)
"""How long whoever turned 15 has to answer for themselves; silence then ends the grant."""


def diagram() -> str:
    """The table as a Mermaid state diagram: what a person decides alone, and what jointly.

    Left out: acts that change nothing, and acts that no state allows.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {State.ASKED}"]
    for state, acts in TRANSITIONS.items():
        for act, (alone, joint) in acts.items():
            moves = {
                following: ""
                if alone == joint
                else " (alone)"
                if following is alone
                else " (joint)"
                for following in (alone, joint)
                if following is not None and following is not state
            }
            lines += [f"    {state} --> {to}: {act}{who}" for to, who in moves.items()]
    lines += [f"    {state} --> [*]" for state in State if state in ENDED]
    return "\n".join(lines)


def step(state: State, act: Act, *, joint: bool) -> State:
    """Where a grant goes. Raises `ConsentError` impossible-step where it cannot."""
    following = TRANSITIONS[state][act][joint]
    if following is None:
        raise ConsentError("impossible-step")
    return following


@dataclass(frozen=True, slots=True)
class ParentalHalf:
    """A parent's half of a joint consent: when, and how they were identified (never who)."""

    given_at: datetime
    identified_by: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A consent that passed every check: what may be recorded of it.

    `expires_at` is the earlier of what the person chose and, for a joint consent, the end of the
    month of the 15th birthday. `fifteen` and `eighteen` are None where no month of birth was
    asked (adults by population).
    """

    state: State
    joint: bool
    age: Age
    given_at: datetime
    starts_at: datetime
    expires_at: datetime | None
    fifteen: Month | None
    eighteen: Month | None
    parent: ParentalHalf | None

    def evidence(self) -> dict[str, Any]:
        """How consent was collected, as plain JSON; names nobody."""
        return {
            "age": str(self.age),
            "joint": self.joint,
            "fifteen": str(self.fifteen) if self.fifteen else None,
            "eighteen": str(self.eighteen) if self.eighteen else None,
            "parent_at": self.parent.given_at.isoformat() if self.parent else None,
            "parent_identified_by": self.parent.identified_by if self.parent else None,
        }


def check_grant(
    *,
    purpose: str,
    notice_version: str,
    population: str,
    given_at: datetime,
    expires_at: datetime | None,
    birth: Month | None,
    parent: ParentalHalf | None,
    now: datetime,
) -> Granted:
    """Check that what was presented is a consent that can take effect now.

    `birth` may be None only for post-bac students and staff. Age is that of the day (UTC) the
    person agreed. Raises `ConsentError` with the first reason why not.
    """
    _check_notice(purpose, notice_version, given_at)
    if population not in POPULATIONS:
        _refuse("unknown-population")
    _check_clock(given_at, now)
    if expires_at is not None and expires_at.tzinfo is None:
        _refuse("time-without-zone")
    age = _age(birth, population, given_at)
    joint = age is Age.UNDER_15
    starts_at, ends_at = given_at, expires_at
    if joint:
        theirs = _checked_parent(parent, now).given_at
        _check_notice(purpose, notice_version, theirs)
        starts_at = max(given_at, theirs)
        lapses = birth.birthday(15).over() if birth else given_at
        ends_at = min(expires_at, lapses) if expires_at else lapses
    elif parent is not None:
        _refuse("parental-half-not-asked")
    _check_end(starts_at, ends_at, now)
    state = State.ASKED
    if joint:
        state = step(state, Act.PARENT_AGREES, joint=True)
    return Granted(
        state=step(state, Act.PERSON_AGREES, joint=joint),
        joint=joint,
        age=age,
        given_at=given_at,
        starts_at=starts_at,
        expires_at=ends_at,
        fifteen=birth.birthday(15) if birth else None,
        eighteen=birth.birthday(18) if birth else None,
        parent=parent,
    )


def check_refusal(
    *, purpose: str, notice_version: str, population: str, given_at: datetime, now: datetime
) -> None:
    """Check that a no was said to something that was asked, and not in the future.

    Who refuses need not say who they are: `population` may be empty. Raises `ConsentError`.
    """
    _check_notice(purpose, notice_version, given_at)
    if population and population not in POPULATIONS:
        _refuse("unknown-population")
    _check_clock(given_at, now)


def _refuse(code: str) -> NoReturn:
    raise ConsentError(code)


def _check_notice(purpose: str, version: str, given_at: datetime) -> None:
    known = PURPOSES.get(purpose)
    if known is None:
        _refuse("unknown-purpose")
    notice = known.published(version)
    if notice is None or given_at.date() < notice.published_on:
        _refuse("notice-never-published")


def _check_clock(moment: datetime, now: datetime) -> None:
    if moment.tzinfo is None:
        _refuse("time-without-zone")
    if moment > now:
        _refuse("given-in-the-future")


def _age(birth: Month | None, population: str, given_at: datetime) -> Age:
    if birth is not None:
        # One clock for all: in a zone of their choice anybody would be 15 half a day earlier.
        day = given_at.astimezone(UTC).date()
        if Month(day.year, day.month) < birth:
            _refuse("month-unreadable")
        return age_on(birth, day)
    if population == "pupil":
        # Without an age nobody can say whether a parent has to agree: refuse, do not guess.
        _refuse("age-unknown")
    return Age.ADULT if population == "staff" else Age.FROM_15


def _checked_parent(parent: ParentalHalf | None, now: datetime) -> ParentalHalf:
    if parent is None:
        _refuse("parental-half-missing")
    _check_clock(parent.given_at, now)
    if not parent.identified_by.strip():
        _refuse("parent-not-identified")
    return parent


def _check_end(starts_at: datetime, ends_at: datetime | None, now: datetime) -> None:
    if ends_at is None:
        return
    if ends_at <= starts_at:
        _refuse("ends-before-it-starts")
    if ends_at <= now:
        _refuse("already-ended")

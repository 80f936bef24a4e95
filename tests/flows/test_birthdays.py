"""Time: grants run out, young people turn 15 and are asked again, silence ends it, 18 is noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consent.model import ANSWER_WITHIN
from hub import birthdays, consents, participation, withdraw, worker
from hub.parts import OPERATOR, Parts
from hub.records import Grant
from tests.flows import world
from tests.flows.test_participation import CHILD, asked, give

GIVEN_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
BIRTHDAY_OVER = datetime(2027, 6, 1, tzinfo=UTC)
"""The month of the 15th birthday of somebody born in May 2012 is over."""
SECOND = timedelta(seconds=1)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = world.hub_in(tmp_path / "var")
    yield at(made, GIVEN_AT + timedelta(days=1))
    made.books.close()


def at(parts: Parts, now: datetime) -> Parts:
    return replace(parts, clock=lambda: now)


def swept(parts: Parts, now: datetime) -> int:
    return birthdays.sweep(at(parts, now), now)


def state(parts: Parts, grant: Grant) -> str:
    found = parts.books.grant(grant.id)
    assert found is not None
    return found.state


def standing(parts: Parts, now: datetime) -> int:
    return len(parts.books.standing("coachco2", "school-mobility", now).granted)


def test_at_15_the_young_person_is_asked_again_and_admission_stops(parts: Parts) -> None:
    grant, _ = give(parts, **CHILD)
    assert swept(parts, BIRTHDAY_OVER - SECOND) == 0
    assert standing(parts, BIRTHDAY_OVER - SECOND) == 1
    # Admission stops by the date itself, before any sweep.
    assert standing(parts, BIRTHDAY_OVER) == 0
    assert swept(parts, BIRTHDAY_OVER) == 1
    assert state(parts, grant) == "asked_again"
    assert standing(parts, BIRTHDAY_OVER) == 0
    assert swept(parts, BIRTHDAY_OVER) == 0, "again finds nothing to do"
    assert [e.about for e in told(parts, "consent.asked_again")] == [grant.id]


def told(parts: Parts, kind: str) -> list[Any]:
    return [
        type("Told", (), {"about": grant})
        for event in parts.books.events(kind=kind)
        if (grant := event.body.decode().split('"about":"')[1].split('"')[0])
    ]


def test_silence_ends_it_and_the_rows_go(parts: Parts) -> None:
    world.reference_data(parts)
    grant, (person, _) = give(parts, "ada", **CHILD)
    done = world.pushed(parts, "coachco2/trips", world.trips(["ada"], first=MONDAY))
    assert done.kept
    swept(parts, BIRTHDAY_OVER)
    silent = BIRTHDAY_OVER + ANSWER_WITHIN
    assert swept(parts, silent - SECOND) == 0
    assert swept(parts, silent) == 1
    later = at(parts, silent + SECOND)
    worker.drain(later)
    worker.drain(later)
    assert state(parts, grant) == "expired"
    (withdrawal,) = parts.books.withdrawals()
    assert withdrawal.completed_at is not None
    (files,) = parts.tables.snapshot(["coachco2/trips/trips"]).files.values()
    assert rows_in(files) == 0
    code = participation.Door(later).who(
        participation.Door(later).enter(person.code, person.secret, "here")
    )
    assert code is not None
    (agreed,) = participation.agreed(later, code.participant)
    assert agreed.state == "expired"


MONDAY = datetime(2025, 11, 17).date()  # noqa: DTZ001 - a school day


def rows_in(files: tuple[str, ...]) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(name).num_rows for name in files)


def test_whoever_says_yes_anew_keeps_everything(parts: Parts) -> None:
    old, (person, _) = give(parts, **CHILD)
    swept(parts, BIRTHDAY_OVER)
    answered = at(parts, BIRTHDAY_OVER + timedelta(days=3))
    mine = asked(given_at=BIRTHDAY_OVER + timedelta(days=2), birth="2012-05")
    new, handed = participation.give(answered, OPERATOR, "coachco2", mine)
    assert handed == [], "the person's own code still serves"
    assert swept(parts, BIRTHDAY_OVER + ANSWER_WITHIN) == 1
    worker.drain(at(parts, BIRTHDAY_OVER + ANSWER_WITHIN + SECOND))
    assert (state(parts, old), state(parts, new)) == ("expired", "given")
    assert parts.books.withdrawals() == []
    assert standing(parts, BIRTHDAY_OVER + ANSWER_WITHIN) == 1
    assert person.holder == "person"


def test_a_no_at_15_ends_it_like_any_other(parts: Parts) -> None:
    grant, (person, _) = give(parts, **CHILD)
    swept(parts, BIRTHDAY_OVER)
    asked_again = at(parts, BIRTHDAY_OVER + timedelta(days=1))
    door = participation.Door(asked_again)
    door.settle(door.stop(person.code, participation.EVERY_PURPOSE, "here"))
    assert state(parts, grant) == "withdrawn"
    assert swept(parts, BIRTHDAY_OVER + ANSWER_WITHIN) == 0


def test_a_date_its_person_chose_ends_a_grant(parts: Parts) -> None:
    until = GIVEN_AT + timedelta(days=30)
    grants = [
        give(parts, "ada", expires_at=until)[0],
        give(parts, "kid", **CHILD, expires_at=until)[0],
    ]
    assert swept(parts, until) == 2
    assert [state(parts, grant) for grant in grants] == ["expired", "expired"]
    worker.drain(at(parts, until + SECOND))
    assert len(parts.books.withdrawals()) == 2


def test_an_expiry_that_comes_after_a_withdrawal_keeps_nobody_waiting(parts: Parts) -> None:
    """What is left then is a mark; a withdrawal of it could never be completed, nor any beside."""
    until = GIVEN_AT + timedelta(days=30)
    grant, _ = give(parts, "ada", expires_at=until)
    give(parts, "bob")
    later = at(parts, until + timedelta(days=1))
    birthdays.sweep(later, later.clock())
    withdraw.withdraw(later, OPERATOR, "coachco2", grant.subject, via="cli")
    [made] = parts.books.withdrawals()
    withdraw.complete(later, made.id)
    worker.drain(later)
    assert [one.id for one in parts.books.withdrawals()] == [made.id]
    left = parts.books.grant(grant.id)
    assert left is not None
    with pytest.raises(ValueError, match="digest"):
        withdraw.withdraw(later, OPERATOR, "coachco2", left.subject, via="cli")


def test_a_record_says_when_it_ran_out_not_when_that_was_noticed(parts: Parts) -> None:
    until = GIVEN_AT + timedelta(days=30)
    grant, _ = give(parts, "ada", expires_at=until)
    swept(parts, until + timedelta(days=3))
    now = parts.books.grant(grant.id)
    assert now is not None
    last = consents.linked(parts, now)["dpv:hasConsentStatus"][-1]
    assert last["@type"] == "dpv:ConsentExpired"
    assert last["dpv:isIndicatedAtTime"]["@value"] == until.isoformat()


def test_a_clock_set_back_undoes_nothing(parts: Parts) -> None:
    grant, _ = give(parts, **CHILD)
    swept(parts, BIRTHDAY_OVER + ANSWER_WITHIN)
    swept(parts, BIRTHDAY_OVER + ANSWER_WITHIN)
    assert state(parts, grant) == "expired"
    events = parts.books.event_count()
    for now in (GIVEN_AT, GIVEN_AT - timedelta(days=900), BIRTHDAY_OVER):
        assert swept(parts, now) == 0
    assert state(parts, grant) == "expired"
    assert parts.books.event_count() == events


def test_the_18th_birthday_is_noted_once_and_changes_nothing(parts: Parts) -> None:
    grant, _ = give(parts, birth="2009-01")
    of_age = datetime(2027, 2, 1, tzinfo=UTC)
    assert swept(parts, of_age - SECOND) == 0
    assert swept(parts, of_age) == 1
    assert swept(parts, of_age + timedelta(days=400)) == 0
    assert state(parts, grant) == "given"
    assert [e.about for e in told(parts, "consent.of_age")] == [grant.id]


def test_the_worker_sweeps_on_its_schedule(parts: Parts) -> None:
    grant, _ = give(parts, **CHILD)
    worker.tidy(at(parts, BIRTHDAY_OVER), BIRTHDAY_OVER)
    assert state(parts, grant) == "asked_again"


def test_a_receipt_of_a_grant_asked_again_says_so_without_contradicting_the_log(
    parts: Parts,
) -> None:
    grant, _ = give(parts, **CHILD)
    parts.sequence()
    swept(parts, BIRTHDAY_OVER)
    found = parts.books.grant(grant.id)
    assert found is not None
    assert b"asked_again" in consents.receipt(parts, found)

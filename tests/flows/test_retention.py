"""Retention: what has been kept long enough goes; its counts and an event stay, and no key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import duckdb
import msgspec
import pytest
from pydantic import ValidationError

from connectors.registry import DATASETS
from consent import pseudonyms
from hub import backup, consents, push, retention, withdraw, worker
from hub.errors import Unavailable
from hub.events import AuditEvent, Kind
from hub.main import zones_of
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.records import PushState
from hub.settings import RetentionTerms
from hub.stages import ACTS
from hub.storage import age
from tests.flows import world
from tests.storage.scan import find

CARDS = ["CARD-A1", "CARD-B2", "CARD-C3"]
TAPS = "transdev/validations/validations"
COUNTS = "transdev/validations/boardings_hourly"
TRIPS = "coachco2/trips/trips"
PERSON = "acc-somebody"


def at(parts: Parts, year: int, month: int, day: int) -> Parts:
    return replace(parts, clock=lambda: datetime(year, month, day, 4, tzinfo=UTC))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """A hub with a month of taps and some trips, whose agreements extend nothing."""
    parts = world.hub_with_places(tmp_path / "var")
    agreement = parts.books.agreement("transdev", "validations")
    assert agreement is not None
    parts.books.add_agreement(
        replace(agreement, terms=dict(agreement.terms) | {"retention": None}),
        event=AuditEvent(Kind.AGREEMENT_RECORDED, "hub", "transdev/validations", parts.clock(), {}),
    )
    world.agree(parts, PERSON)
    world.pushed(parts, "coachco2/trips", world.trips([PERSON]))
    world.pushed(parts, "transdev/validations", world.taps(CARDS))
    return parts


def names_of(parts: Parts, partner: str, reference: str) -> list[bytes]:
    digest = consents.digest_of(parts, partner, reference)
    keys = [parts.keyring.period_key("school-mobility", period)
            for period in parts.keyring.periods("school-mobility")]  # fmt: skip
    return [pseudonyms.pseudonym(key, digest) for key in keys]


def test_taps_become_counts_and_their_key_is_destroyed(parts: Parts) -> None:
    names = [name for card in CARDS for name in names_of(parts, "transdev", card)]
    assert find(parts.settings.home, names, parts.vault.unseal) != []
    day_before = at(parts, 2026, 3, 31)
    assert [one.name for one in retention.due(day_before)] == []
    retention.run(day_before)
    assert parts.keyring.periods("school-mobility") == ["2025-2026", "2026-01"]
    later = at(parts, 2026, 4, 1)
    due = retention.due(later)
    assert [(one.kind, one.name, one.period, one.count) for one in due] == [
        ("rows", TAPS, "2026-01", "11-100"),
        ("key", "school-mobility", "2026-01", "1-10"),
    ]
    assert retention.run(later) == due
    assert parts.tables.periods(TAPS) == {}
    assert parts.keyring.periods("school-mobility") == ["2025-2026"]
    assert find(parts.settings.home, names, parts.vault.unseal) == []
    files = list(parts.tables.snapshot([COUNTS]).files[COUNTS])
    with duckdb.connect() as connection:
        rows = connection.sql("FROM read_parquet($files) ORDER BY date", params={"files": files})
        assert rows.columns == ["date", "hour", "line", "stop_id", "taps"]
        found = rows.fetchall()
    assert [(str(day), hour, stop, taps) for day, hour, _, stop, taps in found] == [
        (f"2026-01-{12 + n}", 7, f"S{n}", 3) for n in range(5)
    ]
    kinds = [str(msgspec.json.decode(e.body)["kind"]) for e in parts.books.events(limit=1000)]
    assert kinds.count("retention.ended") == kinds.count("key.destroyed") == 1
    assert retention.run(later) == []
    assert reconcile(later).problems == []


def test_what_is_said_to_go_is_what_goes(parts: Parts, tmp_path: Path) -> None:
    """All of it, of every kind: a list that was longer, or shorter, would be no rehearsal."""
    kept_elsewhere = {
        "backup_recipient": age.Identity.make().recipient.text,
        "backups": tmp_path / "elsewhere",
        "proof_recipient": age.Identity.make().recipient.text,
    }
    parts.books.close()
    parts = world.hub_in(parts.settings.home, **kept_elsewhere)
    world.pushed(parts, "transdev/validations", world.taps(CARDS[:1]) + b"broken\n")
    backup.create(parts, OPERATOR, zones_of(parts.settings))
    digest = consents.digest_of(parts, "coachco2", PERSON)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    later = at(parts, 2040, 1, 1)
    due = retention.due(later)
    assert {one.kind for one in due} == {"rows", "key", "quarantine", "backup", "proof", "event"}
    assert worker.keep(later, later.clock()) == due
    assert retention.due(later) == []
    assert parts.keyring.periods("school-mobility") == []
    assert parts.books.backups() == []


def test_late_taps_of_an_ended_month_are_counted_too(parts: Parts) -> None:
    later = at(parts, 2026, 4, 1)
    retention.run(later)
    world.pushed(parts, "transdev/validations", world.taps(["CARD-D4"], days=1))
    assert parts.tables.periods(TAPS) == {"2026-01": 1}
    retention.run(later)
    files = list(parts.tables.snapshot([COUNTS]).files[COUNTS])
    with duckdb.connect() as connection:
        query = "SELECT sum(taps) FROM read_parquet($files)"
        assert connection.sql(query, params={"files": files}).fetchall() == [(16,)]
    assert parts.tables.periods(TAPS) == {}


@pytest.mark.parametrize("step", ["drop", "record"])
def test_a_run_that_dies_counts_nothing_twice(
    parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = at(parts, 2026, 4, 1)

    class Died(Exception):
        pass

    def dies(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(parts.tables if step == "drop" else parts.books, step, dies)
        with pytest.raises(Died):
            retention.run(later)
    retention.run(later)
    retention.destroy_keys(later)
    files = list(parts.tables.snapshot([COUNTS]).files[COUNTS])
    with duckdb.connect() as connection:
        query = "SELECT sum(taps) FROM read_parquet($files)"
        assert connection.sql(query, params={"files": files}).fetchall() == [(15,)]
    assert parts.tables.periods(TAPS) == {}
    assert parts.keyring.periods("school-mobility") == ["2025-2026"]
    assert reconcile(later).problems == []


def test_trips_stay_for_the_school_year_and_twelve_months(parts: Parts) -> None:
    names = names_of(parts, "coachco2", PERSON)
    retention.run(at(parts, 2027, 8, 31))
    assert parts.tables.periods(TRIPS) == {"2025-2026": 16}
    retention.run(at(parts, 2027, 9, 1))
    assert parts.tables.periods(TRIPS) == {}
    assert parts.keyring.periods("school-mobility") == []
    assert find(parts.settings.home, names, parts.vault.unseal) == []


def test_an_agreement_may_keep_longer_with_a_reason(parts: Parts) -> None:
    agreement = parts.books.agreement("transdev", "validations")
    assert agreement is not None
    for terms, kept in (
        ({"months": 12, "reason": "appel en cours"}, True),
        ({"months": 12, "reason": "  "}, False),
    ):
        event = AuditEvent(Kind.AGREEMENT_RECORDED, "hub", "x", parts.clock(), {})
        longer = replace(agreement, terms=dict(agreement.terms) | {"retention": terms})
        parts.books.add_agreement(longer, event=event)
        assert (retention.due(at(parts, 2026, 6, 1)) == []) is kept
    assert retention.due(at(parts, 2027, 1, 1)) != []
    with pytest.raises(ValidationError):
        RetentionTerms(months=12, reason="")


def test_every_dataset_about_people_has_a_rule() -> None:
    about_people = {key for key, d in DATASETS.items() if d.subject and key not in ACTS}
    assert set(retention.RULES) == about_people


def test_a_key_that_rows_need_stays(parts: Parts) -> None:
    assert retention.destroy_keys(parts) == []
    parts.period_key("school-mobility", "1999-2000")
    parts.period_key("linking", "2025-2026")
    gone = retention.destroy_keys(parts)
    assert sorted(gone) == ["linking/2025-2026", "school-mobility/1999-2000"]
    assert parts.keyring.periods("school-mobility") == ["2025-2026", "2026-01"]
    assert parts.keyring.periods("refusals") == [] or parts.keyring.periods("refusals")


def test_a_key_waits_for_whoever_writes(parts: Parts) -> None:
    with parts.holding_tables("transdev/validations"), pytest.raises(Unavailable):
        retention.destroy_keys(replace(parts, lease=timedelta(milliseconds=200)))


def test_a_push_that_cannot_be_processed_ends_with_its_file(parts: Parts, tmp_path: Path) -> None:
    empty = world.hub_in(tmp_path / "other")  # no lycées: trips have to wait
    made, _ = push.accept(empty, OPERATOR, "coachco2", "trips", [world.trips([PERSON])])
    worker.drain(empty)
    assert list(empty.vault.names()) != []
    late = replace(empty, clock=lambda: made.accepted_at + timedelta(hours=73))
    assert [one.kind for one in retention.due(late)] == ["file"]
    worker.drain(late)
    done = empty.books.push(made.id)
    assert done is not None
    assert done.state is PushState.REFUSED
    assert done.problem is not None
    assert done.problem["code"] == "not-processed-in-time"
    assert list(empty.vault.names()) == []


def test_a_push_that_kills_its_worker_each_time_ends_too(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left then to say that it failed: whoever comes next looks at its age first."""
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["CARD-Z9"])])
    tried = []

    def dies(_: Parts, push_id: str) -> None:
        tried.append(push_id)
        raise KeyboardInterrupt  # no edge catches it: the lease stays until it runs out

    monkeypatch.setitem(cast("dict[str, worker.Verb]", worker.FILES), "push", dies)

    def after(hours: int) -> Parts:
        return replace(parts, clock=lambda: made.accepted_at + timedelta(hours=hours))

    for hours in (0, 24, 48, 71):
        with pytest.raises(KeyboardInterrupt):
            worker.step(after(hours))
    assert tried == [made.id] * 4
    worker.drain(after(73))
    assert len(tried) == 4
    done = parts.books.push(made.id)
    assert done is not None
    assert done.problem is not None
    assert done.problem["code"] == "not-processed-in-time"
    assert list(parts.vault.names()) == []
    assert reconcile(parts).problems == []


def test_a_hub_that_was_off_still_processes_what_it_acknowledged(parts: Parts) -> None:
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["C"])])
    worker.drain(replace(parts, clock=lambda: made.accepted_at + timedelta(days=5)))
    done = parts.books.push(made.id)
    assert done is not None
    assert done.state is PushState.STORED


def test_bodies_of_old_events_are_erased_by_name(parts: Parts) -> None:
    before = parts.books.events(limit=1000)
    later = replace(parts, clock=lambda: datetime.now(UTC) + retention.BODIES + timedelta(days=1))
    retention.run(later)
    erased = [e for e in parts.books.events(limit=1000) if not e.body]
    assert {e.sequence for e in erased} >= {e.sequence for e in before}
    assert all(not e.salt for e in erased)
    [named] = parts.books.events(kind="event.erased")
    first, last = msgspec.json.decode(named.body)["facts"]["erased"][0]
    assert all(e.index is not None and first <= e.index <= last for e in erased)
    assert reconcile(later).problems == []
    retention.run(later)
    assert len(parts.books.events(kind="event.erased")) == 1, "what names an erasure is kept"


def test_an_erasure_that_no_event_names_is_found(parts: Parts) -> None:
    [event] = parts.books.events(kind="push.stored", limit=1)
    nameless = AuditEvent(Kind.EVENT_ERASED, "x", "log", parts.clock(), {"erased": []})
    parts.books.erase_events([event.sequence], event=nameless)
    parts.sequence()
    problems = [str(problem) for problem in reconcile(parts).problems]
    assert any(f"{event.index}" in problem for problem in problems), problems

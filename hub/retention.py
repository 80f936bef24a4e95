"""Retention: whatever is kept for a time goes when its time is over, and its key with it.

`due` says what would go today, `run` lets it go; the worker runs it every day. Each act is an
event, may be killed at any step and is then done again.

1. Rows of a period whose time is over leave their table, older versions and logs included. Taps
   first become counts by line, stop, day and hour, in a table about nobody that is not published:
   no release reads it without passing protection.
2. A key that no row needs any more is destroyed: under the writer leases of every table that may
   have its rows, so that no push is just making more.
3. Rows set aside for long enough are destroyed; sealed files that could not be processed in time
   end with their push (`push.expire`, by the worker that holds its job).
4. Back-ups expire (`backup.expire`).
5. Sealed proofs of consents that ended five years ago are destroyed, and what stands in their place
   in a hub that had nobody to seal them for. Bodies and salts of old events
   are erased: the entries stay in the log; an event names their places, and only an erasure that is
   named is believed.
6. Large tables are gathered, so that the next withdrawal moves few rows.

A period leaves whole, and no row of it stays longer than the rule: a month of taps goes three
months after its first day. An agreement may set a longer time, with a written reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import duckdb
import pyarrow as pa

from connectors.contract import Batch, Dataset
from consent import gate, pseudonyms, purposes
from hub import consent_proofs, push, stages, upkeep
from hub.audit import erasure
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Parts
from hub.records import Agreement, Basis
from hub.storage.rows import PERIOD, PSEUDONYM
from hub.storage.states import commit, state

BODIES: Final = timedelta(days=5 * 365 + 2)
AT_ONCE: Final = 10_000
MOST: Final = 1_000_000
CLASSES: Final = ((11, "1-10"), (101, "11-100"), (1001, "101-1000"), (None, "1001+"))
TRIPS_OF_LINES: Final = "region/gtfs/trips"


@dataclass(frozen=True, slots=True)
class Rule:
    """How long rows of a dataset are kept: months from the day on which `starts` of the period."""

    starts: Callable[[str], date]
    months: int
    reason: str
    counted: bool = False


def _month(period: str) -> date:
    return date.fromisoformat(f"{period}-01")


def _school_year(period: str) -> date:
    return date(int(period[5:]), 9, 1)


RULES: Final[Mapping[str, Rule]] = {
    "transdev/validations": Rule(_month, 3, "taps: three months, then counts", counted=True),
    "coachco2/trips": Rule(_school_year, 12, "trips: the school year and twelve months"),
}
"""Every dataset that has rows about people has one."""

OURS: Final = frozenset({"rows", "key", "proof", "event"})
"""What `run` lets go; rows set aside, sealed files and back-ups end where they are kept."""
PROOF: Final = "sealed proof of consent: five years"
COLLECTED: Final = "how a consent was collected, where nobody could seal it: five years"
BOARDINGS: Final = "boardings_hourly"
COUNTS: Final = pa.schema(
    [
        ("date", pa.date32()),
        ("hour", pa.int16()),
        ("line", pa.string()),
        ("stop_id", pa.string()),
        ("taps", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Due:
    """Something whose time is over: since when, of what kind, why, and about how much of it."""

    kind: str
    name: str
    period: str
    count: str
    reason: str
    due: date

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "period": self.period,
            "count": self.count,
            "reason": self.reason,
            "due": self.due.isoformat(),
        }


def due(parts: Parts) -> list[Due]:
    """What would go today. Counts are told as classes: a number would tell who left before."""
    today = parts.clock().date()
    ended = list(_periods_due(parts, today))
    found = [_period_due(parts, *one) for one in ended]
    gone = {(f"{dataset.key}/{table}", period) for dataset, table, period, _ in ended}
    for purpose, keys in _tables_of_purposes(parts).items():
        for period in _needless(parts, purpose, keys, gone):
            reason = "key of a period without rows"
            found.append(Due("key", purpose, period, "1-10", reason, today))
    for waiting in parts.books.pending_pushes():
        until = waiting.accepted_at + push.TRANSIT
        if until <= parts.clock():
            reason = "sealed file: 72 hours"
            found.append(Due("file", waiting.id, "", "1-10", reason, until.date()))
    aside = [row.until for row in parts.books.set_aside(limit=MOST) if row.until]
    old = [until for until in aside if until < today]
    if old:
        reason = "row set aside: 30 days"
        found.append(Due("quarantine", "quarantine", "", _class(len(old)), reason, min(old)))
    for backup in parts.books.backups():
        if backup.expires_at <= parts.clock():
            on = backup.expires_at.date()
            found.append(Due("backup", backup.id, "", "1-10", "back-up: 30 days", on))
    proofs = parts.books.proofs_over(parts.clock())
    if proofs:
        on = proofs[0].date()
        found.append(Due("proof", "consent_proofs", "", _class(len(proofs)), PROOF, on))
    collected = parts.books.collected_over(parts.clock() - consent_proofs.KEPT)
    if collected:
        on = (collected[0] + consent_proofs.KEPT).date()
        found.append(Due("proof", "grants", "", _class(len(collected)), COLLECTED, on))
    bodies = parts.books.readable_events(parts.clock() - BODIES, AT_ONCE)
    if bodies:
        reason = "body of an event: five years"
        found.append(Due("event", "log", "", _class(len(bodies)), reason, today))
    return found


def run(parts: Parts, progress: Callable[[str], None] = lambda _step: None) -> list[Due]:
    """Let go what is due of `OURS`, gather tables. Returns what went.

    `progress` is told each step that begins: "rows", "keys", "proofs", "gathering".
    """
    progress("rows")
    today = parts.clock().date()
    gone = [one for one in due(parts) if one.kind in OURS]
    for dataset, table, period, _ in list(_periods_due(parts, today)):
        with parts.holding_tables(dataset.key):
            _end_period(parts, dataset, table, period)  # 1
    progress("keys")
    destroy_keys(parts)  # 2
    progress("proofs")
    _end_proofs(parts)  # 5
    _erase_bodies(parts)
    progress("gathering")
    for dataset in parts.personal():
        with parts.holding_tables(dataset.key):
            for table in dataset.tables:
                name = f"{dataset.key}/{table}"
                upkeep.rewrite(  # 6
                    parts,
                    name,
                    "gathering",
                    lambda name=name: parts.tables.gather(name),  # type: ignore[misc]
                )
    parts.sequence()
    return gone


def _periods_due(parts: Parts, today: date) -> Iterator[tuple[Dataset, str, str, date]]:
    """Dataset, table, period and the day since when the period's rows must be gone."""
    for dataset in parts.personal():
        rule = RULES[dataset.key]
        agreement = parts.books.agreement(dataset.partner, dataset.name)
        for table in dataset.tables:
            for period in sorted(parts.tables.periods(f"{dataset.key}/{table}")):
                ends = _later(rule.starts(period), _months(rule, agreement))
                if ends <= today:
                    yield dataset, table, period, ends


def _months(rule: Rule, agreement: Agreement | None) -> int:
    """The rule's months, or more where the agreement says so and why."""
    extended = agreement.terms.get("retention") if agreement else None
    if extended and str(extended.get("reason", "")).strip():
        return max(rule.months, int(extended.get("months", 0)))
    return rule.months


def _later(day: date, months: int) -> date:
    count = day.year * 12 + day.month - 1 + months
    return date(count // 12, count % 12 + 1, day.day)


def _period_due(parts: Parts, dataset: Dataset, table: str, period: str, ends: date) -> Due:
    name = f"{dataset.key}/{table}"
    rows = parts.tables.periods(name).get(period, 0)
    return Due("rows", name, period, _class(rows), RULES[dataset.key].reason, ends)


def _class(count: int) -> str:
    return next(name for below, name in CLASSES if below is None or count < below)


def _end_period(parts: Parts, dataset: Dataset, table: str, period: str) -> None:
    """Step 1 for one period, under the writer lease."""
    name = f"{dataset.key}/{table}"
    about = f"{name}/{period}"
    counts: dict[str, Any] = {}
    if RULES[dataset.key].counted:
        counts = _count(parts, dataset, name, period, about)
    upkeep.rewrite(parts, name, "retention", lambda: parts.tables.drop(name, [period]))
    event = AuditEvent(
        Kind.RETENTION_ENDED,
        WORKER.organisation,
        about,
        parts.clock(),
        {"dataset": dataset.key, "period": period, "because": RULES[dataset.key].reason, **counts},
    )
    parts.books.record(event=event)


def _count(parts: Parts, dataset: Dataset, name: str, period: str, about: str) -> dict[str, Any]:
    """Add the period's taps to the counts, once: the transaction is named after the period.

    Rows that came late make another: it has the number of those that were recorded before.
    """
    number = len(parts.books.events(kind=Kind.RETENTION_ENDED, about=about))
    target = f"{dataset.key}/{BOARDINGS}"
    counts = _counted(parts, name, period)
    derived = Dataset(
        dataset.partner,
        dataset.name,
        dataset.title,
        dataset.source,
        {BOARDINGS: COUNTS},
        lambda _file, _reading: iter([Batch(BOARDINGS, counts, counts.num_rows)]),
    )
    before = state(parts.tables, target)
    made = parts.tables.append(
        target, _through(derived, parts), f"retention-{period}-{number}", personal=False
    )
    after = state(parts.tables, target)
    told = commit(before, after, made.version, made.rows)
    return {"tables": {target: {"version": made.version}}, "counts": {target: told}}


def _through(derived: Dataset, parts: Parts) -> Iterator[stages.Pseudonymous]:
    """Rows about nobody go the way all rows go: there is no other into a table."""
    nobody = pa.array([], pa.binary())
    people = stages.People(
        Agreement(derived.partner, derived.name, "", Basis.NOT_PERSONAL, {}),
        gate.Standing(nobody, pa.array([], pa.string()), nobody),
        b"",
        lambda _period: b"",
    )
    reading = parts.territory.reading(derived.key, parts.clock())
    tally = stages.Tally()
    parsed = stages.parse(derived, io.BytesIO(), reading, tally)
    places = push.places(parts, needed=False)
    for chunk in stages.recognise_rows(parsed, places, parts.rules, tally):
        yield stages.pseudonymise(stages.admit(chunk, people), people)


def _counted(parts: Parts, name: str, period: str) -> pa.RecordBatch:
    """Taps on boarding by day, hour, line and stop; the line is empty where no timetable has it."""
    files = parts.tables.snapshot([name, TRIPS_OF_LINES]).files
    theirs = [file for file in files[name] if f"/{PERIOD}={period}/" in file]
    taps = "FROM read_parquet($taps) ANTI JOIN uncounted USING (pseudonym)"
    taps += " WHERE fare_action = 'Enter'"
    of = f"SELECT date, quarter_hour // 4 AS hour, trip_id, stop_id {taps}"
    line, joined = "''", ""
    params: dict[str, Any] = {"taps": theirs}
    if files[TRIPS_OF_LINES]:
        params["lines"] = list(files[TRIPS_OF_LINES])
        line = "coalesce(line, '')"
        joined = (
            "LEFT JOIN (SELECT trip_id, any_value(route_id) AS line FROM read_parquet($lines)"
            " GROUP BY trip_id) USING (trip_id)"
        )
    query = (
        f"SELECT date, hour, {line} AS line, coalesce(stop_id, '') AS stop_id,"  # noqa: S608 - ours
        f" count(*) AS taps FROM ({of}) {joined} GROUP BY ALL ORDER BY ALL"
    )
    with duckdb.connect() as connection:
        connection.register("uncounted", _uncounted(parts, name, period))
        counted = connection.sql(query, params=params).to_arrow_table().cast(COUNTS)
    return pa.RecordBatch.from_pydict(counted.to_pydict(), COUNTS)


def _uncounted(parts: Parts, name: str, period: str) -> pa.Table:
    """Pseudonyms of those who objected, or whose rows a case holds: there, and not used."""
    against: list[bytes] = []
    for agreement in parts.books.concluded():
        about = f"{agreement.partner}/{agreement.dataset}" == name.rpartition("/")[0]
        if about and period in parts.keyring.periods(agreement.purpose):
            key = parts.keyring.period_key(agreement.purpose, period)
            objected = parts.standing(agreement).objected
            against += pseudonyms.pseudonyms(key, objected).to_pylist()
    return pa.table({PSEUDONYM: pa.array(against, pa.binary())})


def destroy_keys(parts: Parts) -> list[str]:
    """Step 2. Returns purpose and period of each key that went."""
    gone: list[str] = []
    for purpose, keys in _tables_of_purposes(parts).items():
        if not parts.keyring.periods(purpose):
            continue
        with ExitStack() as leases:
            for key in keys:  # in one order everywhere: two that do this do not block each other
                leases.enter_context(parts.holding_tables(key))
            for period in _needless(parts, purpose, keys):
                _destroy_key(parts, purpose, period)
                gone.append(f"{purpose}/{period}")
    return gone


def _tables_of_purposes(parts: Parts) -> dict[str, list[str]]:
    """For each purpose the datasets that may hold rows under a key of it, in order."""
    about_people = {dataset.key for dataset in parts.personal()}
    made = {(f"{a.partner}/{a.dataset}", a.purpose) for a in parts.books.agreement_versions()}
    return {
        purpose: sorted(key for key, other in made if other == purpose and key in about_people)
        for purpose in purposes.PURPOSES
    }


def _needless(
    parts: Parts, purpose: str, keys: Iterable[str], gone: Container[tuple[str, str]] = ()
) -> list[str]:
    """Periods whose key no row needs, once those of `gone` (table and period) have left."""
    names = [f"{key}/{table}" for key in keys for table in parts.datasets[key].tables]
    needed = {
        period
        for name in names
        for period in parts.tables.periods(name)
        if (name, period) not in gone
    }
    return [period for period in parts.keyring.periods(purpose) if period not in needed]


def _destroy_key(parts: Parts, purpose: str, period: str) -> None:
    """The event comes first: a key that is gone without one could not be told from a lost one."""
    until = parts.books.backups_until()
    facts = {"backups_expire_at": until.isoformat() if until else None}
    parts.books.record(
        event=AuditEvent(
            Kind.KEY_DESTROYED, WORKER.organisation, f"{purpose}/{period}", parts.clock(), facts
        )
    )
    parts.keyring.destroy(purpose, period)


def _end_proofs(parts: Parts) -> None:
    now = parts.clock()
    if parts.books.proofs_over(now):
        parts.books.drop_proofs(now, event=_over("consent_proofs", now, PROOF))
        parts.books.compact()
    before = now - consent_proofs.KEPT
    if parts.books.collected_over(before):
        names = consent_proofs.COLLECTED
        parts.books.drop_collected(before, names, event=_over("grants", now, COLLECTED))
        parts.books.compact()


def _over(about: str, now: datetime, because: str) -> AuditEvent:
    facts = {"because": because}
    return AuditEvent(Kind.RETENTION_ENDED, WORKER.organisation, about, now, facts)


def _erase_bodies(parts: Parts) -> None:
    before = parts.clock() - BODIES
    while old := parts.books.readable_events(before, AT_ONCE):
        places = [event.index for event in old if event.index is not None]
        parts.books.erase_events(
            [event.sequence for event in old],
            event=AuditEvent(
                Kind.EVENT_ERASED,
                WORKER.organisation,
                "log",
                parts.clock(),
                {"because": "five years", erasure.FACT: erasure.ranges(places)},
            ),
        )
        parts.books.compact()

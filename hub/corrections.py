"""Correct: a person takes false days of theirs out, and the partner sends the right ones.

The hub measures nothing: what is right only the partner can say, and send (art. 16). What the hub
can do is take out what its person says is false, for no other reason than that they say so.

1. `ask` opens a case of the register, with the days in the job beside it and nowhere else: they
   go when the job is done. From here on the case holds all rows of the person, as restriction
   does (art. 18(1)(a)): no release is computed with a false day.
2. `settle`, in a worker, rewrites the person's buckets without their rows of those days, as a
   withdrawal does without all, and purges what was before. Rows set aside for them go, so that no
   replay brings one back. May be killed at any step and is then done again.
3. The case is closed as done, which ends the hold. What the partner sends for those days from now
   on is admitted like any row. (A home is recognised by recurrence: it sends a week, not a trip.)
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa

from consent import pseudonyms
from hub import rights, upkeep
from hub.errors import Rejected
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.records import Case, Code

CONCERNS = {"coachco2/trips": "trips", "transdev/validations": "taps"}
"""What a case about a dataset is about; every dataset with rows about people has one."""


def ask(parts: Parts, actor: Actor, code: Code, dataset: str, first: str, last: str) -> Case:
    """Open the case of false days, from a first to a last (ISO 8601), both with rows of theirs.

    Raises `Denied`, and `Rejected` for no such days.
    """
    theirs = {each.isoformat() for each in rights.days(parts, code).get(dataset, [])}
    if first > last or not {first, last} <= theirs:
        raise Rejected(
            "no-such-day",
            fr="Le hub n’a pas de ligne de toi ces jours-là, ou la fin est avant le début.",
            en="The hub has no row of yours on those days, or the end is before the beginning.",
            who="person",
        )
    correction = f"{dataset}.{first}.{last}"
    return rights.open_case(parts, actor, "rectification", CONCERNS[dataset], code, correction)


def settle(parts: Parts, about: str) -> None:
    """Take the days out, and close the case. Again is harmless."""
    case_id, _, correction = about.partition(".")
    case = parts.books.case(case_id)
    if case is None or case.participant is None or case.closed_at is not None:
        return
    take_out(parts, case.participant, correction)  # 2
    now = parts.clock()
    facts = {"answer": "done", "ground": "", "late": now > case.due_at}
    parts.books.move_case(  # 3
        replace(case, state="done", closed_at=now),
        was=case.state,
        event=AuditEvent(Kind.CASE_CLOSED, WORKER.organisation, case.id, now, facts),
    )
    parts.books.compact()
    parts.sequence()


def take_out(parts: Parts, participant: str, correction: str) -> None:
    """Step 2, for days as the journal has them: `dataset.first.last`."""
    key, first, last = correction.split(".")
    days = (date.fromisoformat(first), date.fromisoformat(last))
    dataset = parts.datasets[key]
    subjects = parts.books.linked(participant, dataset.partner)
    with parts.holding_tables(key):
        gone: dict[str, list[bytes]] = {}
        agreements = parts.books.agreement_versions()
        for purpose in {a.purpose for a in agreements if f"{a.partner}/{a.dataset}" == key}:
            for period in parts.keyring.periods(purpose):
                named = pseudonyms.pseudonyms(
                    parts.keyring.period_key(purpose, period), pa.array(subjects, pa.binary())
                )
                gone.setdefault(period, []).extend(named.to_pylist())
        for table in dataset.tables:
            name = f"{key}/{table}"
            upkeep.rewrite(
                parts,
                name,
                "correction",
                lambda name=name: parts.tables.rewrite(name, gone, days),  # type: ignore[misc]
            )
    facts = {"because": "correction"}
    parts.books.drop_set_aside(
        subjects=subjects,
        event=AuditEvent(Kind.QUARANTINE_DROPPED, WORKER.organisation, key, parts.clock(), facts),
    )

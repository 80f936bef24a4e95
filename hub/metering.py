"""Metering: who used what, how often, and from which partner's data, told from the events.

A reading is an event `release.read`; nothing is counted beside the log, so that a statement can be
checked against it. Anonymous readings of open releases leave no trace and are in no statement.
Those who watch over the hub read all of it, a partner what was made of its data, and others what
their own organisation read. A statement names organisations, never accounts.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hub.errors import Rejected
from hub.events import Kind
from hub.parts import Actor, Parts
from hub.records import Role
from hub.storage.books import Search

PAGE: Final = 1000
COLUMNS: Final = (
    "month", "organisation", "release", "request", "purpose", "format", "partners", "reads",
    "parts",
)  # fmt: skip
WATCHES: Final = frozenset({Role.AUDITOR, Role.DPO, Role.OPERATOR, Role.STEWARD})
_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """Readings of one format of one release by one organisation, under one request or none.

    `reads` are whole files, `parts` pieces of one (programs read Parquet in pieces).
    """

    month: str
    organisation: str
    release: str
    request: str
    purpose: str
    format: str
    partners: tuple[str, ...]
    reads: int = 0
    parts: int = 0

    def as_json(self) -> dict[str, Any]:
        """The line as JSON."""
        return {name: getattr(self, name) for name in COLUMNS} | {"partners": list(self.partners)}


@dataclass(frozen=True, slots=True)
class Total:
    """What one partner's data was used for, or one organisation used, in a month."""

    name: str
    reads: int
    parts: int
    releases: int


def statement(parts: Parts, actor: Actor, month: str) -> list[Use]:
    """What was used in a month (`2026-03`, UTC), as far as the actor may know.

    Raises `Denied`, and `Rejected` for what is no month.
    """
    parts.require(
        "request", actor, {"action": "usage", "request": {"organisation": actor.organisation}}
    )
    whole: Counter[Use] = Counter()
    pieces: Counter[Use] = Counter()
    made_of: dict[str, tuple[str, ...]] = {}
    for body in _readings(parts, month):
        facts, release = body["facts"], body["about"]
        if release not in made_of:
            made_of[release] = _partners(parts, release)
        if not _theirs(actor, body["actor"], made_of[release]):
            continue
        line = Use(
            month=month,
            organisation=body["actor"],
            release=release,
            request=facts.get("request", ""),
            purpose=facts.get("purpose", ""),
            format=facts.get("format", ""),
            partners=made_of[release],
        )
        (pieces if facts.get("part") else whole)[line] += 1
    return sorted(
        replace(line, reads=whole[line], parts=pieces[line]) for line in {*whole, *pieces}
    )


def only(uses: Sequence[Use], name: str) -> list[Use]:
    """The statement of one partner or reading organisation; of everyone without a name."""
    return [use for use in uses if not name or name in {use.organisation, *use.partners}]


def totals(uses: Sequence[Use], by: Callable[[Use], Sequence[str]]) -> list[Total]:
    """Readings summed by partner or by organisation, by name."""
    found: dict[str, list[Use]] = {}
    for use in uses:
        for name in by(use):
            found.setdefault(name, []).append(use)
    return [
        Total(
            name,
            sum(one.reads for one in ones),
            sum(one.parts for one in ones),
            len({one.release for one in ones}),
        )
        for name, ones in sorted(found.items())
    ]


def as_csv(uses: Sequence[Use]) -> str:
    """A statement as CSV; partners are joined by a blank. Ids begin like no formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for use in uses:
        cells = use.as_json() | {"partners": " ".join(use.partners)}
        writer.writerow([_inert(cells[name]) for name in COLUMNS])
    return text.getvalue()


def this_month(now: datetime) -> str:
    """The month of a moment."""
    return f"{now.astimezone(UTC):%Y-%m}"


def _readings(parts: Parts, month: str) -> Iterator[Mapping[str, Any]]:
    if not _MONTH.fullmatch(month) or month[:4] == "0000":
        raise Rejected(
            "month-unreadable",
            fr="Un mois s’écrit 2026-03.",
            en="A month is written 2026-03.",
            who="person",
            where="month",
        )
    year, number = int(month[:4]), int(month[5:])
    begins = datetime(year, number, 1, tzinfo=UTC)
    # The last month there is has no next: its readings are all that follow.
    ends = (
        None
        if (year, number) == (9999, 12)
        else datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    )
    wanted = Search(kinds=(str(Kind.RELEASE_READ),), since=begins, until=ends)
    after = 0
    while events := parts.books.search(wanted, after, PAGE):
        after = events[-1].sequence
        for event in events:
            if event.body:  # erased at the end of its time
                yield msgspec.json.decode(event.body)


def _partners(parts: Parts, release_id: str) -> tuple[str, ...]:
    release = parts.books.release(release_id)
    inputs = release.manifest.get("inputs", ()) if release is not None else ()
    return tuple(sorted({str(one["table"]).split("/")[0] for one in inputs}))


def _theirs(actor: Actor, reader: str, partners: tuple[str, ...]) -> bool:
    if actor.role in WATCHES:
        return True
    if actor.role == Role.PARTNER:
        return actor.organisation in partners
    return actor.organisation == reader


def _inert(value: object) -> str:
    text = str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text

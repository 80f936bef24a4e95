"""Quarantine: rows set aside, looked at without their content, read again, and destroyed in time.

`replay`, after a connector was mended:

1. An earlier replay that died is finished first: if its rows are in the table they only have to
   leave the quarantine, else they are put back.
2. Each row is opened and read alone: those that are good now are taken up. A row refused as a
   duplicate is not replayed: alone it would look unique.
3. The rows taken up are marked, durably, before anything is appended: a death after step 5 is then
   recognised, and no row is appended twice or lost.
4. Under the writer lease the gate is asked as it stands now: who has withdrawn stays out.
5. They are appended under a transaction of their own.
6. They leave the quarantine in the transaction of the event.

The push's receipt is not rewritten: it says what was true of the file that was sent.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

from connectors.contract import REASONS, Dataset, Malformed, Reading
from hub import push as pushes
from hub import reading as readings
from hub import stages
from hub.errors import Conflict, NotFound
from hub.events import AuditEvent, Kind
from hub.parts import WORKER, Actor, Parts
from hub.records import Push, SetAside
from hub.storage.sealing import Opener
from hub.storage.states import commit, state

ALONE: Final = frozenset({"duplicate_row"})
"""Reasons that depend on other rows: a row read alone would not show them."""
PATTERN_LENGTH: Final = 200
MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: rows that left the quarantine, rows a table got, rows still set aside."""

    push: str
    replayed: int
    kept: int
    left: int

    def shown(self) -> dict[str, Any]:
        """As JSON, for an operator."""
        return {
            "push": self.push,
            "replayed": self.replayed,
            "kept": self.kept,
            "left": self.left,
        }


def listed(
    parts: Parts, actor: Actor, push_id: str | None, partner: str | None, code: str | None
) -> list[SetAside]:
    """Rows set aside, of a push, a partner or a reason."""
    parts.require("admin", actor, {"action": "quarantine_list"})
    rows = parts.books.set_aside(push=push_id, partner=partner, limit=MOST)
    return [row for row in rows if code is None or row.code == code]


def show(
    parts: Parts, actor: Actor, push_id: str, position: int | None = None
) -> list[dict[str, Any]]:
    """Where and why rows were set aside, with the shape of their content and never the content."""
    parts.require("admin", actor, {"action": "quarantine_list"})
    rows = parts.books.set_aside(push=push_id, limit=MOST)
    if position is not None:
        rows = [row for row in rows if row.position == position]
    if not rows:
        raise NotFound(
            "nothing-set-aside",
            fr="Rien n’est en quarantaine à cet endroit.",
            en="Nothing is in quarantine there.",
            who="operator",
        )
    opener = cache(parts.vault.opener)
    return [
        {
            "push": row.push,
            "position": row.position,
            "code": row.code,
            "column": row.column,
            "fr": REASONS[row.code].words["fr"] if row.code in REASONS else "",
            "en": REASONS[row.code].words["en"] if row.code in REASONS else "",
            "until": row.until.isoformat() if row.until else None,
            "pattern": _shape(opener, row),
        }
        for row in rows
    ]


def pattern(data: bytes) -> str:
    """The shape of a row: digits become 9, runs of other letters `a`; what separates stays.

    Whatever could be a name, a reference or a place is gone; what a date or a number looks like
    is left, which is what mending a column map takes.
    """
    text = data[: 4 * PATTERN_LENGTH].decode("utf-8", "replace").strip()
    text = re.sub(r"\d", "9", text)
    text = re.sub(r"[^\W\d_]+", "a", text)
    return re.sub(r"[^\x20-\x7e]", "?", text)[:PATTERN_LENGTH]


def _shape(opener: Callable[[], Opener], row: SetAside) -> str | None:
    """The shape of one row; `opener` is asked only where there is something to open."""
    if row.sealed is None:
        return None
    _, one = readings.without_reference(opener().unseal(row.sealed))
    below = b"" if pushes.documents(one) else one.partition(b"\n")[2]
    return pattern(below or one)


def replay(parts: Parts, actor: Actor, push_id: str) -> Replayed:
    """Read the rows set aside of a push again; those that are good now enter its table.

    Raises `Conflict` where the push's edition of a reference dataset has been replaced since.
    """
    decision = parts.require("admin", actor, {"action": "quarantine_replay"})
    push = parts.books.push(push_id)
    if push is None:
        raise pushes.unknown_push()
    dataset = parts.datasets[f"{push.partner}/{push.dataset}"]
    _check_current(parts, push, dataset)
    agreement = parts.books.agreement(push.partner, push.dataset)
    if agreement is None:
        raise pushes.no_agreement()
    with parts.holding_tables(dataset.key) as held:
        finished = _finish_earlier(parts, push, dataset)  # 1
        number = _next(parts, push_id)
        rows = parts.books.set_aside(push=push_id, limit=MOST)
        good, file, about = _readable(parts, dataset, push, rows)  # 2
        if not good:
            return Replayed(push_id, finished, 0, len(rows))
        parts.books.take_up([row.number for row in good if row.number is not None], number)  # 3
        tally = stages.Tally(tolerance=LENIENT)
        reading = readings.of(parts, push, about=about)
        parsed = stages.parse(dataset, io.BytesIO(file), reading, tally)
        places = pushes.places(parts, needed=dataset.key in pushes.NEEDS_PLACES)
        standing = parts.standing(agreement)  # 4
        people = stages.People(
            agreement,
            standing,
            parts.keyring.digest_key,
            lambda period: parts.period_key(agreement.purpose, period),
        )
        chunks = (
            stages.pseudonymise(stages.admit(chunk, people), people)
            for chunk in stages.recognise_rows(parsed, places, parts.rules, tally)
        )
        name = table_of(dataset)
        before = state(parts.tables, name)
        held.check()
        made = parts.tables.append(  # 5
            name,
            chunks,
            transaction(push_id, number),
            personal=dataset.subject is not None,
            mode="replace" if dataset.key in readings.RESENT else "append",
        )
        after = state(parts.tables, name)
        told = commit(before, after, made.version, made.rows)
        event = _left(parts, actor, push, number, made.rows, {"commits": {name: told}})
        gone = parts.books.drop_replayed(push.id, number, event=parts.told(event, decision))  # 6
    parts.sequence()
    return Replayed(push_id, finished + gone, made.rows, len(rows) - gone)


LENIENT: Final = stages.Tolerance(share=1.0)


def transaction(push_id: str, number: int) -> str:
    """The table transaction, and the event's subject, of a replay."""
    return f"{push_id}-replay-{number}"


def table_of(dataset: Dataset) -> str:
    """The one table rows can be replayed into."""
    return f"{dataset.key}/{next(iter(dataset.tables))}"


def drop(parts: Parts, actor: Actor, push_id: str) -> int:
    """Destroy the rows set aside of a push. Returns their number. Raises `Denied`."""
    decision = parts.require("admin", actor, {"action": "quarantine_drop"})
    event = AuditEvent(
        Kind.QUARANTINE_DROPPED,
        actor.organisation,
        push_id,
        parts.clock(),
        {"because": actor.role},
    )
    return parts.books.drop_set_aside(push=push_id, event=parts.told(event, decision))


def expire(parts: Parts, now: datetime) -> int:
    """Destroy what has been set aside for long enough. Returns the number of rows."""
    gone = parts.books.drop_set_aside(
        before=now.date(),
        event=AuditEvent(
            Kind.QUARANTINE_DROPPED,
            WORKER.organisation,
            "expired",
            now,
            {"because": "expired", "before": now.date().isoformat()},
        ),
    )
    parts.books.forget_rejections(now.date())
    return gone


def _finish_earlier(parts: Parts, push: Push, dataset: Dataset) -> int:
    number = parts.books.taken_up(push.id)
    if number is None:
        return 0
    name = table_of(dataset)
    found = parts.tables.committed(name, transaction(push.id, number))
    if found is None:
        parts.books.put_back(push.id)
        return 0
    version, rows = found
    told = {"version": version, "rows": rows, "before": None, "after": None}
    event = _left(parts, WORKER, push, number, rows, {"commits": {name: told}})
    return parts.books.drop_replayed(push.id, number, event=event)


def _left(
    parts: Parts, actor: Actor, push: Push, number: int, kept: int, facts: Mapping[str, Any]
) -> AuditEvent:
    return AuditEvent(
        Kind.QUARANTINE_REPLAYED,
        actor.organisation,
        transaction(push.id, number),
        parts.clock(),
        {"push": push.id, "dataset": f"{push.partner}/{push.dataset}", "kept": kept, **facts},
    )


def _next(parts: Parts, push_id: str) -> int:
    number = 1
    while parts.books.events(
        kind=Kind.QUARANTINE_REPLAYED, about=transaction(push_id, number), limit=1
    ):
        number += 1
    return number


def _readable(
    parts: Parts, dataset: Dataset, push: Push, rows: Iterable[SetAside]
) -> tuple[list[SetAside], bytes, str | None]:
    """The rows that are good now, the file they make together, and whom it is about."""
    reading, about = readings.of(parts, push), None
    opener = cache(parts.vault.opener)
    good: list[tuple[SetAside, bytes]] = []
    for row in rows:
        if row.sealed is None or row.code in ALONE:
            continue
        about, one = readings.without_reference(opener().unseal(row.sealed))
        reading = replace(reading, reference=about)  # one file's rows are all about the same
        if _reads(dataset, _joined([one]), reading) == []:
            good.append((row, one))
    while good:
        # Together they may still be duplicates of each other: the later ones stay.
        file = _joined([one for _, one in good])
        bad = _reads(dataset, file, reading)
        if bad == []:
            return [row for row, _ in good], file, about
        places = _positions([one for _, one in good])
        good = [pair for pair, place in zip(good, places, strict=True) if place not in (bad or ())]
        if bad is None:
            break
    return [], b"", None


def _reads(dataset: Dataset, file: bytes, reading: Reading) -> list[int] | None:
    """Positions a file's reading refuses; None where it is refused whole."""
    bad: list[int] = []
    received = 0
    try:
        for batch in dataset.read(io.BytesIO(file), reading):
            received += batch.received
            bad.extend(row.position for row in batch.rejected)
    except Malformed:
        return None
    return bad if received else None


def _joined(ones: list[bytes]) -> bytes:
    """Files of one row as one file: below one header, or as one array of documents."""
    if pushes.documents(ones[0]):
        return b"[" + b",\n".join(ones) + b"]"
    header, _, _ = ones[0].partition(b"\n")
    rows = [one.partition(b"\n")[2] for one in ones]
    return b"\n".join([header, *(row.removesuffix(b"\n") for row in rows), b""])


def _positions(ones: list[bytes]) -> list[int]:
    """Where each row stands in the joined file, in the file's own unit."""
    if pushes.documents(ones[0]):
        return list(range(1, len(ones) + 1))
    places, line = [], 2
    for one in ones:
        places.append(line)
        line += one.partition(b"\n")[2].removesuffix(b"\n").count(b"\n") + 1
    return places


def _check_current(parts: Parts, push: Push, dataset: Dataset) -> None:
    if dataset.key not in pushes.REPLACED:
        return
    same = [p for p in parts.books.pushes(partner=push.partner, limit=MOST)
            if p.dataset == push.dataset and p.tables]  # fmt: skip
    if same and same[0].id != push.id:
        raise Conflict(
            "edition-replaced",
            fr="Une édition plus récente a remplacé ce dépôt ; ses lignes n’y ont plus leur place.",
            en="A later edition has replaced this push; its rows have no place in it.",
            who="operator",
        )

"""Which event wrote a row last, and what the row was then: what `hub audit reconcile` compares.

One rule for every audited table, kept in one place:

1. A row carries `written`, the sequence of the event that wrote it last, and `nonce`, 16 random
   bytes made anew by each write. Column defaults set both: no writer can forget them.
2. At the end the event's body is recorded, with a fact `records`: table → id → mark, where the
   mark is HMAC-SHA256(nonce, the row's other columns as canonical JSON), cut to 16 bytes.

Whoever changes, adds or removes a row behind the hub's back would have to change an event too,
and that is in the log. The mark covers the person's digest, or a grant could be handed to another
person unseen; it says nothing without its nonce, and the nonce goes with the digest: taking the
digest out of a row is a write, which makes a new nonce and overwrites the old one.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Table, insert, select

from hub.events import AuditEvent
from hub.storage.books import schema
from hub.storage.books.schema import NONCE, WRITTEN, Writing, event_bodies, event_topics

MARK_BYTES: Final = 16
SALT_BYTES: Final = 32
"""Of the salt that keeps an event's log entry from being guessed from a likely body."""
FACT: Final = "records"

AUDITED: Final[Mapping[str, str]] = {
    "organisations": "id",
    "agreements": "number",
    "agreement_acts": "number",
    "clients": "id",
    "accounts": "id",
    "tokens": "token_hash",
    "sessions": "session_hash",
    "pushes": "id",
    "grants": "id",
    "withdrawals": "id",
    "contributions": "grant",
    "codes": "id",
    "links": "number",
    "visits": "visit_hash",
    "cases": "id",
    "requests": "id",
    "release_intents": "number",
    "releases": "id",
}
"""Audited tables and the column that names a row. Rows set aside are counted instead: they go."""
NAMED: Final = (
    "pushes",
    "grants",
    "withdrawals",
    "releases",
    "requests",
    "codes",
    "cases",
    "clients",
    "accounts",
)
"""Tables whose rows have ids that people know: an event is found by each it wrote."""
PASSING: Final = frozenset({"tokens", "sessions", "visits"})
"""Tables whose rows end by themselves: one that is gone is no finding, one too many is."""


_SAID: Final = insert(event_bodies)
_FOUND_BY: Final = insert(event_topics)


@dataclass(frozen=True, slots=True)
class Marked:
    """A row as it is now: its name, the event that should have written it, its mark."""

    table: str
    id: str
    event: int | None
    mark: str


def close(connection: Connection, writing: Writing, event: AuditEvent) -> None:
    """Record what an event says, with the marks of what it wrote, and what it is about."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(writing.tables):
        table = schema.metadata.tables[name]
        for row in connection.execute(select(table).where(table.c[WRITTEN] == writing.event)):
            marked = mark(table, row)
            found.setdefault(name, {})[marked.id] = marked.mark
    facts = dict(event.facts) | ({FACT: found} if found else {})
    body = AuditEvent(event.kind, event.actor, event.about, event.at, facts).canonical()
    said = {"event": writing.event, "body": body, "salt": writing.random(SALT_BYTES)}
    connection.execute(_SAID, said)
    named = sorted(set(topics(event, found)))
    if named:
        connection.execute(_FOUND_BY, [{"topic": one, "event": writing.event} for one in named])


def topics(event: AuditEvent, found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """What an event can be found by, as `name:value`."""
    facts = event.facts
    for name in {
        event.about,
        *_texts(facts.get("decision")),
        *_texts(facts.get("request")),
    }:
        yield f"about:{name}"
    for name in {event.actor, *_texts(facts.get("partner"))}:
        yield f"organisation:{name}"
    for name in _texts(facts.get("dataset")):
        yield f"dataset:{name}"
    for table in facts.get("tables") or ():
        yield f"dataset:{table.rsplit('/', 1)[0]}"
    for purpose in (*_texts(facts.get("purpose")), *_texts(facts.get("purposes"))):
        yield f"purpose:{purpose}"
    for name in NAMED:
        for record in found.get(name, ()):
            yield f"about:{record}"


def marks(connection: Connection, name: str) -> Iterator[Marked]:
    """Every row of an audited table, with its mark recomputed."""
    table = schema.metadata.tables[name]
    for row in connection.execution_options(yield_per=1000).execute(select(table)):
        yield mark(table, row)


def mark(table: Table, row: Row[Any]) -> Marked:
    """The mark of a row."""
    values = dict(zip(table.c.keys(), row, strict=True))  # a fifth of what `_mapping` takes
    written, nonce = values.pop(WRITTEN), values.pop(NONCE)
    body = msgspec.json.encode({k: _plain(v) for k, v in values.items()}, order="deterministic")
    said = hmac.digest(nonce or b"", body, "sha256")[:MARK_BYTES]
    name = _plain(values[AUDITED[table.name]])
    return Marked(
        table.name, str(name)[:64], written, base64.urlsafe_b64encode(said).rstrip(b"=").decode()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return value.hex() if isinstance(value, bytes) else value


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()

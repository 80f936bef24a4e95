"""Looking into the log: the search of events by those entitled, each look itself an event.

The interface, the command line and the page ask here, so that the policy and the record of the
search are in one place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec

from hub import rights
from hub.audit.entries import entry_of
from hub.audit.tiles import Tree
from hub.errors import NotFound, Rejected
from hub.events import AuditEvent, Kind
from hub.parts import Actor, Parts
from hub.records import LoggedEvent
from hub.storage.books import Search

REFUSALS: Final = frozenset(
    {
        Kind.USER_REFUSED,
        Kind.TOKEN_REFUSED,
        Kind.PUSH_REFUSED,
        Kind.RELEASE_BLOCKED,
        Kind.ACCESS_DENIED,
    }
)
OUTCOMES: Final[Mapping[str, frozenset[Kind]]] = {
    "done": frozenset(Kind) - REFUSALS,
    "refused": REFUSALS,
}
"""An event's kind says how what it tells of ended."""
COLUMNS: Final = (
    "index",
    "sequence",
    "at",
    "kind",
    "outcome",
    "actor",
    "about",
    "body",
    "salt",
    "entry",
    "proof",
    "size",
    "root",
)
PAGE: Final = 500
LARGEST: Final = 2**53
"""No sequence and no index comes near; canonical JSON holds no larger number."""
LONGEST: Final = 200
"""Characters of a search term."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for; None asks nothing. Times are ISO 8601, a day means all of it.

    An empty text is refused: a variable that somebody forgot to set would ask for everything.
    """

    kind: str | None = None
    outcome: str | None = None
    organisation: str | None = None
    dataset: str | None = None
    purpose: str | None = None
    about: str | None = None
    since: str | None = None
    until: str | None = None

    def facts(self) -> dict[str, str]:
        """The fields that ask something."""
        asked = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in asked.items() if value is not None}

    def search(self) -> Search:
        """As the books understand it. Raises `Rejected` naming the field that cannot be read."""
        for name, value in self.facts().items():
            if not 0 < len(value) <= LONGEST or not value.isprintable():
                raise _unreadable(name)
        kinds: set[str] | None = None
        if self.kind:
            if self.kind not in {str(kind) for kind in Kind}:
                raise _unreadable("kind")
            kinds = {self.kind}
        if self.outcome:
            if self.outcome not in OUTCOMES:
                raise _unreadable("outcome")
            these = {str(kind) for kind in OUTCOMES[self.outcome]}
            kinds = these if kinds is None else kinds & these
        topics = ("organisation", "dataset", "purpose", "about")
        return Search(
            kinds=None if kinds is None else tuple(sorted(kinds)),
            topics=tuple(f"{n}:{getattr(self, n)}" for n in topics if getattr(self, n)),
            since=_time("since", self.since, timedelta(0)),
            until=_time("until", self.until, timedelta(days=1)),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, oldest first; `after` goes on from here, None at the end."""

    events: list[LoggedEvent]
    after: int | None


def look(parts: Parts, actor: Actor, asked: Question, after: int = 0, limit: int = 100) -> Found:
    """A page of what fits. Raises `Denied`, `Rejected`. The look is recorded before the answer.

    Pages are stable: events are only ever added, behind all others.
    """
    search = _begin(parts, actor, asked, {"after": after, "limit": limit})
    events = parts.books.search(search, after, limit + 1)
    more = len(events) > limit
    return Found(events[:limit], events[limit - 1].sequence if more else None)


def one(parts: Parts, actor: Actor, index: int) -> LoggedEvent:
    """The event at a place of the log. Raises `Denied`, `NotFound`."""
    # As text, and not asked of the books: the address may hold any number, JSON and SQL may not.
    _begin(parts, actor, Question(), {"index": str(index)[:20]})
    event = parts.books.event_at(index) if 0 <= index < LARGEST else None
    if event is None:
        raise NotFound(
            "no-such-event",
            fr="Le journal n’a pas d’événement à cet indice.",
            en="The log has no event at this index.",
            who="person",
        )
    return event


def code_id(parts: Parts, typed: str) -> str:
    """The id events have of a participation code: ask for what is `about` it.

    The code itself is never part of a search: a search is on record. Raises `NotFound`, the same
    for one that is mistyped and one that nobody has.
    """
    return rights.holder_of(parts, typed).id


def table(parts: Parts, actor: Actor, asked: Question) -> Iterator[bytes]:
    """Everything that fits as CSV in pieces, each event with its proof under one checkpoint.

    `entry` is what body and salt give; `proof` leads from it to `root`, sibling first, in hex.
    Asked for once, recorded once, before the first piece.
    """
    search = _begin(parts, actor, asked, {"format": "csv"})
    head = parts.log.head()
    return _pieces(parts, search, head.size, head.root)


def _pieces(parts: Parts, search: Search, size: int, root: bytes) -> Iterator[bytes]:
    tree = Tree(parts.log.store, size)
    yield _lines([COLUMNS])
    after = 0
    while page := parts.books.search(search, after, PAGE):
        yield _lines(_row(event, tree, size, root) for event in page)
        after = page[-1].sequence


def _row(event: LoggedEvent, tree: Tree, size: int, root: bytes) -> tuple[object, ...]:
    body = msgspec.json.decode(event.body)
    logged = event.index is not None and event.index < size
    proof = [node.hex() for node in tree.inclusion(event.index or 0)] if logged else []
    return (
        event.index if logged else "",
        event.sequence,
        body["at"],
        body["kind"],
        outcome(body["kind"]),
        safe(body["actor"]),
        safe(body["about"]),
        event.body.decode(),
        event.salt.hex(),
        entry_of(event).hex() if event.salt else "",
        " ".join(proof),
        size if logged else "",
        root.hex() if logged else "",
    )


def outcome(kind: str) -> str:
    """How what an event of this kind tells of ended."""
    return "refused" if kind in REFUSALS else "done"


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else text


def shown(event: LoggedEvent) -> dict[str, Any]:
    """An event as JSON, with the salt that opens its entry."""
    body = msgspec.json.decode(event.body)
    return {
        "sequence": event.sequence,
        "index": event.index,
        "outcome": outcome(body["kind"]),
        "event": body,
        "salt": event.salt.hex(),
        "entry": entry_of(event).hex() if event.salt else None,
    }


def _begin(parts: Parts, actor: Actor, asked: Question, how: Mapping[str, Any]) -> Search:
    decision = parts.require("audit_read", actor, {})
    search = asked.search()
    if asked.about:
        # A code stands for its person here: what befell their grants befell the code.
        traces = [f"about:{name}" for name in parts.books.traces_of(asked.about)]
        others = tuple(topic for topic in search.topics if not topic.startswith("about:"))
        search = replace(search, topics=others, any_of=tuple(traces))
    # What was asked is quoted whole, so that a look for one person's traces is seen; it is under
    # one name, so that the look is not found as if it were what it looked for.
    facts = {"search": asked.facts(), **how}
    event = AuditEvent(Kind.EVENTS_READ, actor.organisation, actor.id, parts.clock(), facts)
    parts.books.record(event=parts.told(event, decision))
    return search


def _lines(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _time(name: str, text: str | None, day: timedelta) -> datetime | None:
    """An instant; a day alone is its beginning plus `day`. Without a zone it is UTC."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            on = date.fromisoformat(text)
            return datetime(on.year, on.month, on.day, tzinfo=UTC) + day
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _unreadable(name) from error


def _unreadable(name: str) -> Rejected:
    return Rejected(
        "search-unreadable",
        fr=f"La recherche ne peut être lue : champ « {name} ».",
        en=f"The search cannot be read: field “{name}”.",
        who="person",
        where=name,
    )

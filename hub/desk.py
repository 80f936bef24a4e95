"""The desk of the data-protection officer over the hub's parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from hub import lookup, withdraw
from hub.errors import Unavailable
from hub.events import Kind
from hub.parts import Actor, Parts
from hub.records import Account, Basis, LoggedEvent
from hub.web.desk import Consents, Ending, Line, Lines, Overview

SHOWN = 50
"""Newest pushes and withdrawals on the page, and events at a time."""


@dataclass(frozen=True, slots=True)
class PartsDesk:
    """`hub.web.desk.Desk`, real."""

    parts: Parts

    def overview(self, account: Account) -> Overview:
        """See `Desk.overview`. The policy is asked; numbers of people are only read for a yes."""
        parts = self.parts
        parts.require("audit_read", Actor.of(account), {})
        size, root, last = self._log()
        by_reason: Counter[str] = Counter()
        for (_, code), count in parts.books.set_aside_counts().items():
            by_reason[code] += count
        late = {made.id: made for made in withdraw.overdue(parts)[:SHOWN]}
        newest = [made for made in parts.books.withdrawals(limit=SHOWN) if made.id not in late]
        return Overview(
            size=size,
            root=root,
            last_entry_at=last,
            consents=self._consents(),
            pushes=parts.books.pushes(limit=SHOWN),
            set_aside=dict(sorted(by_reason.items())),
            withdrawals=[
                Ending(
                    id=made.id,
                    partner=made.partner,
                    purposes=made.purposes,
                    requested_at=made.requested_at,
                    completed_at=made.completed_at,
                    tables=len(made.tables),
                    late_since=made.due_at if made.id in late else None,
                )
                for made in (*late.values(), *newest)
            ],
        )

    def search(self, account: Account, asked: Mapping[str, str], after: int) -> Lines:
        """See `Desk.search`."""
        question = lookup.Question(**asked)
        found = lookup.look(self.parts, Actor.of(account), question, after, SHOWN)
        return Lines([_line(event) for event in found.events], found.after)

    def kinds(self) -> Sequence[str]:
        """See `Desk.kinds`."""
        return [str(kind) for kind in Kind]

    def _log(self) -> tuple[int, str, datetime | None]:
        try:
            head = self.parts.log.head()
        except Unavailable:
            return 0, "", None
        event = self.parts.books.event_at(head.size - 1)
        return head.size, head.root.hex(), None if event is None else _line(event).at

    def _consents(self) -> list[Consents]:
        states: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for (partner, purpose, state), count in self.parts.books.grant_counts().items():
            states[partner, purpose][state] = count
        return [
            Consents(one.partner, one.dataset, one.purpose, states[one.partner, one.purpose])
            for one in self.parts.books.agreements()
            if one.basis is not Basis.NOT_PERSONAL
        ]


def _line(event: LoggedEvent) -> Line:
    body = msgspec.json.decode(event.body)
    facts = {name: fact for name, fact in body["facts"].items() if name != "records"}
    return Line(
        index=event.index,
        at=datetime.fromisoformat(body["at"]),
        kind=body["kind"],
        outcome=lookup.outcome(body["kind"]),
        actor=body["actor"],
        about=body["about"],
        facts=facts,
    )

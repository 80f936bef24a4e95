"""What the page of the data-protection officer needs, as a protocol with its memory version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from hub.errors import Denied
from hub.records import Account, Push, Role

READERS: Final = frozenset({Role.DPO, Role.AUDITOR})
"""Who is shown the way to the page; the policy decides who may open it."""


@dataclass(frozen=True, slots=True)
class Consents:
    """How many stand for a purpose at a partner, by state: numbers only."""

    partner: str
    dataset: str
    purpose: str
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ending:
    """A withdrawal and how far it has come; never whose. `late_since` where it is overdue."""

    id: str
    partner: str
    purposes: tuple[str, ...]
    requested_at: datetime
    completed_at: datetime | None
    tables: int
    late_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the hub, in numbers. `root` is empty before the log's first entry."""

    size: int = 0
    root: str = ""
    last_entry_at: datetime | None = None
    consents: Sequence[Consents] = ()
    pushes: Sequence[Push] = ()
    set_aside: Mapping[str, int] = field(default_factory=dict)
    withdrawals: Sequence[Ending] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """An event found; `index` None before the log has taken it in."""

    index: int | None
    at: datetime
    kind: str
    outcome: str
    actor: str
    about: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """A page of events, and where the next begins (None at the end)."""

    lines: Sequence[Line]
    after: int | None = None


class Desk(Protocol):
    """Where the page gets it. Methods raise `Denied` where the policy says no."""

    def overview(self, account: Account) -> Overview:
        """The state of the hub."""
        ...

    def search(self, account: Account, asked: Mapping[str, str], after: int) -> Lines:
        """Events that fit; the look is recorded. Raises `Rejected` for a term it cannot read."""
        ...

    def kinds(self) -> Sequence[str]:
        """Every kind of event there is."""
        ...


@dataclass(slots=True)
class MemoryDesk:
    """A desk that shows what it is given, and remembers what it was asked."""

    state: Overview = field(default_factory=Overview)
    lines: Sequence[Line] = ()
    asked: list[tuple[Mapping[str, str], int]] = field(default_factory=list)
    page: int = 2

    def overview(self, account: Account) -> Overview:
        """What it was given."""
        self._require(account)
        return self.state

    def search(self, account: Account, asked: Mapping[str, str], after: int) -> Lines:
        """The lines of the kind asked for, some at a time."""
        self._require(account)
        self.asked.append((asked, after))
        found = [line for line in self.lines if asked.get("kind", line.kind) == line.kind]
        end = after + self.page
        return Lines(found[after:end], end if len(found) > end else None)

    def kinds(self) -> Sequence[str]:
        """The kinds of its lines."""
        return sorted({line.kind for line in self.lines})

    def _require(self, account: Account) -> None:
        if account.role not in READERS:
            raise Denied(
                "denied-by-policy",
                fr="La politique d’accès refuse.",
                en="The access policy refuses.",
                who="steward",
            )

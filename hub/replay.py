"""Replay: the decisions the log tells of, put again to policies.

To the policies that answered, each must come out the same: whoever doubts a decision checks it so.
To new ones, what comes out otherwise is what deploying them would have changed. Questions hold
facts about organisations, agreements and tables, never about a person: policies see no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from hub.parts import Parts
from hub.policy.gate import PolicyGate
from hub.storage.books import Search

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that comes out otherwise: which event, and both answers."""

    event: int
    rule: str
    was: str
    now: str

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"event": self.event, "rule": self.rule, "was": self.was, "now": self.now}


@dataclass(slots=True)
class Replayed:
    """How many decisions were put again, by rule; which came out otherwise, and which cannot be."""

    bundle: str
    asked: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    other_policies: int = 0
    """Decisions of policies other than those they were now put to."""
    unasked: int = 0
    """Decisions whose question could not be kept: it was out of bounds, and refused for that."""

    @property
    def same(self) -> bool:
        """Whether every decision came out as it was."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "same": self.same,
            "bundle": self.bundle,
            "asked": dict(self.asked),
            "other_policies": self.other_policies,
            "unasked": self.unasked,
            "differences": [one.as_json() for one in self.differences],
        }


def replay(
    parts: Parts,
    gate: PolicyGate,
    search: Search | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Replayed:
    """Put every decision of the events that fit again. Reads only."""
    made = Replayed(gate.bundle_digest)
    for sequence, told in _decisions(parts, search or Search()):
        if told["question"] is None:
            made.unasked += 1
            continue
        again = gate.decide(told["rule"], told["question"])
        made.asked[told["rule"]] += 1
        made.other_policies += told["bundle"] != gate.bundle_digest
        was = _answer(told["allowed"], told["reasons"])
        now = _answer(again.allow, again.reasons)
        if was != now or again.input_digest != told["input"]:
            made.differences.append(Difference(sequence, told["rule"], was, now))
        progress(made.asked.total())
    return made


def _decisions(parts: Parts, search: Search) -> Iterator[tuple[int, dict[str, Any]]]:
    after = 0
    while page := parts.books.search(search, after, PAGE):
        for event in page:
            # A body that was erased at the end of its time tells of no decision any more.
            facts = msgspec.json.decode(event.body)["facts"] if event.body else {}
            for told in facts.get("policy") or ():
                yield event.sequence, told
        after = page[-1].sequence


def _answer(allowed: bool, reasons: Any) -> str:
    return "allowed" if allowed else f"denied: {', '.join(reasons)}"

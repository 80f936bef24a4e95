"""What the pages show of data: the latest published releases, and nothing else.

The real shelf is composed in `hub.application`; the memory one is beside the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.records import Release
from hub.settings import Territory


@dataclass(frozen=True, slots=True)
class Shown:
    """A published release and its rows, in the columns its measure documents."""

    release: Release
    rows: list[dict[str, Any]]


class Shelf(Protocol):
    """Where published releases stand."""

    @property
    def territory(self) -> Territory:
        """The territory the hub serves: names, departments, whether it is a demonstration."""
        ...

    def latest(self, measure: str) -> Shown | None:
        """The newest published release of a measure, None before the first.

        Called on every page view: implementations keep what they read, by release digest. Raises
        `Unavailable` where the books or the store do not answer.
        """
        ...


@dataclass(slots=True)
class MemoryShelf:
    """A shelf that holds what it is given."""

    territory: Territory
    shown: dict[str, Shown] = field(default_factory=dict)

    def latest(self, measure: str) -> Shown | None:
        """The release put under that measure."""
        return self.shown.get(measure)

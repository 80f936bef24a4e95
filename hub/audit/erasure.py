"""Erased events: body and salt are gone, and another event says so.

After the time audit bodies are kept, they are destroyed with their salts; the entries stay in the
tree and stand for nothing any more. An event of kind `event.erased` names the places (fact
`erased`, pairs of first and last index). An emptied event that none names was emptied behind the
hub's back. Events of that kind hold nothing of anybody, and are never erased themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from hub.events import Kind
from hub.records import LoggedEvent

FACT: Final = "erased"


class _Facts(msgspec.Struct):
    erased: list[tuple[int, int]] = []


class _Body(msgspec.Struct):
    kind: str
    facts: _Facts


_decoder: Final = msgspec.json.Decoder(_Body)
_TOLD: Final = f'"kind":"{Kind.EVENT_ERASED}"'.encode()


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """Places as the fact `erased` holds them: pairs of first and last, ascending."""
    found: list[list[int]] = []
    for index in sorted(set(indices)):
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def named(event: LoggedEvent) -> list[tuple[int, int]]:
    """The places an event says are erased; none for any other event."""
    if _TOLD not in event.body:
        return []
    try:
        body = _decoder.decode(event.body)
    except msgspec.MsgspecError:
        return []
    return body.facts.erased if body.kind == Kind.EVENT_ERASED else []


class Emptied:
    """Which places are empty, and which an event says are erased. Holds ranges, not places."""

    def __init__(self) -> None:
        self._empty: list[list[int]] = []
        self._said: list[tuple[int, int]] = []

    def saw(self, index: int) -> None:
        """Take in an empty event; in ascending order."""
        if self._empty and self._empty[-1][1] == index - 1:
            self._empty[-1][1] = index
        else:
            self._empty.append([index, index])

    def heard(self, event: LoggedEvent) -> None:
        """Take in a logged event that is not empty."""
        self._said += [(first, last) for first, last in named(event) if last < (event.index or 0)]

    def unexplained(self) -> list[tuple[int, int]]:
        """Empty places that no event names, as pairs of first and last."""
        said = sorted(self._said)
        found: list[tuple[int, int]] = []
        for first, last in self._empty:
            for start, end in said:
                if start > last or first > last:
                    break
                if end < first:
                    continue
                if start > first:
                    found.append((first, start - 1))
                first = end + 1
            if first <= last:
                found.append((first, last))
        return found

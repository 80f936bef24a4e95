"""A validation report: rows set aside and warned of, summed up so that a partner can act on them.

One finding per reason and column, with its lines as ranges, its count and the form of one cell at
fault. Nothing of a cell's content gets here: `redacted` keeps lengths and punctuation, and of
those only what a date, a number or a code is written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.contract import REASONS, Rejected, Warned

MAX_RANGES: Final = 20
"""Ranges told per finding; beyond, the count says how many rows more there are."""
MAX_PATTERN: Final = 16
_KEPT: Final = frozenset("-/.:,;+_ ")
Range = tuple[int, int]


def redacted(text: str) -> str:
    """The form of a cell: digits as 9, letters as A, punctuation of dates and numbers kept.

    Everything else is `?`, and a long cell is cut: the exact length of a name is content too.
    """
    form = "".join(_sign(sign) for sign in text[:MAX_PATTERN])
    return form + "…" if len(text) > MAX_PATTERN else form


def _sign(sign: str) -> str:
    if sign.isdigit():
        return "9"
    if sign.isalpha():
        return "A"
    return sign if sign in _KEPT else "?"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with some rows of a file, where, and what to do about it.

    `ranges` are first and last positions, both included, in the file's own unit; at most
    `MAX_RANGES`, and `more` counts the rows outside them. `kept` tells a warning from a refusal.
    """

    code: str
    column: str
    kept: bool
    count: int
    ranges: tuple[Range, ...]
    more: int
    pattern: str

    @property
    def lines(self) -> str:
        """The ranges as people write them: `3-7, 12`, with an ellipsis where there are more."""
        told = [str(a) if a == b else f"{a}-{b}" for a, b in self.ranges]
        return ", ".join([*told, "…"] if self.more else told)

    def words(self, language: str) -> str:
        """The reason and what to do, in "fr" or "en"."""
        return REASONS[self.code].words[language]

    def as_json(self) -> dict[str, Any]:
        """The finding for receipts and interfaces: no content, both languages."""
        return {
            "code": self.code,
            "column": self.column,
            "kept": self.kept,
            "count": self.count,
            "lines": [list(each) for each in self.ranges],
            "more": self.more,
            "pattern": self.pattern,
            "words": dict(REASONS[self.code].words),
        }

    @classmethod
    def told(cls, finding: Mapping[str, Any]) -> Finding:
        """A finding out of its JSON, to be written for people."""
        ranges = tuple((first, last) for first, last in finding["lines"])
        known = {name: finding[name] for name in ("code", "column", "kept", "count", "more")}
        return cls(ranges=ranges, pattern=finding["pattern"], **known)


@dataclass(slots=True)
class _Gathered:
    count: int = 0
    pattern: str = ""
    ranges: list[Range] = field(default_factory=list)
    more: int = 0

    def add(self, position: int, pattern: str) -> None:
        self.count += 1
        self.pattern = self.pattern or pattern
        if self.ranges and position <= self.ranges[-1][1] + 1 and position >= self.ranges[-1][0]:
            first, last = self.ranges[-1]
            self.ranges[-1] = first, max(last, position)
        elif len(self.ranges) < MAX_RANGES:
            self.ranges.append((position, position))
        else:
            self.more += 1


def report(rows: Iterable[Rejected | Warned]) -> tuple[Finding, ...]:
    """Findings of a file, refusals first, then by count. Rows come in the order they were read.

    Memory is bounded by the number of reasons and columns, whatever the number of rows.
    """
    gathered: dict[tuple[bool, str, str], _Gathered] = {}
    for row in rows:
        kept = isinstance(row, Warned)
        pattern = "" if isinstance(row, Warned) else row.pattern
        place = gathered.setdefault((kept, row.code, row.column), _Gathered())
        place.add(row.position, pattern)
    return tuple(
        Finding(code, column, kept, it.count, tuple(it.ranges), it.more, it.pattern)
        for (kept, code, column), it in sorted(
            gathered.items(), key=lambda each: (each[0][0], -each[1].count, each[0])
        )
    )


_TITLES: Final = {
    "fr": ("lignes", "colonne", "forme", "gardé", "mis de côté"),
    "en": ("lines", "column", "form", "kept", "set aside"),
}


def written(findings: Sequence[Finding], language: str) -> str:
    """The report as text, one paragraph per finding, in "fr" or "en"."""
    lines, column, form, kept, aside = _TITLES[language]
    parts = []
    for one in findings:
        head = f"{one.code} × {one.count} ({kept if one.kept else aside})"
        where = f"{lines} {one.lines}"
        where += f" · {column} {one.column}" if one.column else ""
        where += f" · {form} {one.pattern}" if one.pattern else ""
        parts.append(f"{head}\n  {one.words(language)}\n  {where}")
    return "\n".join(parts)

"""A person's own rows in words: what a cell of each column says to whoever it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from hub import rights
from hub.errors import Language
from hub.rights import PlaceNames
from hub.web import labels, words

_CODES: Final[Mapping[str, str]] = {
    "direction": "direction",
    "main_mode": "means",
    "population": "person",
    "fare_action": "action",
}
"""Columns of codes, and the family of their words."""


def heading(language: Language, column: str) -> str:
    """A short name of a column; `rights.COLUMNS` explains it."""
    return labels.label(language, "column", column)


def cell(language: Language, places: PlaceNames, column: str, value: Any) -> str:
    """A value as its person reads it; the files they take home hold it as it is kept.

    A place that has a name goes by it, its code behind.
    """
    if value is None:
        return ""
    if column in places and (name := places[column].get(value)):
        return f"{name} ({value})"
    if column in _CODES:
        return labels.label(language, _CODES[column], str(value))
    say = _SAID.get(column)
    return rights.cell(value) if say is None else say(language, value)


def _day(language: Language, value: date) -> str:
    return words.day(value, language)


def _hour(_: Language, quarter: int) -> str:
    hours, quarters = divmod(quarter, 4)
    return f"{hours:02d}:{15 * quarters:02d}"


def _distance(language: Language, metres: float) -> str:
    return f"{words.number(metres / 1000, language, 1)}\N{NO-BREAK SPACE}km"


def _duration(_: Language, seconds: float) -> str:
    return f"{round(seconds / 60)}\N{NO-BREAK SPACE}min"


def _legs(language: Language, legs: list[Mapping[str, Any]]) -> str:
    return " → ".join(_leg(language, leg) for leg in legs)


def _leg(language: Language, leg: Mapping[str, Any]) -> str:
    said = [labels.label(language, "means", str(leg["mode"]))] if leg.get("mode") else []
    for name, say in (("distance_m", _distance), ("duration_s", _duration)):
        if leg.get(name) is not None:
            said.append(say(language, leg[name]))
    return " ".join(said)


_SAID: Final[Mapping[str, Callable[[Language, Any], str]]] = {
    "date": _day,
    "quarter_hour": _hour,
    "distance_m": _distance,
    "duration_s": _duration,
    "sections": _legs,
}

"""Patterns that every supported Python matches alike.

Up to 3.11.4 (Debian 12 has 3.11.2) a possessive group leaves the position where its last, failed
try got to. Such a group is right all the same where that try gets nowhere.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.csvblocks import _record

PARSER: Any = importlib.import_module("re._parser")
ONE = {"LITERAL", "NOT_LITERAL", "IN", "ANY", "AT", "CATEGORY"}
REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


def name(item: Any) -> str:
    return str(item[0])


def run(items: Any) -> bool:
    """One character, repeated: such a try starts from where it is, whatever went before."""
    (item, *more) = items or [None]
    return bool(item) and not more and name(item) in REPEATS and name(item[1][2][0]) in ONE


def never_fails(item: Any) -> bool:
    if name(item) == "BRANCH":
        return any(not alternative for alternative in item[1][1])
    return name(item) in REPEATS and item[1][0] == 0


def moves(items: Any) -> bool:
    """Whether a failed try may leave the position moved."""
    items = list(items)
    if len(items) == 1 and name(items[0]) == "SUBPATTERN":
        return moves(items[0][1][-1])
    if len(items) == 1 and name(items[0]) == "BRANCH":
        alternatives = items[0][1][1]
        return not run(alternatives[-1]) and any(moves(a) for a in alternatives)
    if run(items) or all(name(item) in ONE for item in items):
        return False
    return name(items[0]) not in ONE or not all(never_fails(item) for item in items[1:])


def within(part: Any) -> Iterator[Any]:
    """A pattern's items, those inside others too."""
    if isinstance(part, PARSER.SubPattern):
        for item in part:
            yield item
            yield from within(item[1])
    elif isinstance(part, (tuple, list)):
        for inner in part:
            yield from within(inner)


def unsafe(pattern: Any) -> list[Any]:
    """Possessive groups that an older Python would get wrong."""
    return [
        item
        for item in within(PARSER.parse(pattern))
        if name(item) == "POSSESSIVE_REPEAT" and moves(item[1][2])
    ]


def patterns() -> dict[str, re.Pattern[Any]]:
    found: dict[str, re.Pattern[Any]] = {"connectors.csvblocks._record": _record(",")}
    for package in ("connectors", "consent", "analytics", "hub"):
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if module.name.endswith("__main__") or ".migrations" in module.name:
                continue
            for key, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    found[f"{module.name}.{key}"] = value
    return found


def test_every_pattern_matches_alike_on_every_python() -> None:
    found = patterns()
    assert "connectors.jsonstream._PASSED" in found
    assert {key for key, pattern in found.items() if unsafe(pattern.pattern)} == set()


@pytest.mark.parametrize(
    ("pattern", "safe"),
    [
        (r'(?:[^"]++|"[^"]*+")*+', False),  # of `a"b`, 3.11.2 takes three characters
        (r'(?:"[^"]*+"|[^"]++)*+', True),
        (r'(?:a(?!b)|[^"]*+c)*+', False),
        (r'"(?:[^"]++|"")*+"', True),
        (r"(?:,(?:a|))*+", True),
        (r"(?:,(?:a|b+))*+", False),
    ],
)
def test_an_unsafe_group_is_seen(pattern: str, safe: bool) -> None:
    assert (unsafe(pattern) == []) is safe

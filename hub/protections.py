"""Protections: how strictly a table is protected, and how strictly it was agreed it would be.

A level is what a measure's protection reaches (`lane` in a manifest), and what is asked of it: by
the publication plan, for what its datasets are about, and by their agreements, which may ask for
more and never for less. The strictest holds: `policies/lib.rego` says which, and each decision to
publish, read or hand out names it among its obligations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from analytics.model import Measure
from hub.parts import Parts

PLAN: Final = "publication plan"
"""The protection an agreement asks for where it asks for no stricter one."""
PLACES: Final = "open"
PEOPLE: Final = "estimates"
"""What the plan itself asks of a table made of data about nobody, and about people."""
LEVELS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "open": {"fr": "données de lieux, telles que publiées", "en": "places, as published"},
        "volumes": {
            "fr": "volumes extrapolés par l’opérateur, arrondis à la dizaine, seuil de l’opérateur",
            "en": "volumes the operator extrapolates, to the nearest ten, its own floor",
        },
        "estimates": {
            "fr": "estimations d’après des volontaires, avec intervalle, arrondies par classe",
            "en": "estimates from volunteers, with an interval, rounded by class",
        },
    }
)
"""How a table is protected, the weakest first, in words; `policies/lib.rego` has the same order."""


def asked(parts: Parts, terms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The levels that the plan and these agreements, by dataset, ask of a table."""
    found = set()
    for dataset, agreed in terms.items():
        found.add(PEOPLE if parts.datasets[dataset].subject else PLACES)
        found.add(str(agreed.get("protection", PLAN)))
    return sorted(found - {PLAN})


def reached(manifest: Mapping[str, Any], level: str) -> bool:
    """Whether a release is protected at least so; never where a level is unknown."""
    levels, own = list(LEVELS), manifest["protection"]["lane"]
    return {level, own} <= set(levels) and levels.index(own) >= levels.index(level)


def terms(parts: Parts, measure: Measure) -> dict[str, Mapping[str, Any]]:
    """The terms of the agreements in force on a measure's datasets, by dataset."""
    found: dict[str, Mapping[str, Any]] = {}
    for dataset in sorted({table.rsplit("/", 1)[0] for table in measure.inputs}):
        agreement = parts.books.agreement(*dataset.split("/"))
        found[dataset] = agreement.terms if agreement else {}
    return found

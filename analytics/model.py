"""What a measure computes before anything is protected, and what comes out afterwards.

`Cells` never leave the process. They hold sums by lycée, not people: whatever is merged later
(lycées into a department, car with other) is a sum of cells, resampled weights included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.random import Generator

from analytics.places import Bools, Floats, Ints
from analytics.plan import Plan

if TYPE_CHECKING:
    import ibis


LICENCE_OUVERTE = "Licence Ouverte 2.0"
ODBL = "ODbL 1.0"


@dataclass(frozen=True, slots=True)
class Pool:
    """One area's contributors, summed. `totals` and `largest` by label, replicates first."""

    people: int
    totals: Floats
    largest: Floats
    """The greatest contribution of one person to each total."""
    weights: Floats
    """People in each replicate."""
    replicates: Floats
    """Totals in each replicate: shape (replicates, labels)."""

    def means(self) -> Floats:
        """Mean per contributor, by label."""
        return np.asarray(self.totals / max(self.people, 1))

    def interval(self, confidence: float) -> tuple[Floats, Floats]:
        """Bounds of the mean from resampled people; replicates that drew nobody are left out."""
        drawn = self.weights > 0
        means = self.replicates[drawn] / self.weights[drawn][:, None]
        tail = (1 - confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
        return low, high


@dataclass(frozen=True, slots=True)
class Stratum:
    """Contributors of one school year and one population, by lycée of the directory."""

    school_year: str
    population: str
    people: Ints
    totals: Floats
    largest: Floats
    weights: Floats
    replicates: Floats

    def pool(self, where: Bools) -> Pool:
        """The lycées of `where` taken together."""
        return Pool(
            int(self.people[where].sum()),
            self.totals[where].sum(axis=0),
            self.largest[where].max(axis=0, initial=0.0),
            self.weights[:, where].sum(axis=1),
            self.replicates[:, where].sum(axis=1),
        )


@dataclass(frozen=True, slots=True)
class Cells:
    """What a measure computed. `open_table` holds a table about nobody; otherwise strata do."""

    measure: str
    labels: tuple[str, ...] = ()
    uais: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    strata: tuple[Stratum, ...] = ()
    truncated: float = 0.0
    """Share of school trips that the bounds on one person's contribution left out or cut."""
    open_table: pa.Table | None = None
    volumes: pa.Table | None = None
    """Volumes a source counts itself, about nobody in particular: see `protect.floor`."""


@dataclass(frozen=True, slots=True)
class Protected:
    """A table fit to publish, and what was applied to make it so (public: it is in manifests)."""

    table: pa.Table
    applied: Mapping[str, Any]
    operators: Mapping[str, Floats] = field(default_factory=dict)
    """What each partner contributes to each row's figure, for a measure that can tell."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the attacker tried on a table. `findings` name rules and areas, never a person."""

    ok: bool
    findings: tuple[str, ...]
    checks: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A published column: name, name of its Arrow type, meaning in both languages, unit."""

    name: str
    type: str
    fr: str
    en: str
    unit: str = ""


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """The Arrow schema of published columns, with their documentation as field metadata."""
    return pa.schema(
        [
            pa.field(
                one.name,
                pa.type_for_alias(one.type),
                metadata={"fr": one.fr, "en": one.en, "unit": one.unit},
            )
            for one in columns
        ]
    )


@dataclass(frozen=True, slots=True)
class Measure:
    """One published indicator: the tables it reads, its columns, its computation and protection."""

    name: str
    title: Mapping[str, str]
    inputs: tuple[str, ...]
    columns: tuple[Column, ...]
    compute: Callable[[Mapping[str, ibis.Table], Plan, Generator], Cells]
    protect: Callable[[Cells, Plan], Protected]
    about: Mapping[str, str]
    """What it counts and how, in two or three sentences (fr, en)."""
    themes: tuple[str, ...] = ("TRAN",)
    """Codes of the EU's data themes."""
    licence: str = LICENCE_OUVERTE
    """Licence of what is published: that of the strictest input."""

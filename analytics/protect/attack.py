"""The attacker: he tries to learn about somebody from a table, and from it and all before it.

He knows the plan (rounding rule, classes), enrolments, the directory of lycées, every earlier
release of the measure, and one classmate who took part. He reads intervals out of rounded values
and adds and subtracts areas. Being ours, he is also told the true cells, so that where he could
only suspect, he is right. Any finding blocks the table.

Enrolments cap how many can have taken part; his attempts on shares assume the *fewest* the class
allows, which is where they tell most, so the cap gives him nothing more.

What he does not try: combining different measures, and linear combinations of more than one area
with the shown parts of it; areas nest or nearly do, so there is little more to combine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analytics.model import Cells, Certificate, Pool, Protected, Stratum
from analytics.places import Bools, Floats
from analytics.plan import Plan, SizeClass
from analytics.protect import volumes
from analytics.protect.bounds import share_bounds, weaknesses
from analytics.protect.magnitude import split, step_of
from analytics.protect.rows import Row

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class _Shown:
    """One published area as the attacker reads it: which lycées it sums, and its rows."""

    name: str
    where: Bools
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        return str(self.rows[0]["contributors"])


def _read(table: pa.Table, cells: Cells, stratum: Stratum) -> list[_Shown]:
    """Areas with figures. A group holds its department's lycées that are not shown alone."""
    rows = [
        row
        for row in table.to_pylist()
        if (row["school_year"], row["population"]) == (stratum.school_year, stratum.population)
        and (row["estimate"] is not None or row["low"] is not None or row["high"] is not None)
    ]
    alone = {row["area"] for row in rows if row["geography"] == "lycee"}
    uais, departments = np.array(cells.uais), np.array(cells.departments)
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["geography"], row["area"]), []).append(row)
    shown = []
    for (geography, code), its in found.items():
        if geography == "lycee":
            where = uais == code
        elif geography == "lycees":
            where = (departments == code) & ~np.isin(uais, sorted(alone))
        elif geography == "department":
            where = departments == code
        else:
            where = np.ones(uais.size, np.bool_)
        shown.append(_Shown(f"{geography}:{code}", np.asarray(where, np.bool_), tuple(its)))
    return shown


class _Attack:
    """Collects what was tried and what was found."""

    def __init__(self, cells: Cells, plan: Plan) -> None:
        self.cells, self.plan = cells, plan
        self.tried: Counter[str] = Counter()
        self.found: list[str] = []

    def attempt(self, check: str, learned: bool, where: str) -> None:
        """One attempt; `learned` blocks the table."""
        self.tried[check] += 1
        if learned:
            self.found.append(f"{check} at {where}")

    def silence(self, rows: Iterable[Row]) -> None:
        """A suppressed row says nothing, not even a class; a shown one says its class."""
        for row in rows:
            figures = [row["estimate"], row["low"], row["high"]]
            speaks = any(one is not None for one in figures) or bool(row["contributors"])
            mute = any(one is None for one in figures) or not row["contributors"]
            wrong = speaks if row["suppressed"] else mute
            self.attempt("suppressed-rows-are-silent", wrong, f"{row['geography']}:{row['area']}")

    def threshold(self, area: _Shown, pool: Pool) -> SizeClass | None:
        """At least k people, said only by their true class; a lycée alone at its own minimum."""
        self.attempt("threshold", pool.people < self.plan.k, area.name)
        if area.name.startswith("lycee:"):
            few = pool.people < self.plan.lycee_minimum
            self.attempt("lycee-minimum", few, area.name)
        size = self.plan.labelled(area.label)
        true = self.plan.size_class(pool.people)
        mixed = any(row["contributors"] != area.label for row in area.rows)
        self.attempt("class", size is None or size is not true or mixed, area.name)
        return size

    def grid(self, area: _Shown, values: Iterable[float], step: float) -> None:
        """Values finer than their step tell the exact number of contributors."""
        off = any(abs(one / step - round(one / step)) > _TOLERANCE for one in values)
        self.attempt("rounding", off, area.name)

    def nested(self, stratum: Stratum, areas: Sequence[_Shown], weak: _Weak) -> None:
        """Subtract areas from one another: two of them, or one and all shown parts of it."""
        for one in areas:
            inner = [other.where for other in areas if (other.where <= one.where).all()]
            inner = [where for where in inner if not (where == one.where).all()]
            remains = [one.where & ~where for where in inner]
            remains += [
                one.where & ~other.where
                for other in areas
                if (one.where & other.where).any() and (one.where & ~other.where).any()
            ]
            if inner:
                remains.append(one.where & ~np.logical_or.reduce(inner))
            for rest in {where.tobytes(): where for where in remains}.values():
                people = int(stratum.people[rest].sum())
                self.attempt("differences", 0 < people < self.plan.k, one.name)
                # Attempts are published: their number must not tell which remainders are empty.
                shape = people >= self.plan.k and weak(stratum.pool(rest))
                self.attempt("differences-shape", shape, one.name)

    def certificate(self, extra: Row) -> Certificate:
        """What was tried and found."""
        findings = tuple(sorted(set(self.found)))
        return Certificate(not findings, findings, {**dict(sorted(self.tried.items())), **extra})


class _Weak:
    """Whether a remainder nobody published would show its people if it were computed."""

    def __init__(self, cells: Cells, plan: Plan) -> None:
        self.cells, self.plan = cells, plan

    def __call__(self, pool: Pool) -> bool:
        if "/" in self.cells.labels[0]:
            return bool((pool.largest >= self.plan.dominance * pool.totals).any())
        return bool(pool.totals.max() >= self.plan.homogeneity * pool.totals.sum())


def _distribution(attack: _Attack, area: _Shown, pool: Pool, size: SizeClass) -> None:
    """Shares: no zero, no near-unanimity, neither published nor deduced, classmate subtracted."""
    plan, labels = attack.plan, attack.cells.labels
    groups = [[labels.index(one) for one in str(row["mode"]).split("+")] for row in area.rows]
    whole = sorted(i for group in groups for i in group) == list(range(len(labels)))
    attack.attempt("categories", not whole or len(groups) < 2, area.name)
    values = [float(row[name]) for row in area.rows for name in ("estimate", "low", "high")]
    attack.grid(area, values, size.points)
    true = np.array([pool.totals[group].sum() for group in groups]) / max(pool.totals.sum(), 1e-12)
    attack.attempt("published-zero", bool((true <= 0).any()), area.name)
    attack.attempt("homogeneity", bool((true >= plan.homogeneity).any()), area.name)
    rounded = np.array([float(row["estimate"]) for row in area.rows])
    low, high = share_bounds(rounded, size.points)
    learned = weaknesses(low, high, size.low, plan.homogeneity)
    attack.attempt("classmate", bool(learned), area.name)


def _magnitude(attack: _Attack, area: _Shown, pool: Pool, size: SizeClass) -> None:
    """Means: nobody dominates, nothing is zero, classmate subtracted."""
    plan = attack.plan
    dominated = bool((pool.largest >= plan.dominance * pool.totals).any())
    attack.attempt("dominance", dominated, area.name)
    bounds = split(attack.cells.labels)
    for row in area.rows:
        scope = str(row["scope"])
        step = step_of(size, scope)
        attack.grid(area, [float(row[name]) for name in ("estimate", "low", "high")], step)
        attack.attempt("published-zero", float(row["estimate"]) <= 0, area.name)
        # Rounded up, minus all a classmate can have: what is left for the others.
        index = bounds[str(row["variant"]), scope]["middle"]
        most = np.inf if size.high is None else size.high
        left = (float(row["estimate"]) + step / 2) * most - pool.largest[index]
        attack.attempt("classmate", bool(left <= 0), area.name)


def _earlier_distribution(
    attack: _Attack, now: _Shown, before: _Shown, size: SizeClass, old: SizeClass
) -> None:
    """The same area twice: intersect intervals, and subtract one's categories from the other's."""

    def read(area: _Shown, step: int) -> dict[frozenset[str], tuple[float, float]]:
        rounded: Floats = np.array([float(row["estimate"]) for row in area.rows])
        low, high = share_bounds(rounded, step)
        names = [frozenset(str(row["mode"]).split("+")) for row in area.rows]
        return {name: (low[i], high[i]) for i, name in enumerate(names)}

    one, two = read(now, size.points), read(before, old.points)
    people = min(size.low, old.low)
    derived: list[tuple[float, float]] = []
    for first, second in ((one, two), (two, one)):
        for name, (low, high) in first.items():
            if name in second:
                derived.append((max(low, second[name][0]), min(high, second[name][1])))
            parts = [bounds for other, bounds in second.items() if other < name]
            rest = name - {mode for other in second if other < name for mode in other}
            if parts and rest:
                lows, highs = sum(p[0] for p in parts), sum(p[1] for p in parts)
                derived.append((max(low - highs, 0.0), high - lows))
    for low, high in derived:
        if low > high:
            continue  # contributors changed: the two do not describe the same people
        weak = weaknesses(np.array([low]), np.array([high]), people, attack.plan.homogeneity)
        attack.attempt("earlier-releases", bool(weak), now.name)


def attack(
    protected: Protected, cells: Cells, plan: Plan, earlier: Sequence[pa.Table]
) -> Certificate:
    """Try to learn about somebody from a table; `earlier` are the measure's published tables."""
    attempt = _Attack(cells, plan)
    if cells.open_table is not None:
        return Certificate(True, (), {"personal": False})
    if cells.volumes is not None:
        return volumes.attack(protected.table, cells.volumes)
    table = protected.table
    attempt.silence(table.to_pylist())
    magnitude = bool(cells.labels) and "/" in cells.labels[0]
    known = {(one.school_year, one.population) for one in cells.strata}
    for row in table.to_pylist():
        foreign = (row["school_year"], row["population"]) not in known
        attempt.attempt("populations-apart", foreign, f"{row['geography']}:{row['area']}")
    weak = _Weak(cells, plan) if cells.labels else None
    for stratum in cells.strata:
        now = _read(table, cells, stratum)
        before = [area for old in earlier for area in _read(old, cells, stratum)]
        for area in now:
            pool = stratum.pool(area.where)
            size = attempt.threshold(area, pool)
            if size is None:
                continue
            test = _magnitude if magnitude else _distribution
            test(attempt, area, pool, size)
            for old in before:
                old_size = plan.labelled(old.label)
                if not magnitude and old_size and (old.where == area.where).all():
                    _earlier_distribution(attempt, area, old, size, old_size)
        if weak is not None:
            attempt.nested(stratum, now + before, weak)
    small = [one for one in cells.strata if int(one.people.sum()) < plan.k]
    mentioned = any(_mentions(table, one) for one in small)
    attempt.attempt("small-populations-absent", mentioned, "region")
    return attempt.certificate({"personal": True, "earlier": len(earlier)})


def _mentions(table: pa.Table, stratum: Stratum) -> bool:
    return any(
        (row["school_year"], row["population"]) == (stratum.school_year, stratum.population)
        for row in table.to_pylist()
    )

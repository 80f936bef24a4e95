"""From the rows of a release to what a page draws: areas, shares and balances.

A suppressed row becomes an area without a figure and without a class, whatever else the row says:
the page does not rely on the release having emptied its cells. Lycées stand in alphabetical order,
never by value: the pages rank nobody.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

LEVELS: Final[Mapping[str, int]] = {"region": 0, "department": 1, "lycees": 2, "lycee": 2}
"""Lycées and groups of lycées stand together."""
MODES: Final = ("active", "public_transport", "car", "other")
VARIANTS: Final = ("dedicated", "detour")
SCOPES: Final = ("use", "manufacture")
CLASSES: Final = ("11-20", "21-50", "51-100", "101+")

_UAI = re.compile(r"^0(\d{2}|2[AB])\d{4}[A-Z]$")


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate with its interval, in the unit of its measure, rounded as published."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """One mode (or merged modes, in `modes`) of an area, in percent.

    `x` and `width` place it in a bar of 100: rounded shares need not add up to 100, bars do.
    """

    modes: tuple[str, ...]
    figure: Figure
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Balance:
    """One variant of the carbon balance of an area, in kgCO2e per enrolled pupil and year.

    Widths are in percent of the page's common scale.
    """

    variant: str
    scopes: Mapping[str, Figure]
    widths: Mapping[str, float]
    starts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Area:
    """A lycée, a group of lycées, a department or the region, with what is published of it."""

    geography: str
    code: str
    name: str
    department: str
    contributors: str
    note: str
    """Where an area without a figure is counted; empty for an area with one."""
    shares: tuple[Share, ...] = ()
    balances: tuple[Balance, ...] = ()

    @property
    def published(self) -> bool:
        """Whether any figure of the area may be read."""
        return bool(self.shares or self.balances)

    @property
    def words(self) -> str:
        """What a text search looks in."""
        return plain(f"{self.name} {self.code} {self.department}")


def figure(row: Mapping[str, Any]) -> Figure | None:
    """The figure of a row; None where the row is suppressed or a value is missing."""
    if row.get("suppressed") is not False:
        return None
    values = [row.get(name) for name in ("estimate", "low", "high")]
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    if len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        return None
    return Figure(*numbers)


def plain(text: str) -> str:
    """Lower case without accents, for searching (the script of the page does the same)."""
    apart = unicodedata.normalize("NFD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def department_of(geography: str, code: str, departments: Mapping[str, str]) -> str:
    """The department an area code names ("0450049A", "45", "45-2"); empty where none is named."""
    if geography == "region":
        return ""
    uai = _UAI.match(code)
    if uai:
        return uai[1]
    return next((name for name in departments if re.search(rf"(?<!\d)0?{name}(?!\d)", code)), "")


def populations(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Populations present, pupils first: they are never pooled."""
    return sorted(
        {str(row["population"]) for row in rows}, key=lambda name: (name != "pupil", name)
    )


def _grouped(
    rows: Iterable[Mapping[str, Any]], population: str
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["population"] == population:
            groups.setdefault((str(row["geography"]), str(row["area"])), []).append(row)
    return groups


def _area(
    key: tuple[str, str],
    rows: Sequence[Mapping[str, Any]],
    departments: Mapping[str, str],
    shares: tuple[Share, ...] = (),
    balances: tuple[Balance, ...] = (),
) -> Area:
    geography, code = key
    open_rows = [row for row in rows if figure(row)]
    classes = {str(row["contributors"]) for row in open_rows} & set(CLASSES)
    return Area(
        geography=geography,
        code=code,
        name=str(rows[0]["area_name"]),
        department=department_of(geography, code, departments),
        # Rows of one area may stand in different classes; the strictest says least.
        contributors=min(classes, key=CLASSES.index, default=""),
        note="" if open_rows else next((str(row["note"]) for row in rows if row.get("note")), ""),
        shares=shares,
        balances=balances,
    )


def _sorted(areas: Iterable[Area], departments: Mapping[str, str]) -> list[Area]:
    return sorted(
        areas,
        key=lambda area: (
            LEVELS.get(area.geography, 9),
            plain(departments.get(area.department, "")),
            plain(area.name),
        ),
    )


def _mode_order(modes: tuple[str, ...]) -> int:
    return min((MODES.index(mode) for mode in modes if mode in MODES), default=len(MODES))


def _shares(rows: Iterable[Mapping[str, Any]]) -> tuple[Share, ...]:
    found = [(tuple(str(row["mode"]).split("+")), read) for row in rows if (read := figure(row))]
    found.sort(key=lambda pair: _mode_order(pair[0]))
    total = sum(max(read.estimate, 0.0) for _, read in found)
    shares: list[Share] = []
    x = 0.0
    for modes, read in found:
        width = 100 * max(read.estimate, 0.0) / total if total else 0.0
        shares.append(Share(modes, read, round(x, 2), round(width, 2)))
        x += width
    return tuple(shares)


def modal_split(
    rows: Iterable[Mapping[str, Any]], population: str, departments: Mapping[str, str]
) -> list[Area]:
    """The areas of a `modal-split` release for one population."""
    return _sorted(
        (
            _area(key, group, departments, shares=_shares(group))
            for key, group in _grouped(rows, population).items()
        ),
        departments,
    )


def _balances(rows: Iterable[Mapping[str, Any]], scale: float) -> tuple[Balance, ...]:
    found: dict[str, dict[str, Figure]] = {}
    for row in rows:
        read = figure(row)
        if read:
            found.setdefault(str(row["variant"]), {})[str(row["scope"])] = read
    balances: list[Balance] = []
    for variant in sorted(found, key=lambda name: (name not in VARIANTS, name)):
        scopes: dict[str, Figure] = {
            name: found[variant][name] for name in SCOPES if name in found[variant]
        }
        widths: dict[str, float] = {}
        starts: dict[str, float] = {}
        x = 0.0
        for name, read in scopes.items():
            starts[name], widths[name] = round(x, 2), round(100 * read.estimate / scale, 2)
            x += widths[name]
        balances.append(Balance(variant, scopes, widths, starts))
    return tuple(balances)


def carbon_scale(rows: Iterable[Mapping[str, Any]]) -> float:
    """The common end of the carbon bars: a round number of kg that holds every bar."""
    tops: dict[tuple[str, ...], float] = {}
    for row in rows:
        read = figure(row)
        if read:
            key = tuple(str(row[name]) for name in ("population", "geography", "area", "variant"))
            tops[key] = tops.get(key, 0.0) + max(read.high, read.estimate)
    top = max(tops.values(), default=0.0)
    if top <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(top)) / 2
    return math.ceil(top / step) * step


def carbon_balance(
    rows: Sequence[Mapping[str, Any]], population: str, departments: Mapping[str, str]
) -> list[Area]:
    """The areas of a `carbon-balance` release for one population."""
    scale = carbon_scale(rows)
    return _sorted(
        (
            _area(key, group, departments, balances=_balances(group, scale))
            for key, group in _grouped(rows, population).items()
        ),
        departments,
    )


def fits(area: Area, department: str, search: str) -> bool:
    """Whether the filter of the page keeps an area."""
    return (not department or area.department == department) and all(
        word in area.words for word in plain(search).split()
    )

"""Emission factors, and what one kilometre of each app mode emits under each convention.

Factors are named by the vehicle they describe and come from versioned files in `factors/`; a
version is never edited. `per_km` turns a version and the plan's conventions into one coefficient
per mode, variant, scope and bound, in kgCO2e per kilometre of a person's own trip:

- a car's vehicle-kilometres are divided by its occupants;
- *dedicated*: the driver came for the pupil alone, and the empty way back counts;
- *detour*: the driver was going to work, and only the detour counts;
- people who drive themselves (staff, post-bac) have neither: their own kilometres count;
- where the app cannot tell the vehicle (coach or city bus; unknown) there is a range, and the
  estimate lies in its middle.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from analytics.plan import MODES, Plan

VARIANTS: Final = ("dedicated", "detour")
SCOPES: Final = ("use", "manufacture")
BOUNDS: Final = ("low", "middle", "high")

_ACCOMPANIED: Final = frozenset({"CAR", "CAR_ELECTRIC", "IN_VEHICLE"})
_SHARED: Final = frozenset({"CARPOOL", "CARPOOL_ELECTRIC"})


class UnknownFactors(LookupError):
    """No factor table of that version, or the table is not whole."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One vehicle. `use` and `manufacture` in kgCO2e per vehicle- or passenger-kilometre."""

    id: str
    words: Mapping[str, str]
    per: str
    use: float
    manufacture: float
    source: str
    alias_of: str | None = None


@dataclass(frozen=True, slots=True)
class FactorTable:
    """One version: its factors by id, and the factor (or the range's two ends) of each mode."""

    version: str
    licence: str
    title: Mapping[str, str]
    factors: Mapping[str, Factor]
    modes: Mapping[str, tuple[Factor, Factor]]


def undeclared_twins(factors: Mapping[str, Factor]) -> list[tuple[str, str]]:
    """Pairs of ids that share all values without being declared aliases of one another."""
    names = sorted(factors)
    return [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if (factors[a].use, factors[a].manufacture) == (factors[b].use, factors[b].manufacture)
        and factors[a].alias_of != b
        and factors[b].alias_of != a
    ]


@cache
def load(version: str) -> FactorTable:
    """Read a version of the factors. Raises `UnknownFactors` if there is none or it has a hole."""
    resource = files("analytics") / "factors" / f"{version}.toml"
    if not version.replace("-", "").isalnum() or not resource.is_file():
        raise UnknownFactors(version)
    document = tomllib.loads(resource.read_text("utf-8"))
    factors = {
        id_: Factor(
            id_,
            {"fr": one["fr"], "en": one["en"]},
            one["per"],
            float(one["use"]),
            float(one["manufacture"]),
            one["source"],
            one.get("alias_of"),
        )
        for id_, one in document["factors"].items()
    }
    if set(document["modes"]) != set(MODES) or document["version"] != version:
        raise UnknownFactors(f"{version}: modes or version do not match")
    modes = {
        mode: (factors[ends[0]], factors[ends[-1]]) for mode, ends in document["modes"].items()
    }
    return FactorTable(version, document["licence"], document["title"], factors, modes)


def vehicle_share(mode: str, variant: str, plan: Plan, *, driven: bool) -> float:
    """Vehicle-kilometres charged to a person for each kilometre of the trip.

    `driven`: somebody else drives, which is what makes a way back empty or a way a detour.
    """
    if mode in _SHARED:
        return 1 / plan.carpool_occupants
    if mode in _ACCOMPANIED and not driven:
        return 1 / plan.car_occupants
    if mode in _ACCOMPANIED:
        kilometres = 2.0 if variant == "dedicated" else plan.detour_share
        return kilometres / plan.car_occupants
    return 1.0


def per_km(plan: Plan, *, driven: bool) -> dict[str, dict[tuple[str, str, str], float]]:
    """Coefficients by mode, then by (variant, scope, bound). Raises `UnknownFactors`."""
    table = load(plan.factors)
    coefficients: dict[str, dict[tuple[str, str, str], float]] = {}
    for mode, ends in table.modes.items():
        row: dict[tuple[str, str, str], float] = {}
        for variant in VARIANTS:
            share = vehicle_share(mode, variant, plan, driven=driven)
            for scope in SCOPES:
                first, last = (float(getattr(end, scope)) * share for end in ends)
                low, high = min(first, last), max(first, last)
                for bound, value in zip(BOUNDS, (low, (low + high) / 2, high), strict=True):
                    row[variant, scope, bound] = value
        coefficients[mode] = row
    return coefficients

"""How people travel: shares by distance, speeds, and what an app makes of it.

The shares are plausible orders of magnitude for a mostly rural region, not survey results.
"""

from __future__ import annotations

from typing import Final

from hub.demo.dice import Dice

SCHOOL: Final[tuple[tuple[float, dict[str, float]], ...]] = (
    (900, {"WALKING": 0.90, "BICYCLING": 0.05, "SCOOTER_ELECTRIC": 0.05}),
    (
        2_000,
        {"WALKING": 0.50, "BICYCLING": 0.17, "SCOOTER_ELECTRIC": 0.07, "BUS": 0.10, "CAR": 0.16},
    ),
    (
        5_000,
        {
            "WALKING": 0.04,
            "BICYCLING": 0.17,
            "SCOOTER_ELECTRIC": 0.04,
            "BUS": 0.38,
            "CAR": 0.28,
            "CARPOOL": 0.05,
            "MOPED": 0.04,
        },
    ),
    (15_000, {"BUS": 0.58, "CAR": 0.27, "CARPOOL": 0.08, "MOPED": 0.05, "BICYCLING": 0.02}),
    (float("inf"), {"BUS": 0.67, "CAR": 0.23, "CARPOOL": 0.08, "MOPED": 0.02}),
)
"""Shares of modes to school up to a road distance in metres. Who is dropped off goes by CAR."""

STAFF: Final = {"CAR": 0.72, "CARPOOL": 0.08, "CAR_ELECTRIC": 0.08, "BICYCLING": 0.12}
LEISURE_FAR: Final = {"CAR": 0.70, "CARPOOL": 0.08, "BUS": 0.10, "BICYCLING": 0.10, "TRAIN": 0.02}

SPEED: Final[dict[str, tuple[float, float]]] = {
    "WALKING": (1.3, 0),
    "BICYCLING": (4.2, 60),
    "SCOOTER_ELECTRIC": (4.6, 30),
    "MOPED": (8.5, 60),
    "BUS": (9.0, 420),
    "CAR": (12.0, 150),
    "CAR_ELECTRIC": (12.0, 150),
    "CARPOOL": (12.0, 240),
    "TRAIN": (19.0, 900),
}
"""Metres a second under way, and seconds lost walking to it, waiting and parking."""

CO2: Final[dict[str, float]] = {
    "CAR": 0.192,
    "IN_VEHICLE": 0.192,
    "CAR_ELECTRIC": 0.0198,
    "CARPOOL": 0.096,
    "BUS": 0.13733,
    "TRAIN": 0.01061,
    "MOPED": 0.064,
}
"""What the app itself counts, kgCO2e per km (its own factors, formats §1.5)."""

SENSED: Final[dict[str, dict[str, float]]] = {
    "BUS": {"BUS": 0.90, "CAR": 0.05, "IN_VEHICLE": 0.05},
    "CAR": {"CAR": 0.92, "IN_VEHICLE": 0.04, "BUS": 0.03, "UNKNOWN": 0.01},
    "CAR_ELECTRIC": {"CAR": 1.0},
    "CARPOOL": {"CAR": 1.0},
    "TRAIN": {"TRAIN": 0.95, "CAR": 0.05},
    "MOPED": {"CAR": 0.45, "MOPED": 0.40, "BICYCLING": 0.15},
    "SCOOTER_ELECTRIC": {"BICYCLING": 0.60, "SCOOTER_ELECTRIC": 0.40},
    "BICYCLING": {"BICYCLING": 0.96, "WALKING": 0.04},
    "WALKING": {"WALKING": 0.97, "BICYCLING": 0.01, "UNKNOWN": 0.02},
}
"""What the phone believes, by true mode; a correction by hand (`manual_mode`) may follow."""

NEEDS_HAND: Final = frozenset({"CARPOOL", "CAR_ELECTRIC", "MOPED", "SCOOTER_ELECTRIC"})
"""Modes no phone tells apart: their users mostly correct by hand."""


def to_school(dice: Dice, metres: float, *, by_train: bool, staff: bool) -> str:
    """Somebody's usual mode to the lycée over a road distance."""
    if staff:
        return "WALKING" if metres < 1_000 else dice.weighted(STAFF)
    if by_train and metres > 6_000 and dice.chance(0.30):
        return "TRAIN"
    return dice.weighted(next(shares for limit, shares in SCHOOL if metres < limit))


def leisure(dice: Dice, metres: float, *, moped: bool) -> str:
    """The mode of any other trip."""
    if metres < 1_300:
        return "WALKING" if dice.chance(0.85) else "BICYCLING"
    if moped and metres < 12_000 and dice.chance(0.6):
        return "MOPED"
    return dice.weighted(LEISURE_FAR)


def seconds(dice: Dice, mode: str, metres: float) -> float:
    """How long the trip takes, in seconds."""
    speed, lost = SPEED[mode]
    return 45 + (lost + metres / speed) * dice.between(0.88, 1.2)

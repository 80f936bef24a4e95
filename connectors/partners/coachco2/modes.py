"""Transport modes and purposes as CoachCO2 names them, and how a section's mode is resolved."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

UNKNOWN: Final = "UNKNOWN"

MODES: Final = frozenset(
    {
        "AIR_OR_HSR", "BICYCLING_ELECTRIC", "BICYCLING", "BUS_ELECTRIC", "BUS", "CAR_ELECTRIC",
        "CAR", "IN_VEHICLE", "CARPOOL_ELECTRIC", "CARPOOL", "MOTO_INF_250", "MOTO_SUP_250",
        "SCOOTER_ELECTRIC", "MOPED", "SUBWAY", "TRAIN", "TRAMWAY", "WALKING", "ON_FOOT", "RUNNING",
        UNKNOWN,
    }
)  # fmt: skip

PURPOSES: Final = frozenset(
    {
        "COMMUTE", "WORK", "SHOPPING", "PERSONAL_MED", "PICK_DROP", "SPORT", "EXERCISE",
        "ENTERTAINMENT", "TRAVEL", "OTHER_PURPOSE",
    }
)  # fmt: skip

_PREFIXES: Final = ("PREDICTEDMODETYPES.", "MOTIONTYPES.")


@lru_cache(1_024)
def resolve(manual: str | None, sensed: str | None) -> tuple[str, bool]:
    """A section's mode, and whether that was known.

    What the traveller said if the app knows it, else what the phone sensed, else UNKNOWN. The
    app's step between, a default set in the traveller's settings, is not in the documents.
    """
    said = (manual or "").strip().upper()
    if said in MODES:
        return said, True
    felt = (sensed or "").strip().upper()
    for prefix in _PREFIXES:
        _, found, rest = felt.partition(prefix)
        if found and rest in MODES:
            return rest, True
    return UNKNOWN, False


def purpose(*given: str | None) -> str | None:
    """The first purpose given, as the app files it; None where none is."""
    for text in given:
        if text and text.strip():
            said = text.strip().upper()
            return said if said in PURPOSES else "OTHER_PURPOSE"
    return None

"""The publication plan: which tables, thresholds and conventions a school year is published under.

One frozen record, validated where it is made and repeated in every manifest by `describe()`. The
defaults are those of the methodology page; a territory overrides them in its `[plan]` table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

MODES: Final[tuple[str, ...]] = (
    "AIR_OR_HSR",
    "BICYCLING_ELECTRIC",
    "BICYCLING",
    "BUS_ELECTRIC",
    "BUS",
    "CAR_ELECTRIC",
    "CAR",
    "IN_VEHICLE",
    "CARPOOL_ELECTRIC",
    "CARPOOL",
    "MOTO_INF_250",
    "MOTO_SUP_250",
    "SCOOTER_ELECTRIC",
    "MOPED",
    "SUBWAY",
    "TRAIN",
    "TRAMWAY",
    "WALKING",
    "ON_FOOT",
    "RUNNING",
    "UNKNOWN",
)
"""The 21 modes CoachCO2 publishes (cozy/coachCO2 `src/components/helpers.js`)."""


class InvalidPlan(ValueError):
    """The plan contradicts itself or a rule it may not relax; `where` names the entry."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where


@dataclass(frozen=True, slots=True)
class SizeClass:
    """A class of contributor counts and the step its figures are rounded to.

    `points` is for percentages, `use_kg` and `manufacture_kg` for kgCO2e per pupil and year.
    """

    low: int
    high: int | None
    points: int
    use_kg: int
    manufacture_kg: int

    @property
    def label(self) -> str:
        """As published: `11-20`, `101+`."""
        return f"{self.low}+" if self.high is None else f"{self.low}-{self.high}"


_CLASSES: Final = (
    SizeClass(11, 20, 10, 100, 10),
    SizeClass(21, 50, 5, 50, 5),
    SizeClass(51, 100, 2, 20, 2),
    SizeClass(101, None, 1, 10, 1),
)

_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    # The app files the e-scooter with bicycles; we follow the source of the data.
    "active": (
        "WALKING",
        "ON_FOOT",
        "RUNNING",
        "BICYCLING",
        "BICYCLING_ELECTRIC",
        "SCOOTER_ELECTRIC",
    ),
    "public_transport": ("BUS", "BUS_ELECTRIC", "TRAIN", "TRAMWAY", "SUBWAY"),
    "car": ("CAR", "CAR_ELECTRIC", "CARPOOL", "CARPOOL_ELECTRIC", "IN_VEHICLE"),
    "other": ("MOTO_INF_250", "MOTO_SUP_250", "MOPED", "AIR_OR_HSR", "UNKNOWN"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what is published and how coarse. Shares are fractions of 1."""

    version: str = "1"
    measures: tuple[str, ...] = ("modal-split", "carbon-balance", "places", "presence")
    """What is published; open to everyone, unless a cited exception restricts it to requests."""
    k: int = 11
    """Fewest distinct people behind any published figure, or any difference of two."""
    lycee_minimum: int = 30
    """Fewest contributors for a lycée to be shown alone."""
    homogeneity: float = 0.90
    dominance: float = 0.85
    floor_steps: int = 2
    """A category under this many rounding steps merges: merging at zero would say the zero."""
    classes: tuple[SizeClass, ...] = _CLASSES
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_CATEGORIES))
    trips_per_day: int = 4
    trips_per_month: int = 60
    trip_km: float = 150.0
    replicates: int = 400
    confidence: float = 0.95
    factors: str = "ademe-2026-07"
    days: int = 175
    """School days a year, after absences, internships and exams."""
    weekly_share: float = 0.8
    """Who makes this share of trips at the edges of the week travels weekly, as boarders do."""
    car_occupants: float = 1.0
    """People who travel for themselves in a car; a driver who only drops off is not one."""
    carpool_occupants: float = 2.0
    driven: tuple[str, ...] = ("pupil",)
    """Populations whose cars somebody else drives: only they have empty ways back and detours."""
    detour_share: float = 0.5
    """Kilometres added to a driver's own way, as a share of the trip, in the detour variant."""
    region: str = "24"
    region_name: str = "Centre-Val de Loire"
    departments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a plan that is inconsistent or looser than the methodology allows."""
        if self.k < 11:
            raise InvalidPlan("k", "at least 11 people")
        if self.lycee_minimum < self.k:
            raise InvalidPlan("lycee_minimum", "not under k")
        for name in ("homogeneity", "dominance", "confidence", "weekly_share"):
            if not 0.5 < getattr(self, name) < 1:
                raise InvalidPlan(name, "a share between 0.5 and 1")
        if self.homogeneity > 0.90 or self.dominance > 0.85:
            raise InvalidPlan("homogeneity, dominance", "not above 0.90 and 0.85")
        for name in ("trips_per_day", "trips_per_month", "days", "replicates", "floor_steps"):
            if getattr(self, name) < 1:
                raise InvalidPlan(name, "at least 1")
        for name in ("trip_km", "detour_share"):
            if getattr(self, name) <= 0:
                raise InvalidPlan(name, "above 0")
        for name in ("car_occupants", "carpool_occupants"):
            if getattr(self, name) < 1:
                raise InvalidPlan(name, "at least 1")
        self._check_classes()
        self._check_categories()

    def _check_classes(self) -> None:
        if not self.classes or self.classes[0].low != self.k:
            raise InvalidPlan("classes", "the first class starts at k")
        for one, following in zip(self.classes, self.classes[1:], strict=False):
            if one.high is None or one.high < one.low or following.low != one.high + 1:
                raise InvalidPlan("classes", "adjoining, in order")
        if self.classes[-1].high is not None:
            raise InvalidPlan("classes", "the last class is open")
        for one in self.classes:
            if min(one.points, one.use_kg, one.manufacture_kg) < 1 or 100 % one.points:
                raise InvalidPlan("classes", "steps are at least 1 and points divide 100")
            if one.low * one.points < 100:
                # Under one person's worth, a step lets one known classmate be subtracted.
                raise InvalidPlan("classes", "a step is worth at least one person of the class")

    def _check_categories(self) -> None:
        placed = [mode for modes in self.categories.values() for mode in modes]
        if sorted(placed) != sorted(MODES):
            raise InvalidPlan("categories", "each of the 21 modes in exactly one category")
        if len(self.categories) < 2 or any("+" in name for name in self.categories):
            raise InvalidPlan("categories", "two or more, and no '+' in a name")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make a plan from a territory's `[plan]` table. Raises `InvalidPlan`."""
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(mapping) - known)
        if unknown:
            raise InvalidPlan(unknown[0], "no such entry")
        values = dict(mapping)
        try:
            if "classes" in values:
                values["classes"] = tuple(
                    SizeClass(
                        int(one["low"]),
                        None if one.get("high") is None else int(one["high"]),
                        int(one["points"]),
                        int(one["use_kg"]),
                        int(one["manufacture_kg"]),
                    )
                    for one in values["classes"]
                )
            if "categories" in values:
                values["categories"] = {
                    str(name): tuple(modes) for name, modes in values["categories"].items()
                }
            for name in ("measures", "driven"):
                if name in values:
                    values[name] = tuple(str(one) for one in values[name])
            if "departments" in values:
                values["departments"] = {str(c): str(n) for c, n in values["departments"].items()}
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidPlan("plan", f"an entry has the wrong shape ({error})") from error

    def describe(self) -> dict[str, Any]:
        """Every parameter as plain JSON values, for manifests."""
        described = asdict(self)
        described["measures"], described["driven"] = list(self.measures), list(self.driven)
        described["classes"] = [asdict(one) for one in self.classes]
        described["categories"] = {name: list(modes) for name, modes in self.categories.items()}
        return described

    def size_class(self, people: int) -> SizeClass | None:
        """The class of a number of contributors; None under k."""
        for one in self.classes:
            if people >= one.low and (one.high is None or people <= one.high):
                return one
        return None

    def labelled(self, label: str) -> SizeClass | None:
        """The class a published label names; None for any other text."""
        return next((one for one in self.classes if one.label == label), None)

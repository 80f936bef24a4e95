"""CoachCO2 measures: what the app posts to Cozy's aggregator, the DACC, one row per post.

Nothing here names a person, but each post is one participant's. The app posts the month to date
again every day, so that adding days up would count a trip up to thirty times: of a sender, measure,
group and month only the posts of the last day stand, in a file and across files (`resent`). Posts
of one day under one group are several participants' and all stand.

`statistic` says how posts of different groups may be merged: a sum by adding, a mean only weighted
by the count of the same groups. The school is a displayed name; its UAI comes from the directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, BinaryIO, Final

import msgspec
import pyarrow as pa

from connectors.contract import Batch, Dataset, Reading
from connectors.documented import documented
from connectors.jsonrows import BadRow, Reader, Row, Warnings, read_documents
from connectors.layouts import EARLIEST, today
from connectors.partners.coachco2.modes import MODES, UNKNOWN
from connectors.partners.coachco2.resent import latest
from connectors.partners.coachco2.samples import MEASURE_EXAMPLES
from connectors.schools import match

NAMES: Final = frozenset(
    {"experimentation-consent", "co2-emissions-monthly", "bike-goal-yearly"}
    | {
        f"{what}-{figure}-monthly"
        for what in ("sections", "trips")
        for figure in ("count", "CO2", "duration", "distance")
    }
)
DIRECTIONS: Final = frozenset({"outward", "return", "round", "none"})
USERS: Final = frozenset(
    {"highSchoolStudent", "nationalEducationStaff", "centreValDeLoireStaff", "other", "unknown"}
)
SCHEMA: Final = documented(
    ("created_by", pa.string(), "application émettrice", "sending application"),
    ("measure", pa.string(), "nom de la mesure", "name of the measure"),
    ("start_date", pa.date32(), "jour d'envoi, mois à date", "day sent, month to date"),
    ("value", pa.float64(), "compte, kg, s ou m selon la mesure", "count, kg, s or m by measure"),
    ("statistic", pa.string(), "somme (sum) ou moyenne (mean)", "how to merge: sum or mean"),
    ("mode", pa.string(), "mode du tronçon", "mode of the section"),
    ("modes", pa.string(), "modes du trajet, joints par « : »", "modes of the trip, joined by “:”"),
    ("school", pa.string(), "nom de l'établissement", "name of the school"),
    ("uai", pa.string(), "code de l'établissement, si reconnu", "code of the school, if matched"),
    ("user_type", pa.string(), "type d'usager", "type of user"),
    ("direction", pa.string(), "sens domicile–lycée", "direction home–lycée"),
    ("is_main_mode", pa.bool_(), "mode principal du trajet", "main mode of the trip"),
    ("main_mode", pa.string(), "mode principal", "main mode"),
    optional=(
        "mode", "modes", "school", "uai", "user_type", "direction", "is_main_mode", "main_mode",
    ),
)  # fmt: skip
MEANS: Final = ("-duration-monthly", "-distance-monthly")
POSITION: Final = "position"
Group = dict[str, str | bool | int | float | None]


class _Post(msgspec.Struct):
    createdBy: str | None = None  # noqa: N815 - Cozy's name
    measureName: str | None = None  # noqa: N815 - Cozy's name
    startDate: str | None = None  # noqa: N815 - Cozy's name
    value: float | None = None
    groups: list[Group] = []
    group1: Group | None = None
    group2: Group | None = None
    group3: Group | None = None


def _row(post: _Post, reading: Reading) -> tuple[Row, Warnings]:
    for value, field in (
        (post.createdBy, "createdBy"),
        (post.measureName, "measureName"),
        (post.startDate, "startDate"),
    ):
        if not (value or "").strip():
            raise BadRow("missing_value", field)
    if post.measureName not in NAMES:
        raise BadRow("unknown_value", "measureName")
    if post.value is None:
        raise BadRow("missing_value", "value")
    if not 0 <= post.value < float("inf"):
        raise BadRow("impossible_value", "value")
    groups: dict[str, Any] = {}
    for group in (*post.groups, post.group1, post.group2, post.group3):
        groups |= group or {}
    warnings: Warnings = []
    school = _text(groups, "school")
    uai = match(school, reading.schools) if school else None
    if school and reading.schools and uai is None:
        warnings.append(("unknown_school", "school"))
    day = _date(post.startDate or "", reading)
    if reading.expected_from and day < reading.expected_from:
        warnings.append(("date_before_school_year", "startDate"))
    return {
        "created_by": post.createdBy,
        "measure": post.measureName,
        "start_date": day,
        "value": post.value,
        "statistic": "mean" if post.measureName.endswith(MEANS) else "sum",
        "mode": _mode(groups, "mode", warnings),
        "modes": _text(groups, "modes"),
        "school": school,
        "uai": uai,
        "user_type": _listed(groups, "userType", USERS),
        "direction": _listed(groups, "schoolTripDirection", DIRECTIONS),
        "is_main_mode": _flag(groups, "isMainMode"),
        "main_mode": _mode(groups, "mainMode", warnings),
    }, warnings


def _date(text: str, reading: Reading) -> date:
    try:
        # A cell may carry a time behind the day; only the day means something.
        day = date.fromisoformat(text.strip()[:10])
    except ValueError as error:
        raise BadRow("wrong_date", "startDate") from error
    if day > today(reading):
        raise BadRow("date_in_future", "startDate")
    if day < EARLIEST:
        raise BadRow("date_too_old", "startDate")
    return day


def _text(groups: Group, key: str) -> str | None:
    value = groups.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRow("wrong_type", key)
    return value.strip() or None if value else None


def _listed(groups: Group, key: str, values: frozenset[str]) -> str | None:
    text = _text(groups, key)
    if text is not None and text not in values:
        raise BadRow("unknown_value", key)
    return text


def _mode(groups: Group, key: str, warnings: Warnings) -> str | None:
    text = _text(groups, key)
    if text is None or text.upper() in MODES:
        return text and text.upper()
    warnings.append(("unknown_mode", key))
    return UNKNOWN


def _flag(groups: Group, key: str) -> bool | None:
    """The app writes "0" and "1" as texts."""
    value = groups.get(key)
    if value in (None, ""):
        return None
    if str(value).lower() not in ("0", "1", "true", "false"):
        raise BadRow("not_a_boolean", key)
    return str(value).lower() in ("1", "true")


_READER: Final = Reader(
    table="measures",
    schema=SCHEMA.append(pa.field(POSITION, pa.int64(), nullable=False)),
    decoder=msgspec.json.Decoder(_Post),
    row=_row,
    once=(b'"value"', b'"measureName"'),
    position=POSITION,
)


def _read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
    return latest(read_documents(file, _READER, reading), SCHEMA, reading)


MEASURES: Final = Dataset(
    partner="coachco2",
    name="measures",
    title={"fr": "Mesures agrégées de l'application", "en": "The app's aggregated measures"},
    source="Cozy DACC, CoachCO2 service daccCentreValDeLoireExpe",
    tables={"measures": SCHEMA},
    read=_read,
    media_types=("application/json", "application/x-ndjson", "application/gzip"),
    examples=MEASURE_EXAMPLES,
)

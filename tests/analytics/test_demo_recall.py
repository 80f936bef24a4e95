"""Recognition against the demo territory's truth, through the real connector.

The generator is somebody else's; the truth is read off where its people really were.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics import recognise
from analytics.measures import MEASURES
from analytics.plan import Plan
from connectors.contract import Reading
from connectors.registry import DATASETS
from hub.demo.generate import Demo, generate
from hub.settings import DEFAULT_TERRITORY, load_territory

PARIS = ZoneInfo("Europe/Paris")
Key = tuple[str, date, int, str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return generate(tmp_path_factory.mktemp("demo"), seed=7, scale=0.05)


def read(key: str, path: Path) -> pa.Table:
    reading = Reading(now=datetime(2026, 11, 22, tzinfo=UTC))
    with path.open("rb") as file:
        batches = [batch.records for batch in DATASETS[key].read(file, reading)]
    return pa.Table.from_batches(batches)


def keys(trips: pa.Table, truth: dict[str, dict[str, object]]) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for row in trips.select(["subject", "trip", "start"]).to_pylist():
        meant = truth[row["trip"]]
        if meant["home_lycee"]:
            local = row["start"].astimezone(PARIS)
            quarter = local.hour * 4 + local.minute // 15
            found[row["subject"], local.date(), quarter, str(meant["direction"])] += 1
    return found


def test_the_territorys_plan_is_one() -> None:
    territory = load_territory(DEFAULT_TERRITORY)
    plan = Plan.from_mapping(territory.plan)
    assert dict(plan.departments) == territory.departments
    assert set(plan.measures) == set(MEASURES)


def test_precision_and_recall_against_the_truth(demo: Demo) -> None:
    territory = load_territory(DEFAULT_TERRITORY)
    rules = recognise.Rules.from_mapping(
        territory.recognition,
        school_year=territory.school_year,
        holidays=territory.holidays,
        public_holidays=territory.public_holidays,
    )
    files = {file.dataset: file.path for file in demo.files if file.partner == "region"}
    communes = read("region/enrolments", files["enrolments"]).group_by("commune")
    places = recognise.Places(
        read("region/lycees", files["lycees"]),
        communes.aggregate([("lon", "max"), ("lat", "max")]).rename_columns(
            ["commune", "lon", "lat"]
        ),
    )
    told = pq.read_table(demo.truth).to_pylist()
    truth = {row["trip"]: row for row in told} | {row["document"]: row for row in told}
    pushes = [file.path for file in demo.files if file.dataset == "trips"]
    assert len(pushes) > 1
    for path in pushes:
        trips = read("coachco2/trips", path)
        want = keys(trips, truth)
        got: Counter[Key] = Counter(
            (row["subject"], row["date"], row["quarter_hour"], row["direction"])
            for row in recognise.recognise(trips, places, rules).to_pylist()
        )
        right = sum((got & want).values())
        assert right / got.total() >= 0.95, path.name
        assert right / want.total() >= 0.90, path.name

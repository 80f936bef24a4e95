"""The real files of ../shared/data go through, with the counts they have."""

from __future__ import annotations

from collections import Counter

import pytest

from connectors.registry import DATASETS
from tests.connectors.reading import Outcome, read, real


def outcome(key: str, name: str) -> Outcome:
    with real(name).open("rb") as file:
        return read(DATASETS[key], file)


@pytest.mark.parametrize(
    ("key", "name", "received", "rejected", "warned", "rows"),
    [
        # This fixture has no cozyMetadata: nobody to ask whether it may be kept.
        ("coachco2/trips", "coachco2/timeseries-01.json", 1, {"missing_identifier": 1}, {}, 0),
        ("coachco2/trips", "coachco2/timeseries-02.json", 1, {}, {}, 1),
        ("coachco2/measures", "coachco2/dacc-measures-synthetic.json", 13, {}, {}, 13),
        ("region/lycees", "region/annuaire-lycees-cvl.csv", 119, {}, {"missing_value": 1}, 119),
        (
            "region/lycees",
            "region/annuaire-2023-dep035.csv",
            86,
            {},
            {"attached_section": 12, "duplicate_row": 2},
            72,
        ),
        ("region/carpool-places", "region/bnlc-cvl.csv", 29, {}, {}, 29),
    ],
)
def test_counts(
    key: str,
    name: str,
    received: int,
    rejected: dict[str, int],
    warned: dict[str, int],
    rows: int,
) -> None:
    got = outcome(key, name)
    assert got.received == received
    assert got.reasons == rejected
    assert got.warnings == warned
    assert sum(got.rows.values()) == rows


def test_the_other_schools_of_a_directory_are_no_part_of_it() -> None:
    assert outcome("region/lycees", "region/annuaire-2023-dep035.csv").skipped == 996 - 86


def test_the_train_bus_and_walk() -> None:
    (row,) = outcome("coachco2/trips", "coachco2/timeseries-02.json").table("trips").to_pylist()
    assert [section["mode"] for section in row["sections"]] == ["TRAIN", "BUS", "WALKING"]
    assert row["main_mode"] == "BUS"
    assert row["distance_m"] == pytest.approx(10574.2, abs=0.1)
    assert row["duration_s"] == 2497
    assert row["start"].isoformat() == "2021-12-07T15:24:49+00:00"
    assert row["app_co2_kg"] is None


def test_lycees_of_the_region() -> None:
    table = outcome("region/lycees", "region/annuaire-lycees-cvl.csv").table("lycees")
    departments = Counter(table.column("department").to_pylist())
    assert departments == {"37": 30, "45": 29, "28": 20, "18": 15, "41": 14, "36": 11}
    assert Counter(table.column("public").to_pylist()) == {True: 87, False: 32}


def test_a_real_feed_with_school_buses() -> None:
    got = outcome("region/gtfs", "gtfs/peribus.zip")
    assert got.received == 1 + 1329 + 80 + 2374 + 33408 + 17 + 133
    assert not got.rejected
    assert got.rows == {
        "agencies": 1,
        "stops": 1329,
        "routes": 80,
        "trips": 2374,
        "stop_times": 33408,
        "services": 259,
    }
    kinds = Counter(got.table("routes").column("type").to_pylist())
    assert kinds == {712: 43, 3: 36, 713: 1}

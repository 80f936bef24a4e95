"""The pilot and the year: exact counts, a truth that holds, hard cases, and no give-away."""

import json
from collections import Counter, defaultdict
from typing import Any

import pyarrow.parquet as pq
import pytest

from hub.demo import Demo, facts
from hub.demo.geo import cell, metres_between
from hub.settings import DEFAULT_TERRITORY, load_territory

KNOWN = facts.load(load_territory(DEFAULT_TERRITORY))
LYCEES = {lycee.uai: lycee for lycee in KNOWN.lycees}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def truth(demo: Demo) -> dict[str, Row]:
    rows = pq.read_table(demo.truth).to_pylist()
    by_document = {row["document"]: row for row in rows}
    assert len(by_document) == len(rows)
    return by_document


@pytest.fixture(scope="module")
def documents(demo: Demo) -> list[Row]:
    found: list[Row] = []
    for file in demo.files:
        if file.dataset == "trips":
            text = file.path.read_text("utf-8")
            lines = json.loads(text) if file.path.suffix == ".json" else text.splitlines()
            found += [one if isinstance(one, dict) else json.loads(one) for one in lines]
    return found


def properties(document: Row) -> Row:
    return dict(document["series"][0]["properties"])


def sections(document: Row) -> list[Row]:
    return [
        part["features"][0]
        for part in document["series"][0]["features"]
        if part["type"] == "FeatureCollection"
    ]


def account(document: Row) -> str:
    return str(document["cozyMetadata"]["sourceAccount"])


def test_the_pilot_is_exact(demo: Demo, truth: dict[str, Row]) -> None:
    pilot = [row for row in truth.values() if "pilot" in row["file"]]
    school = [row for row in pilot if row["home_lycee"]]
    assert len(pilot) == 4_800
    assert len(school) == 980
    assert len({row["subject"] for row in pilot}) == 100
    assert {row["uai"] for row in school} == set(demo.pilots)
    assert len(demo.pilots) == 2


def test_every_document_has_its_truth(documents: list[Row], truth: dict[str, Row]) -> None:
    assert [one["_id"] for one in documents] == list(truth)
    for one in documents:
        row = truth[one["_id"]]
        assert account(one) == row["subject"]
        assert one["series"][0]["id"] == row["trip"]


def test_truth_agrees_with_positions(documents: list[Row], truth: dict[str, Row]) -> None:
    for one in documents:
        row, about = truth[one["_id"]], properties(one)
        ends = [about[name]["coordinates"] for name in ("start_loc", "end_loc")]
        if not row["home_lycee"]:
            assert (row["direction"], row["uai"], row["home"]) == ("", "", "")
            continue
        lycee = LYCEES[row["uai"]]
        point = ends[1] if row["direction"] == "outward" else ends[0]
        # The gate is within 70 m; noise within 50 m; a cold start loses up to 360 m.
        limit = 125 if row["direction"] == "outward" else 490
        assert metres_between(lycee.lon, lycee.lat, *point) < limit
        assert row["home"] in {"h1", "h2"}
        assert row["direction"] in {"outward", "return"}


def test_neighbours_never_make_a_home_lycee_trip(truth: dict[str, Row]) -> None:
    kinds = Counter(row["kind"] for row in truth.values() if row["home_lycee"])
    assert set(kinds) == {"pupil", "boarder", "post-bac", "staff"}
    assert {row["kind"] for row in truth.values()} - set(kinds) == {"resident", "worker"}


def test_hard_cases_are_there(documents: list[Row], truth: dict[str, Row]) -> None:
    pilot = [one for one in documents if "pilot" in truth[one["_id"]]["file"]]
    homes: dict[str, set[str]] = defaultdict(set)
    same_cell: set[str] = set()
    weekend = 0
    for one in pilot:
        row, about = truth[one["_id"]], properties(one)
        weekend += one["startDate"][8:10] in {"18", "19", "25", "26"}
        if row["home_lycee"]:
            homes[row["subject"]].add(row["home"])
            start, end = (about[name]["coordinates"] for name in ("start_loc", "end_loc"))
            if cell(*start) == cell(*end):
                same_cell.add(row["subject"])
    assert sum(len(found) == 2 for found in homes.values()) >= 5
    assert len(same_cell) >= 5
    assert len({r["subject"] for r in truth.values() if r["kind"] == "boarder"}) >= 9
    assert weekend > 200


def test_documents_have_the_faults_of_real_ones(documents: list[Row]) -> None:
    n = len(documents)
    faults = {
        "no aggregation": sum("aggregation" not in one for one in documents),
        "no sections": sum(not sections(one) for one in documents),
        "no offset": sum(len(one["startDate"]) == 19 for one in documents),
        "UTC": sum(one["startDate"].endswith("+00:00") for one in documents),
        "negative": sum(properties(one)["duration"] < 0 for one in documents),
        "old mode": sum(
            part["properties"].get("manual_mode") == "BIKE"
            for one in documents
            for part in sections(one)
        ),
    }
    assert all(0 < count < n / 10 for count in faults.values()), faults


def test_lines_are_short_and_consistent(documents: list[Row]) -> None:
    for one in documents[::7]:
        for part in sections(one):
            about, line = part["properties"], part["geometry"]["coordinates"]
            assert 6 <= len(line) <= 15
            assert len(line) == len(about["distances"]) == len(about["timestamps"])
            assert about["timestamps"] == sorted(about["timestamps"])
            assert abs(sum(about["distances"]) - about["distance"]) < 2


def test_no_label_in_the_pushed_files_tells_the_truth(
    documents: list[Row], truth: dict[str, Row], demo: Demo
) -> None:
    words = {"home_lycee", "outward", "return", "boarder", "post-bac", "resident", "domicile",
             "internat", '"h1"', '"h2"', "lycée", "lycee", *LYCEES}  # fmt: skip
    for file in demo.files:
        if file.dataset == "trips":
            text = file.path.read_text("utf-8")
            assert not [word for word in words if word in text]
    communes = {commune.name for commune in KNOWN.communes}
    for one in documents:
        for feature in one["series"][0]["features"][:2]:
            name = feature["properties"]["display_name"].removeprefix("Lieu synthétique, ")
            assert name in communes | {""}


def test_purposes_and_faults_are_independent_of_the_truth(
    documents: list[Row], truth: dict[str, Row]
) -> None:
    base = sum(row["home_lycee"] for row in truth.values()) / len(truth)
    shares: dict[str, list[bool]] = defaultdict(list)
    for one in documents:
        about = properties(one)
        school = truth[one["_id"]]["home_lycee"]
        shares[str(about.get("manual_purpose"))].append(school)
        shares[f"aggregation {'aggregation' in one}"].append(school)
        shares[f"naive {len(one['startDate']) == 19}"].append(school)
    for name, found in shares.items():
        if len(found) > 60:
            tolerance = 4 * (base * (1 - base) / len(found)) ** 0.5
            assert abs(sum(found) / len(found) - base) < tolerance, name


def test_people_travel_only_while_watched(documents: list[Row]) -> None:
    days = sorted(one["startDate"][:10] for one in documents)
    assert days[0] >= "2025-09-07"
    assert days[-1] <= "2026-06-26"
    spans: dict[str, set[str]] = defaultdict(set)
    for one in documents:
        spans[account(one)].add(one["startDate"][:10])
    assert max(len(found) for found in spans.values()) <= 28

"""The demo as a whole: same seed, same bytes, and what the connectors make of its files."""

import csv
import hashlib
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.contract import Reading
from connectors.registry import DATASETS
from hub.demo import Demo, DemoFile, generate
from hub.demo.taps import FAULTS
from hub.settings import DEFAULT_TERRITORY, load_territory
from tests.demo.conftest import SCALE

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    generate(tmp_path, seed=2026, scale=SCALE)
    again = digests(tmp_path)
    assert len(again) == len(demo.files) + 4
    assert again == digests(demo.folder)


def test_another_seed_and_scale_change_people_but_not_the_pilots_size(
    demo: Demo, tmp_path: Path
) -> None:
    other = generate(tmp_path, seed=7, scale=SCALE / 2)
    before, after = digests(demo.folder), digests(tmp_path)
    same = {name for name in before if before[name] == after[name]}
    assert same == {"LISEZMOI.txt", "region/lycees.csv"}
    assert other.participants["pilot"] == demo.participants["pilot"] == 100
    assert other.trips["trips-2025-autumn-pilot.json"] == 4_800
    assert other.participants["region"] < demo.participants["region"]
    assert other.taps < demo.taps


def test_scale_leaves_the_pilot_as_it_is(demo: Demo, tmp_path: Path) -> None:
    smaller = generate(tmp_path, seed=2026, scale=SCALE / 4)
    for one in ("coachco2/trips-2025-autumn-pilot.json", "region/enrolments.csv"):
        assert (smaller.folder / one).read_bytes() == (demo.folder / one).read_bytes()


def test_push_order_puts_the_region_first(demo: Demo) -> None:
    keys = [f"{file.partner}/{file.dataset}" for file in demo.files]
    assert keys[:4] == [
        "region/lycees", "region/enrolments", "region/carpool-places", "region/gtfs",
    ]  # fmt: skip
    assert list(dict.fromkeys(keys[4:])) == [
        "orange/presence", "transdev/validations", "coachco2/trips",
    ]  # fmt: skip
    assert all(file.path.is_file() and file.label for file in demo.files)


def test_progress_ends_where_it_said_it_would(tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    generate(
        tmp_path,
        scale=0.01,
        progress=lambda label, done, total: told.setdefault(label, []).append((done, total)),
    )
    assert len(told) == 4
    for steps in told.values():
        assert steps[0][0] == 0
        assert steps[-1][0] == steps[-1][1]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_everything_goes_through_its_connector(demo: Demo) -> None:
    rejected: Counter[str] = Counter()
    received: dict[str, int] = {}
    for file in demo.files:
        count, codes = read(file)
        received[file.path.name] = count
        if file.dataset == "validations":
            assert sum(codes.values()) == len(FAULTS), codes
            rejected += codes
        else:
            assert not codes, (file.path.name, codes)
    assert received["lycees.csv"] == 42
    assert {name: received[name] for name in demo.trips} == dict(demo.trips)
    taps = sum(count for name, count in received.items() if name.startswith("validations"))
    assert taps == demo.taps
    assert sum(rejected.values()) == demo.wrong_taps == 9
    assert set(rejected.values()) == {3}


def read(file: DemoFile) -> tuple[int, Counter[str]]:
    dataset = DATASETS[f"{file.partner}/{file.dataset}"]
    count, codes = 0, Counter[str]()
    with file.path.open("rb") as content:
        for batch in dataset.read(content, Reading(now=NOW)):
            count += batch.received
            codes.update(one.code for one in batch.rejected)
    return count, codes


def test_consents_name_known_people_once(demo: Demo) -> None:
    with demo.grants.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    references = [row["reference"] for row in rows]
    assert len(set(references)) == len(references)
    assert Counter(row["state"] for row in rows) == {
        state: count for state, count in demo.answers.items() if state != "silent" and count
    }
    people = sum(demo.participants.values())
    assert sum(demo.answers.values()) == people
    assert demo.answers["silent"] == people - len(rows) > 0
    assert demo.answers["given"] > 0.8 * people
    assert {row["population"] for row in rows} <= {"pupil", "post-bac", "staff"}
    for row in rows:
        given = datetime.fromisoformat(row["given_at"])
        assert given < datetime(2025, 9, 8, tzinfo=UTC)
        if row["population"] == "pupil":  # nobody needs a parent's half
            year, month = map(int, row["birth_month"].split("-"))
            age = (given.year - year) * 12 + given.month - month
            assert 15 * 12 < age < 18 * 12 + 1


def test_every_dataset_has_an_agreement() -> None:
    territory = load_territory(DEFAULT_TERRITORY)
    agreed = {f"{one.partner}/{one.dataset}" for one in territory.agreements}
    assert agreed == set(DATASETS)
    assert {one.partner for one in territory.agreements} == {p.id for p in territory.partners}
    for one in territory.agreements:
        personal = DATASETS[f"{one.partner}/{one.dataset}"].subject is not None
        assert (one.basis == "not_personal") == (not personal)
        assert bool(one.legal_text) == personal


@pytest.mark.parametrize("name", ["LISEZMOI.txt", "region/gtfs.zip"])
def test_the_demo_says_what_it_is(demo: Demo, name: str) -> None:
    path = demo.folder / name
    text = (
        zipfile.ZipFile(path).read("agency.txt").decode()
        if path.suffix == ".zip"
        else path.read_text("utf-8")
    )
    assert "synthétique" in text

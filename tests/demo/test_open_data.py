"""The files about nobody: layouts as published, facts as in the sources, buses on time."""

import csv
import io
import zipfile
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest

from hub.demo import Demo, enrolments, facts, taps
from hub.demo.geo import metres_between
from hub.demo.region_files import ANNUAIRE, BNLC
from hub.demo.school_buses import FIRST_DAY, LAST_DAY, network, stop_id
from hub.settings import DEFAULT_TERRITORY, load_territory

KNOWN = facts.load(load_territory(DEFAULT_TERRITORY))
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def feed(demo: Demo) -> dict[str, Rows]:
    with zipfile.ZipFile(demo.folder / "region" / "gtfs.zip") as archive:
        return {
            name: list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8"))))
            for name in archive.namelist()
        }


def table(path: Path, delimiter: str) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def seconds(clock: str) -> int:
    hours, minutes, rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + rest


def test_headers_are_the_published_ones(shared: Path) -> None:
    for name, header, delimiter in (
        ("annuaire-lycees-cvl.csv", ANNUAIRE, ";"),
        ("bnlc-cvl.csv", BNLC, ","),
    ):
        with (shared / "region" / name).open(encoding="utf-8-sig") as file:
            assert file.readline().strip().split(delimiter) == list(header)


def test_lycees_are_facts(shared: Path) -> None:
    real = {
        row["Identifiant_de_l_etablissement"]: row
        for row in table(shared / "region" / "annuaire-lycees-cvl.csv", ";")
    }
    for lycee in KNOWN.lycees:
        row = real[lycee.uai]
        assert row["Code_commune"] == lycee.commune
        assert abs(float(row["longitude"]) - lycee.lon) < 1e-5
        assert abs(float(row["latitude"]) - lycee.lat) < 1e-5


def test_facts_are_consistent() -> None:
    codes = [commune.code for commune in KNOWN.communes]
    assert len(set(codes)) == len(codes) > 120
    assert {code[:2] for code in codes} == set(KNOWN.territory.departments)
    assert len(KNOWN.lycees) == 42
    assert sum(lycee.pilot for lycee in KNOWN.lycees) == 2
    assert {lycee.commune[:2] for lycee in KNOWN.lycees} == set(KNOWN.territory.departments)
    for lycee in KNOWN.lycees:
        town = KNOWN.commune_of(lycee)
        assert metres_between(lycee.lon, lycee.lat, town.lon, town.lat) < 8_000


@pytest.mark.parametrize(
    ("day", "lessons"),
    [
        ("2025-09-01", True), ("2025-10-17", True), ("2025-10-20", False), ("2025-11-03", True),
        ("2025-11-11", False), ("2025-12-22", False), ("2026-01-05", True), ("2026-02-13", True),
        ("2026-02-16", False), ("2026-03-02", True), ("2026-04-06", False), ("2026-04-13", False),
        ("2026-04-27", True), ("2026-05-15", False), ("2026-07-03", True), ("2026-07-06", False),
        ("2026-03-07", False),
    ],
)  # fmt: skip
def test_school_calendar(day: str, lessons: bool) -> None:
    assert KNOWN.is_school_day(date.fromisoformat(day)) is lessons


def test_enrolments_follow_gravity(demo: Demo) -> None:
    rows = table(demo.folder / "region" / "enrolments.csv", ";")
    assert list(rows[0]) == [
        "annee_scolaire", "uai", "code_commune", "nom_commune", "longitude", "latitude", "effectif",
    ]  # fmt: skip
    total: dict[str, int] = defaultdict(int)
    local: dict[str, int] = defaultdict(int)
    places = {lycee.uai: lycee for lycee in KNOWN.lycees}
    for row in rows:
        lycee, count = places[row["uai"]], int(row["effectif"])
        assert count > 0
        away = metres_between(lycee.lon, lycee.lat, float(row["longitude"]), float(row["latitude"]))
        assert away < 46_000
        total[row["uai"]] += count
        local[row["uai"]] += count if away < 15_000 else 0
    assert set(total) == set(places)
    assert all(300 < count < 1_600 for count in total.values())
    assert sum(local.values()) > 0.6 * sum(total.values())


def test_orange_delivers_nothing_under_twenty(demo: Demo) -> None:
    rows = table(demo.folder / "orange" / "presence-2026-03.csv", ";")
    assert list(rows[0]) == ["Zone", "Date", "Heures", "Type", "Volume"]
    assert min(int(row["Volume"]) for row in rows) >= 20
    assert {row["Zone"].split()[-1] for row in rows} == {lycee.uai for lycee in KNOWN.lycees}
    foreign = sum(row["Type"] == "Etrangers" for row in rows)
    assert 0 < foreign < len(rows) / 3  # most are withheld, not zero
    assert {row["Heures"][3:] for row in rows} == {"00:00", "30:00"}


def test_carpool_places_say_they_are_synthetic(demo: Demo) -> None:
    rows = table(demo.folder / "region" / "carpool-places.csv", ",")
    assert len(rows) > 20
    assert all("synthétique" in row["nom_lieu"] and row["source"] == "0" * 9 for row in rows)


def test_buses_bring_pupils_before_the_bell_and_home_after_it(feed: dict[str, Rows]) -> None:
    calls: dict[str, Rows] = defaultdict(list)
    for row in feed["stop_times.txt"]:
        calls[row["trip_id"]].append(row)
    stops = {row["stop_id"] for row in feed["stops.txt"]}
    served: dict[str, set[str]] = defaultdict(set)
    for trip, rows in calls.items():
        times = [seconds(row["departure_time"]) for row in rows]
        assert times == sorted(times)
        assert [int(row["stop_sequence"]) for row in rows] == list(range(1, len(rows) + 1))
        assert {row["stop_id"] for row in rows} <= stops
        assert times[-1] - times[0] < 2 * 3600, trip
    ends = {trip: (rows[0], rows[-1]) for trip, rows in calls.items()}
    for row in feed["trips.txt"]:
        first, last = ends[row["trip_id"]]
        uai = (last if row["direction_id"] == "0" else first)["stop_id"].rsplit(":", 1)[1]
        if row["direction_id"] == "0":
            early = KNOWN.bell(uai, "first") - seconds(last["arrival_time"])
            assert 0 < early <= 20 * 60
            served[uai].add(f"in {row['service_id']}")
        elif seconds(first["departure_time"]) > KNOWN.bell(
            uai, "wednesday_last" if row["service_id"] == "SYN:ME" else "last"
        ):
            served[uai].add(f"out {row['service_id']}")
    assert set(served) == {lycee.uai for lycee in KNOWN.lycees}
    assert all(len(found) == 4 for found in served.values())
    assert {row["route_type"] for row in feed["routes.txt"]} == {"712"}


def test_buses_run_on_school_days_only(feed: dict[str, Rows]) -> None:
    weekdays = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    removed = {(row["service_id"], row["date"]) for row in feed["calendar_dates.txt"]}
    day = FIRST_DAY
    while day <= LAST_DAY:
        running = [
            row["service_id"]
            for row in feed["calendar.txt"]
            if row[weekdays[day.weekday()]] == "1"
            and (row["service_id"], f"{day:%Y%m%d}") not in removed
        ]
        assert len(running) == KNOWN.is_school_day(day), day
        day += timedelta(days=1)


def test_three_months_hold_two_hundred_thousand_taps(tmp_path: Path) -> None:
    enrolled = enrolments.draw(KNOWN, 2026)
    lines = network(KNOWN, enrolled)
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    cards, count = taps.write(KNOWN, lines, enrolled, 2026, 1.0, paths)
    assert count >= 200_000
    assert sum(path.read_bytes().count(b"\n") - 1 for path in paths) == count
    assert all(card.startswith("SYN-CARD-") for card in cards)


def test_taps_are_on_buses_that_exist(demo: Demo, feed: dict[str, Rows]) -> None:
    stop_times = {
        (row["trip_id"], row["stop_id"]): seconds(row["departure_time"])
        for row in feed["stop_times.txt"]
    }
    months = [file.path for file in demo.files if file.dataset == "validations"]
    wrong = 0
    for path in months:
        rows = table(path, ",")
        assert tuple(rows[0]) == taps.COLUMNS
        assert len({row["transaction_id"] for row in rows}) == len(rows)
        for row in rows:
            planned = stop_times[row["trip_id_scheduled"], row["stop_id"]]
            assert -60 <= seconds(row["event_timestamp"][11:]) - planned < 240
            faults = (
                not row["token_id"],
                row["fare_action"] != "Enter",
                row["service_date"] == "2026-02-30",
            )
            wrong += sum(faults)
            if not any(faults):
                assert row["service_date"] == row["event_timestamp"][:10]
                assert KNOWN.is_school_day(date.fromisoformat(row["service_date"]))
    assert wrong == demo.wrong_taps


def test_objections_name_cards_that_tap(demo: Demo) -> None:
    rows = table(demo.objections, ";")
    months = [file.path for file in demo.files if file.dataset == "validations"]
    tapped = {row["token_id"] for path in months for row in table(path, ",")}
    assert 0 < len(rows) == demo.objectors < len(tapped) / 5
    assert {row["reference"] for row in rows} <= tapped


def test_stop_ids_differ_between_a_lycee_and_its_commune() -> None:
    lycee = KNOWN.lycees[0]
    assert stop_id(lycee) != stop_id(KNOWN.commune_of(lycee))

"""The real files of ../shared/data go through, with the counts they have.

`READ` names the test of each; a file that comes to that folder without one fails here.
"""

from __future__ import annotations

import ast
import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from connectors.contract import Malformed
from connectors.partners.orange.visitors import FAMILIES
from connectors.partners.orange.visitors_samples import delivery
from connectors.partners.region.commutes import AGES, LAYOUT, MEMBER
from connectors.partners.region.gtfs_samples import FEED, packed
from connectors.registry import DATASETS
from tests.connectors.reading import DATA, Outcome, read, real

READ = {
    "SOURCES.md": "tests/connectors/test_real_files.py",
    "coachco2/dacc-measures-synthetic.json": "tests/connectors/test_real_files.py",
    "coachco2/export-sample.csv": "tests/connectors/test_export.py",
    "coachco2/timeseries-01.json": "tests/connectors/test_real_files.py",
    "coachco2/timeseries-02.json": "tests/connectors/test_real_files.py",
    "factors/impactco2-deplacement.json": "tests/analytics/test_carbon.py",
    "gtfs/peribus.zip": "tests/connectors/test_real_files.py",
    "gtfs/sncf-ter-stops-cvl.txt": "tests/connectors/test_real_files.py",
    "orange-headers.txt": "tests/connectors/test_real_files.py",
    "region/annuaire-2023-dep035.csv": "tests/connectors/test_real_files.py",
    "region/annuaire-lycees-cvl.csv": "tests/connectors/test_real_files.py",
    "region/bnlc-cvl.csv": "tests/connectors/test_real_files.py",
    "region/ips-lycees-orleans-tours.csv": "tests/connectors/test_real_files.py",
    "region/mobsco-dictionary.json": "tests/connectors/test_real_files.py",
    "vectors/merkle": "tests/audit/test_merkle.py",
    "vectors/tessera-log": "tests/audit/test_tiles.py",
    "vocab/dcat-ap-3.0.1-shacl.ttl": "tests/flows/test_catalog.py",
    "vocab/dpv-2.3.ttl": "tests/consent/test_records.py",
    "vocab/eu-gdpr-2.3.ttl": "tests/consent/test_records.py",
    "vocab/pd-2.3.ttl": "tests/consent/test_records.py",
}
ROOT = Path(__file__).parents[2]


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


def test_every_real_file_has_its_test() -> None:
    if not DATA.exists():
        pytest.skip("the real files are not here (../shared/data)")
    here = {path.relative_to(DATA).as_posix() for path in DATA.rglob("*") if path.is_file()}
    named = {name for name in here if any(name == n or name.startswith(f"{n}/") for n in READ)}
    assert here == named
    assert all(any(name == n or name.startswith(f"{n}/") for name in here) for n in READ)
    for name, test in READ.items():
        texts = [
            node.value
            for node in ast.walk(ast.parse((ROOT / test).read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert any(Path(name).stem in text for text in texts), (name, test)


def test_the_stops_of_real_trains() -> None:
    """A table of stops without a feed: read in the place of a feed's own."""
    content = real("gtfs/sncf-ter-stops-cvl.txt").read_bytes()
    got = read(DATASETS["region/gtfs"], packed({**FEED, "stops.txt": content}))
    stops = got.table("stops").to_pylist()
    assert len(stops) == 432
    assert Counter(bool(stop["parent"]) for stop in stops) == {True: 274, False: 158}
    # The feed's own trips stop at places that are not among them.
    assert got.reasons == {"unknown_reference": 4}


def test_the_social_index_is_no_directory_and_agrees_with_it() -> None:
    content = real("region/ips-lycees-orleans-tours.csv").read_bytes()
    with pytest.raises(Malformed) as refused:
        read(DATASETS["region/lycees"], content)
    assert (refused.value.code, refused.value.where) == (
        "missing_column", "Identifiant_de_l_etablissement",
    )  # fmt: skip
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines(), delimiter=";"))
    assert len(rows) == 722
    known = {row["uai"]: row["code_insee_de_la_commune"] for row in rows}
    assert len(known) == 122
    lycees = outcome("region/lycees", "region/annuaire-lycees-cvl.csv").table("lycees").to_pylist()
    both = [row for row in lycees if row["uai"] in known]
    assert len(both) == 118
    assert all(row["commune"] == known[row["uai"]] for row in both)


def test_the_census_is_read_as_its_dictionary_says() -> None:
    told = json.loads(real("region/mobsco-dictionary.json").read_text("utf-8"))
    columns = {column["name"]: column for column in told["columns"]}
    assert len(columns) == 22
    assert {c.header[0] for c in LAYOUT.columns} <= set(columns)
    assert list(columns["AGEREV10"]["values"]) == list(AGES)
    files = [(v.get("fichier_donnees"), v.get("fichier_meta")) for v in told["vintages"]]
    shipped = [pair for pair in files if pair[0]]
    assert (len(files), len(shipped)) == (7, 6)
    for persons, meta in shipped:
        assert MEMBER.fullmatch(persons), persons
        assert not MEMBER.fullmatch(meta), meta
    assert MEMBER.fullmatch("RP2021_mobsco.parquet")


CELLS = {
    "Zone": "Commune A", "Date": "2026-03-02", "Heures": "07:00:00", "Type": "Français",
    "Duree": "Sup3h", "ZoneNuitee": "-1", "ZoneActivite": "7", "Volume": "40",
    "Provenance": "LOCAL", "CategorieVisiteur": "TRANSIT NOCTURNE", "VacancesA": "0",
    "VacancesB": "1", "VacancesC": "0", "Ferie": "0",
}  # fmt: skip


def test_every_attested_header_of_orange_is_read() -> None:
    """No delivery is public; the columns are. One row under each of them comes out."""
    lines = real("orange-headers.txt").read_text("utf-8").splitlines()
    told: dict[str, str] = {}
    for line in lines:
        name, separator, rest = line.partition(":")
        columns = rest.split("[")[0].strip()
        if separator and ";" in columns and not columns.startswith(("+", "IDEM")):
            told[name.strip()] = columns.split(" ")[0]
    plain = {name: header for name, header in told.items() if name.startswith("presence")}
    assert len(plain) == 4
    for name, header in plain.items():
        key = "orange/presence" if name == "presence30min.csv" else "orange/flows"
        row = ";".join(CELLS.get(column, "x") for column in header.split(";"))
        got = read(DATASETS[key], f"{header}\n{row}\n".encode())
        assert (got.valid, got.reasons) == (1, {}), name
    header = told["Nuitee / Diurne"]
    row = ";".join(CELLS.get(column, "x") for column in header.split(";"))
    files = dict.fromkeys(FAMILIES, f"{header}\n{row}\n")
    assert read(DATASETS["orange/presence"], delivery(**files)).rows == {"visitors": 7}

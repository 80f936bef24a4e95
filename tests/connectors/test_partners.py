"""What each partner's dataset means beyond its counts: withheld, summed, far, noted once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from connectors import csvblocks
from connectors.contract import Malformed
from connectors.partners.orange.density_samples import cell
from connectors.partners.orange.visitors_samples import ROW, delivery, family
from connectors.partners.region.commutes_samples import HEADER, parquet
from connectors.partners.region.gtfs_samples import FEED, packed
from connectors.registry import DATASETS
from tests.connectors.reading import READING, read, real
from tests.connectors.test_csv import file, tap

TAPS = DATASETS["transdev/validations"]
FLOWS = DATASETS["orange/flows"]
PRESENCE = DATASETS["orange/presence"]
COMMUTES = DATASETS["region/commutes"]
LATER = replace(READING, expected_from=date(2026, 9, 1))


# --- Orange ---------------------------------------------------------------------------------


def test_a_zone_not_given_is_empty_and_never_minus_one() -> None:
    rows = b"Zone;Date;Type;Duree;ZoneActivite;ZoneNuitee;Volume\nA;2026-03-02;F;Sup3h;-1;7;60\n"
    (row,) = read(FLOWS, rows).table("flows").to_pylist()
    assert (row["day_zone"], row["night_zone"], row["time"]) == (None, "7", None)


def test_the_dictionary_of_zones_is_latin_1() -> None:
    content = "ID_Commune_groupement;Label\n930480000;Île-Tudy\n".encode("latin-1")
    (row,) = read(FLOWS, content).table("zones").to_pylist()
    assert row == {"id": "930480000", "label": "Île-Tudy"}


@pytest.mark.parametrize("kind", ["LOW_DENSITY", "NO_DATA"])
@pytest.mark.parametrize("figures", [{}, {"pplDensity": 0}, {"pplDensity": 7, "minPplDensity": 1}])
def test_what_is_withheld_has_no_number_whatever_was_sent(
    kind: str, figures: dict[str, Any]
) -> None:
    period = {
        "startTime": "2026-03-02T06:00:00Z",
        "endTime": "2026-03-02T06:30:00Z",
        "cellPopulationDensityData": [cell(kind=kind, **figures)],
    }
    content = json.dumps({"timedPopulationDensityData": [period]}).encode()
    (row,) = read(DATASETS["orange/density"], content).table("density").to_pylist()
    assert row["state"] == ("withheld" if kind == "LOW_DENSITY" else "no_data")
    assert row["density"] is row["low"] is row["high"] is None


def test_two_encodings_in_one_file_are_refused_with_their_line() -> None:
    content = "Zone;Date;Heures;Type;Volume\nOrléans;2026-03-02;07:00;F;40\n".encode()
    with pytest.raises(Malformed) as refused:
        read(DATASETS["orange/presence"], content + b"Nev\xe9rs;2026-03-02;07:00;F;40\n")
    assert (refused.value.code, refused.value.where) == ("wrong_encoding", "line 2")


def test_families_of_visitors_are_told_apart_by_their_file() -> None:
    stays = family(more=";DureeSejour;ZoneNuiteeSoir;CodeInseeNuiteeSoir", cells=";2 nuits;B;41018")
    content = delivery(
        Nuitee_Pays_2026=family(more=";Pays", cells=";Belgique"),
        lieunuitee_soir=stays.replace("TOURISTE", "Habituellement présent"),
    )
    rows = read(PRESENCE, content).table("visitors").to_pylist()
    told = [(r["family"], r["country"], r["category"], r["other_commune"]) for r in rows]
    assert told == [
        ("Nuitee_Pays", "Belgique", "TOURISTE", None),
        ("LieuNuitee_Soir", None, "HABITUELLEMENT PRESENT", "41018"),
    ]
    assert {(r["volume"], r["holidays_b"], r["bank_holiday"], r["provenance"]) for r in rows} == {
        (1200, True, False, "NONLOCAL")
    }


def test_a_bad_row_of_a_family_is_named_with_it() -> None:
    content = delivery(Diurne=family(), Nuitee=family(ROW.replace(";1200", ";7")))
    got = read(PRESENCE, content)
    assert [(row.position, row.code, row.column) for row in got.rejected] == [
        (3, "below_source_floor", "Nuitee Volume")
    ]
    with pytest.raises(Malformed) as refused:
        read(PRESENCE, delivery(Diurne=family().replace("Zone;", "Z;")))
    assert (refused.value.code, refused.value.where) == ("missing_column", "Diurne Zone")


# --- Région ---------------------------------------------------------------------------------

PEOPLE = (
    "45234;ZZZZZ;45234;ZZZZZ;15;1;4.75;2",
    "45234;ZZZZZ;45234;ZZZZZ;15;1;5.25;1",
    "75056;75112;75105;ZZZZZ;18;2;3.0;1",
    "37261;ZZZZZ;ZZZZZ;BE006;18;7;1.0;2",
)
CELLS = [
    ("37261", None, "18", 1.0, 1),
    ("45234", "45234", "15", 10.0, 2),
    ("75112", "75105", "18", 3.0, 1),
]


def cells(content: bytes) -> list[tuple[object, ...]]:
    rows = read(COMMUTES, content).table("commutes").to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=str)


def zipped(content: bytes) -> bytes:
    return packed({"FD_MOBSCO_2020.csv": content, "Varmod_MOBSCO_2020.csv": b"COD_VAR\nx\n"})


@pytest.mark.parametrize("wrap", [bytes, parquet, zipped], ids=["csv", "parquet", "zip"])
def test_weights_are_summed_and_records_counted(
    wrap: type[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wrap("\n".join([HEADER, *PEOPLE, ""]).encode())
    assert cells(content) == CELLS
    monkeypatch.setattr(csvblocks, "BLOCK", 120)  # each person in a block of its own
    assert cells(content) == CELLS


def test_no_person_of_the_census_comes_out() -> None:
    names = {name for schema in COMMUTES.tables.values() for name in schema.names}
    assert names == {"residence", "study", "age", "pupils", "records"}


def test_the_real_place_that_lies_far_from_its_commune() -> None:
    content = real("region/bnlc-cvl.csv").read_bytes()
    places = DATASETS["region/carpool-places"]
    # Chef-lieu positions of the communes concerned, rounded.
    known = {"37176": (0.55, 47.11), "45234": (1.91, 47.90), "37132": (1.00, 47.13)}
    got = read(places, content, replace(READING, communes=known))
    assert [(row.position, row.code, row.column) for row in got.warned] == [
        (18, "far_from_commune", "Xlong")
    ]
    assert got.rows == {"carpool_places": 29}
    assert not read(places, content).warned, "without positions it cannot be told, and is not"


HERE = replace(READING, departments=frozenset({"18", "28", "36", "37", "41", "45"}))


def test_a_bus_after_midnight_is_of_the_day_before_and_a_blank_time_is_none() -> None:
    times = read(DATASETS["region/gtfs"], packed(FEED)).table("stop_times").to_pylist()
    assert [(t["trip_id"], t["sequence"], t["arrival_s"], t["departure_s"]) for t in times] == [
        ("T1", 1, 27_000, 27_060),
        ("T1", 2, 28_200, 28_200),
        ("T2", 1, 87_000, 87_000),
        ("T2", 2, None, None),
    ]


def test_a_calendar_is_expanded_with_its_exceptions_or_they_stand_alone() -> None:
    def days(feed: dict[str, str]) -> list[str]:
        table = read(DATASETS["region/gtfs"], packed(feed)).table("services")
        assert set(table.column("service_id").to_pylist()) == {"W"}
        return sorted(f"{day:%d}" for day in table.column("date").to_pylist())

    assert days(dict(FEED)) == ["02", "03", "04", "05", "06", "10", "12", "13"]
    assert days({n: t for n, t in FEED.items() if n != "calendar.txt"}) == ["04"]


def test_of_a_national_base_the_territory_is_read() -> None:
    """What has no readable code is refused all the same, and not left aside in silence."""
    places = DATASETS["region/carpool-places"].examples[0].content().splitlines()
    blois = places[-1].decode()
    others = [
        blois.replace("41018", code).replace("C-001", f"C-{n}")
        for n, code in enumerate(["01024", "97411", "2A004", "4101", ""])
    ]
    content = "\n".join([blois, *others, ""]).encode()
    got = read(DATASETS["region/carpool-places"], places[0] + b"\n" + content, HERE)
    assert (got.received, got.skipped, got.rows) == (3, 3, {"carpool_places": 1})
    assert [(row.position, row.code) for row in got.rejected] == [
        (6, "wrong_code"), (7, "missing_value"),
    ]  # fmt: skip
    everywhere = read(DATASETS["region/carpool-places"], places[0] + b"\n" + content)
    assert (everywhere.received, everywhere.skipped) == (6, 0)


def test_a_real_directory_of_elsewhere_has_no_lycee_of_the_territory() -> None:
    content = real("region/annuaire-2023-dep035.csv").read_bytes()
    got = read(DATASETS["region/lycees"], content, HERE)
    assert (got.received, got.skipped, got.rows) == (0, 996, {"lycees": 0})
    content = real("region/annuaire-lycees-cvl.csv").read_bytes()
    got = read(DATASETS["region/lycees"], content, HERE)
    assert (got.received, got.skipped) == (119, 0)


# --- Transdev -------------------------------------------------------------------------------


@pytest.mark.parametrize("quoted", [False, True], ids=["plain", "quoted"])
def test_taps_before_the_school_year_are_noted_once(
    quoted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvblocks, "BLOCK", 1_000)
    lines = [tap(n, service_date="2026-09-01") for n in range(20)]
    lines += [tap(n, stop_id='"a\nb"' if quoted else "a") for n in range(20, 60)]
    got = read(TAPS, file(*lines), LATER)
    assert [(row.position, row.code, row.column) for row in got.warned] == [
        (22, "date_before_school_year", "service_date")
    ]
    assert got.valid == 60
    assert not read(TAPS, file(*lines)).warned


def test_a_note_is_made_in_the_careful_reading_too() -> None:
    lines = [tap(1, service_date="2026-09-02"), tap(2), tap(3, fare_action="Jump"), tap(4)]
    got = read(TAPS, file(*lines), LATER)
    assert [(row.position, row.code) for row in got.warned] == [(3, "date_before_school_year")]


@pytest.mark.parametrize(
    "key",
    ["coachco2/trips", "coachco2/measures", "covoiturage/journeys", "orange/flows",
     "orange/presence", "region/enrolments", "transdev/validations"],
)  # fmt: skip
def test_what_is_older_than_the_school_year_is_told_of_everything_that_is_dated(key: str) -> None:
    content = DATASETS[key].examples[0].content()
    later = replace(READING, expected_from=date(2026, 11, 1))
    assert "date_before_school_year" in read(DATASETS[key], content, later).warnings
    assert "date_before_school_year" not in read(DATASETS[key], content).warnings


def test_formulas_are_kept_as_they_are_and_told_with_their_line() -> None:
    cells = {1: "=HYPERLINK()", 2: "@x", 3: "-2+3|cmd", 4: "+33", 5: "-4", 6: "a=b"}
    got = read(TAPS, file(*[tap(n, rider_category=text) for n, text in cells.items()]))
    assert [(row.position, row.code, row.column) for row in got.warned] == [
        (n + 1, "formula_cell", "rider_category") for n in (1, 2, 3)
    ]
    kept = got.table("validations").column("rider_category").to_pylist()
    assert kept == list(cells.values())

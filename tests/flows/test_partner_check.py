"""`hub partner check`: exit codes, column maps of the territory file, and no content printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.registry import DATASETS
from hub.cli.app import app
from hub.errors import HubError
from hub.settings import DEFAULT_TERRITORY, load_territory
from tests.connectors.reading import NOW

MAP = """
[column_maps."transdev/validations"]
encoding = "latin-1"
date_format = "%d/%m/%Y"
columns.transaction_id = "Id"
columns.token_id = "Support"
columns.service_date = "Date"
columns.event_timestamp = ["Date", "Heure"]
constants = { amount = "0", fare_capped = "false", fare_action = "Enter" }
"""
ARGUMENTS = ("--partner", "transdev", "--dataset", "validations", "--json")


def run(path: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["partner", "check", str(path), *(arguments or ARGUMENTS)])
    return done.exit_code, done.output


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "taps.csv"
    path.write_bytes(DATASETS["transdev/validations"].examples[0].content())
    return path


def test_a_good_file_is_said_to_be_good(good: Path) -> None:
    code, output = run(good)
    told = json.loads(output)
    assert (code, told["ok"], told["received"], told["valid"]) == (0, True, 10, 10)


def test_a_bad_row_exits_3_and_prints_no_content(good: Path) -> None:
    bad = good.read_text().replace("2026-03-02T07:05:00", "canari-77")
    good.write_text(bad)
    for arguments in (ARGUMENTS, ARGUMENTS[:-1]):
        code, output = run(good, *arguments)
        assert code == 3
        assert "AAAAAA-99" in output
        assert "wrong_time" in output
        assert "canari" not in output
        assert "CARD" not in output


def test_the_territorys_map_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    territory = tmp_path / "territory.toml"
    territory.write_text(DEFAULT_TERRITORY.read_text("utf-8") + MAP, "utf-8")
    monkeypatch.setenv("HUB_TERRITORY", str(territory))
    path = tmp_path / "own.csv"
    path.write_bytes("Id;Support;Date;Heure\n1;É1;02/03/2026;07:05:00\n".encode("latin-1"))
    code, output = run(path)
    told = json.loads(output)
    assert (code, told["valid"]) == (0, 1)
    assert "event_timestamp" in {
        c["name"] for c in told["columns"] if c["source"] == "Date + Heure"
    }
    assert load_territory(territory).reading("transdev/validations", NOW).column_map is not None


def test_a_map_that_does_not_fit_says_what_to_add_and_what_to_correct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    territory = tmp_path / "territory.toml"
    lacking = MAP.replace('columns.token_id = "Support"\n', "")
    territory.write_text(DEFAULT_TERRITORY.read_text("utf-8") + lacking, "utf-8")
    monkeypatch.setenv("HUB_TERRITORY", str(territory))
    path = tmp_path / "own.csv"
    path.write_bytes(b"Id;Support;Date;H\n1;2;02/03/2026;07:05:00\n")
    code, output = run(path, *ARGUMENTS[:-1])
    assert code == 3
    assert "to add to the column map: token_id" in output
    assert "headers not in the file: Heure" in output


def test_without_a_map_the_published_columns_are_asked_for(good: Path) -> None:
    good.write_bytes(b"Id;Support\n1;2\n")
    code, output = run(good)
    told = json.loads(output)
    assert (code, told["refused"]) == (3, "missing_column")
    assert {c["name"] for c in told["columns"] if c["needed"]} >= {"token_id", "service_date"}


@pytest.mark.parametrize(
    ("name", "dataset", "code"),
    [("taps.csv", "lycees", "unknown-dataset"), ("absent.csv", "validations", "file-unreadable")],
)
def test_what_cannot_be_checked_is_an_error_of_the_hub(
    good: Path, name: str, dataset: str, code: str
) -> None:
    path = str(good.parent / name)
    arguments = ["partner", "check", path, "--partner", "transdev", "--dataset", dataset]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, HubError)
    assert error.code == code


def test_the_default_territory_has_a_first_school_day() -> None:
    territory = load_territory(DEFAULT_TERRITORY)
    reading = territory.reading("transdev/validations", NOW, reference="a")
    assert str(reading.expected_from) == "2025-09-01"
    assert reading.reference == "a"
    assert reading.column_map is None

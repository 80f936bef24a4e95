"""Places in a person's rows go by their name where the region's tables have one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hub import placenames
from hub.errors import Unavailable
from hub.parts import Parts
from hub.reading import LYCEES
from hub.rights import Rows
from tests.flows import world


def rows(**columns: list[str | None]) -> Rows:
    return Rows("a/b/c", "2025-2026", "school-mobility", pa.table(columns))


def few(*values: str) -> pa.Table:
    return pa.table({"stop_id": pa.array(values).dictionary_encode()})


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = world.hub_in(tmp_path / "var")
    world.reference_data(made)
    world.pushed(made, "region/gtfs", made.datasets["region/gtfs"].examples[0].content())
    return made


def test_lycees_communes_and_stops_have_names(parts: Parts) -> None:
    trips = rows(uai=[world.UAI, "0000000A", None], origin_commune=["45147", "45147", None])
    taps = Rows("a/b/d", "2026-01", "school-mobility", few("S1", "nowhere", "S1"))
    assert placenames.names(parts, [trips, taps, taps]) == {
        "uai": {world.UAI: "Lycée d'essai"},
        "origin_commune": {"45147": "Fleury-les-Aubrais"},
        "stop_id": {"S1": "Gare"},
    }


def test_without_rows_or_tables_nothing_is_named(parts: Parts, tmp_path: Path) -> None:
    assert placenames.names(parts, []) == {}
    assert placenames.names(parts, [rows(uai=["0000000A"], mode=["car"])]) == {}
    bare = world.hub_in(tmp_path / "bare")
    assert placenames.names(bare, [rows(uai=[world.UAI])]) == {}


def test_a_table_purged_meanwhile_is_asked_again(parts: Parts) -> None:
    opened = parts.tables.snapshot([LYCEES]).files[LYCEES]
    for file in opened:
        Path(file).unlink()
    with pytest.raises(Unavailable) as told:
        placenames.names(parts, [rows(uai=[world.UAI])])
    assert told.value.code == "rows-moved"

"""A file tried without pushing it: its columns, its counts, its reasons, and no content."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from connectors.check import Checked, check
from connectors.contract import Dataset, Reading
from connectors.registry import DATASETS
from tests.connectors.reading import READING, read
from tests.connectors.test_columnmaps import HEADER, OWN, TAP
from tests.connectors.test_csv import file, tap

TAPS = DATASETS["transdev/validations"]


def checked(content: bytes, reading: Reading = READING, dataset: Dataset = TAPS) -> Checked:
    return check(dataset, lambda: io.BytesIO(content), reading)


def missing(found: Checked) -> list[str]:
    return [column.name for column in found.columns if column.needed and not column.present]


def test_every_missing_column_is_named_not_only_the_first() -> None:
    found = checked(b"token_id;amount;mystery\nC1;0;x\n".replace(b";", b","))
    assert missing(found) == [
        "transaction_id", "service_date", "event_timestamp", "fare_action", "fare_capped",
    ]  # fmt: skip
    assert found.refused == ("missing_column", "transaction_id")
    assert found.unread == 1
    assert "mystery" not in str(found.as_json())


def test_an_operators_file_is_checked_against_its_map() -> None:
    found = checked(f"{HEADER}\n{TAP}\n".encode("cp1252"), OWN)
    assert found.ok
    assert not missing(found)
    sources = {column.name: column.source for column in found.columns}
    assert sources["event_timestamp"] == "Date + Heure"
    assert sources["fare_capped"] == "(constante)"
    half = checked(f"{HEADER.replace('Heure', 'H')}\n{TAP}\n".encode("cp1252"), OWN)
    assert missing(half) == ["event_timestamp"]


def test_what_a_map_lacks_and_what_it_names_wrongly_are_told_apart() -> None:
    assert OWN.column_map is not None
    columns = {n: h for n, h in OWN.column_map.columns.items() if n != "token_id"}
    short = replace(OWN, column_map=replace(OWN.column_map, columns=columns))
    found = checked(f"{HEADER.replace('Heure', 'H')}\n{TAP}\n".encode("cp1252"), short)
    assert (found.to_map, found.to_correct) == (("token_id",), ("Heure",))
    assert found.as_json()["to_map"] == ["token_id"]
    assert found.as_json()["to_correct"] == ["Heure"]
    good = checked(f"{HEADER}\n{TAP}\n".encode("cp1252"), OWN)
    assert (good.to_map, good.to_correct) == ((), ())
    unmapped = checked(b"token_id,amount\nC1,0\n")
    assert unmapped.to_map == (), "without a map there is none to add to"
    wrong = replace(OWN, column_map=replace(OWN.column_map, constants={"card": "1"}))
    assert checked(f"{HEADER}\n".encode("cp1252"), wrong).refused == ("wrong_column_map", "card")


def test_counts_are_those_of_a_push() -> None:
    content = file(tap(1), tap(2, fare_action="Jump"), tap(3, rider_category="=1"))
    found = checked(content)
    assert (found.received, found.valid, found.ok) == (3, 2, False)
    assert [(f.code, f.lines, f.kept) for f in found.findings] == [
        ("unknown_value", "3", False),
        ("formula_cell", "4", True),
    ]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.key)
def test_every_example_is_checked_as_it_is_read(dataset: Dataset) -> None:
    for example in dataset.examples:
        found = checked(example.content(), dataset=dataset)
        if example.malformed:
            assert found.refused is not None
            assert found.refused[0] == example.malformed, example.name
            assert not found.ok
        else:
            outcome = read(dataset, example.content())
            assert found.refused is None
            assert (found.received, found.valid) == (outcome.received, outcome.valid), example.name
            assert found.ok is (not example.rejected)


def test_columns_are_found_by_every_published_name() -> None:
    found = checked(b"\xef\xbb\xbftoken_id\nC1\n", dataset=DATASETS["transdev/objections"])
    assert [(c.name, c.present) for c in found.columns] == [("reference", True)]


def test_rows_before_the_place_where_a_file_breaks_are_told() -> None:
    rows = [f"T{n},2026-03-02,x,0,Enter,true,C".encode() for n in range(3)]
    head = b"transaction_id,service_date,event_timestamp,amount,fare_action,fare_capped,token_id"
    found = checked(b"\n".join([head, *rows, b"\xff" * 3, b""]))
    assert found.refused == ("wrong_encoding", "line 5")
    assert not found.findings, "one block: nothing was read before"

"""Schemas and pages come of the connector alone, and say what it does."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import connectors.partners
from connectors import registry
from connectors.contract import REASONS, Dataset, Example
from connectors.csvblocks import normal
from connectors.pages import page, pages
from connectors.registry import DATASETS
from connectors.tableschema import table_schema, table_schemas
from tests.connectors import test_conformance, test_hostile

ALL = list(DATASETS.values())
TABLES = [dataset for dataset in ALL if dataset.published]
# The Table Schema standard, version 2.0: types, and which constraints each may carry.
TYPES = {"string", "number", "integer", "boolean", "date", "datetime", "array"}
CONSTRAINTS = {
    "required": TYPES,
    "unique": TYPES,
    "pattern": {"string"},
    "minimum": {"number", "integer", "date", "datetime"},
}
NATIVE: dict[str, Any] = {"required": bool, "unique": bool, "pattern": str, "minimum": (int, float)}


def named(dataset: Dataset) -> str:
    return dataset.key


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_a_schema_keeps_to_the_standard(dataset: Dataset) -> None:
    for schema in (table_schema(dataset), *table_schemas(dataset).values()):
        assert json.loads(json.dumps(schema)) == schema
        assert schema["$schema"].endswith("/2.0/tableschema.json")
        assert re.fullmatch(r"[a-z0-9_-]+", schema["name"])
        names = [field["name"] for field in schema["fields"]]
        assert names
        assert len(set(names)) == len(names)
        assert len(set(schema["missingValues"])) == len(schema["missingValues"])
        for field in schema["fields"]:
            check_field(field)


def check_field(field: dict[str, Any]) -> None:
    assert field["type"] in TYPES
    assert ("format" in field) == (field["type"] == "datetime")
    assert ("trueValues" in field) == (field["type"] == "boolean")
    assert "" not in (field.get("title", "x"), field.get("description", "x"))
    for name, value in field.get("constraints", {}).items():
        assert field["type"] in CONSTRAINTS[name], (field["name"], name)
        assert isinstance(value, NATIVE[name])
        if name == "pattern":
            re.compile(value)


def accepted(schema: dict[str, Any], example: Example, delimiter: str) -> list[bool]:
    """Each row of an example tried by the schema alone, as another tool would."""
    text = example.content().decode("utf-8-sig").replace("\r\n", "\n")
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True))
    header = [normal(name) for name in rows[0]]
    return [
        all(
            holds(field, row[header.index(normal(field["name"]))], schema["missingValues"])
            for field in schema["fields"]
            if normal(field["name"]) in header
        )
        for row in rows[1:]
        if len(row) == len(header)
    ]


FORMS = {
    "date": r"\d{4}-\d\d-\d\d",
    "datetime": r"\d{4}-\d\d-\d\d[T ].*",
    "number": r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?",
    "integer": r"-?\d+",
    "boolean": "true|True|TRUE|1|false|False|FALSE|0",
    "string": ".*",
}


def holds(field: dict[str, Any], cell: str, blanks: list[str]) -> bool:
    constraints = field.get("constraints", {})
    if (text := cell.strip()) in blanks:
        return not constraints.get("required", False)
    if not re.fullmatch(FORMS[field["type"]], text, re.DOTALL):
        return False
    if not re.fullmatch(constraints.get("pattern", ".*"), text, re.DOTALL):
        return False
    return "minimum" not in constraints or float(text) >= constraints["minimum"]


@pytest.mark.parametrize("dataset", TABLES, ids=named)
def test_a_file_the_connector_takes_whole_holds_to_the_schema(dataset: Dataset) -> None:
    example = dataset.examples[0]
    assert not example.rejected
    told = accepted(table_schema(dataset), example, dataset.delimiter)
    assert told
    assert all(told)


def packed(example: Example) -> bool:
    """Whether an example is no text: the schema is of the text inside."""
    return example.content().startswith((b"PAR1", b"PK"))


@pytest.mark.parametrize(
    "key", [d.key for d in TABLES if d.key != "orange/flows"]
)  # its examples are of two layouts
def test_what_breaks_a_form_for_us_breaks_the_schema(key: str) -> None:
    dataset = DATASETS[key]
    formal = {"unknown_value", "missing_identifier", "not_a_boolean", "below_source_floor"}
    tried = 0
    for example in dataset.examples:
        if set(example.rejected) & formal and not packed(example):
            told = accepted(table_schema(dataset), example, dataset.delimiter)
            assert not all(told), example.name
            tried += 1
    assert tried or key in ("region/lycees", "region/enrolments")


def test_withheld_volumes_are_in_the_schema_as_a_minimum() -> None:
    (volume,) = [
        f for f in table_schema(DATASETS["orange/presence"])["fields"] if f["name"] == "Volume"
    ]
    assert volume["constraints"] == {"required": True, "minimum": 20}


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_a_page_names_columns_units_reasons_and_examples(dataset: Dataset) -> None:
    text = page(dataset)
    assert dataset.title["fr"] in text
    assert dataset.title["en"] in text
    for column in dataset.published:
        assert f"`{column.name}`" in text
    for schema in dataset.tables.values():
        for column in schema:
            assert f"`{column.name}`" in text
            if unit := (column.metadata or {}).get(b"unit"):
                assert f"({unit.decode()})" in text
    for example in dataset.examples:
        assert example.name in text
        for code in (*example.rejected, *example.warned, *filter(None, [example.malformed])):
            assert REASONS[code].words["fr"] in text
            assert REASONS[code].words["en"] in text


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_the_tables_of_a_page_have_as_many_cells_in_every_row(dataset: Dataset) -> None:
    widths = set()
    for line in (*page(dataset).splitlines(), ""):
        if line.startswith("| "):
            widths.add(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(widths) <= 1, line
            widths.clear()


def test_every_dataset_has_a_page() -> None:
    assert len(pages()) == len(DATASETS)
    assert "transdev-validations.md" in pages()


def test_a_new_partner_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put beside the others, and nothing else done: it is read, described and shown."""
    folder = Path(connectors.partners.__file__).parent
    text = (folder / "covoiturage.py").read_text("utf-8")
    new = text.replace('partner="covoiturage"', 'partner="voisins"')
    (tmp_path / "voisins.py").write_text(new, "utf-8")
    monkeypatch.setattr(connectors.partners, "__path__", [str(folder), str(tmp_path)])
    datasets = registry.found()
    assert set(datasets) == {*DATASETS, "voisins/journeys"}
    one = datasets["voisins/journeys"]
    for example in one.examples:
        test_conformance.test_an_example_comes_out_as_declared(one, example)
    assert table_schema(one)["fields"]
    assert "voisins/journeys" in page(one)
    (tmp_path / "broken.py").write_text("DATASETS = nonsense", "utf-8")
    with pytest.raises(NameError):
        registry.found()


def test_nothing_names_the_fifth_partner() -> None:
    """Not even the registry: its conformance, schema and page came by themselves."""
    root = Path(connectors.partners.__file__).parents[1]
    knowing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "covoiturage" in imported(path)
    }
    assert not knowing
    own = root / "partners" / "covoiturage.py"
    assert not [
        name for name in imported(own) if name in {"coachco2", "orange", "region", "transdev"}
    ]
    hub = root.parent / "hub"
    assert not [path for path in hub.rglob("*.py") if "covoiturage" in imported(path)]
    (fifth,) = [dataset for key, dataset in DATASETS.items() if key.startswith("covoiturage/")]
    assert (fifth, fifth.examples[0]) in test_conformance.EXAMPLES
    assert fifth in test_hostile.ALL
    assert table_schema(fifth)["fields"][0]["name"] == "journey_id"
    assert fifth.title["fr"] in pages()["covoiturage-journeys.md"]


def imported(path: Path) -> set[str]:
    """The last parts of all names a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return names

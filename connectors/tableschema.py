"""A dataset's schema as Frictionless Table Schema, for a partner's own tools.

What it states is what the connector checks; where a rule has no word in that standard (a date in
the future, a position far from its commune) the partner page has it. Datasets that are no table
as the partner writes them are described as the tables they become.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from connectors.contract import Dataset, Published

PROFILE: Final = "https://datapackage.org/profiles/2.0/tableschema.json"
TRUE: Final = ("true", "True", "TRUE", "1")
FALSE: Final = ("false", "False", "FALSE", "0")
_TYPES: Final = (
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_floating, "number"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_list, "array"),
)


def table_schema(dataset: Dataset) -> dict[str, Any]:
    """The schema of the file a partner sends, or of the dataset's first table if it is no CSV."""
    if dataset.published:
        fields = [_published(column) for column in dataset.published]
        blanks = list(dataset.blanks)
    else:
        fields = [_column(column) for column in next(iter(dataset.tables.values()))]
        blanks = [""]
    return {
        "$schema": PROFILE,
        "name": dataset.key.replace("/", "-"),
        "title": dataset.title["fr"],
        "description": f"{dataset.title['en']} ({dataset.source})",
        "fields": fields,
        "missingValues": blanks,
    }


def table_schemas(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The schema of each table the dataset becomes, by its name."""
    return {
        name: {
            "$schema": PROFILE,
            "name": f"{dataset.key}/{name}".replace("/", "-"),
            "fields": [_column(column) for column in schema],
            "missingValues": [""],
        }
        for name, schema in dataset.tables.items()
    }


def _published(column: Published) -> dict[str, Any]:
    constraints: dict[str, Any] = (
        {"required": True} if column.required and column.everywhere else {}
    )
    if column.unique:
        constraints["unique"] = True
    if column.pattern:
        constraints["pattern"] = column.pattern
    if column.least is not None:
        whole = column.kind == "integer"
        constraints["minimum"] = int(column.least) if whole else column.least
    return _field(column.name, column.kind, column.words, column.unit, constraints)


def _column(column: pa.Field) -> dict[str, Any]:
    told = {key.decode(): text.decode() for key, text in (column.metadata or {}).items()}
    kind = next((name for is_type, name in _TYPES if is_type(column.type)), "string")
    constraints = {} if column.nullable else {"required": True}
    return _field(column.name, kind, told, told.get("unit", ""), constraints)


def _field(
    name: str, kind: str, words: Any, unit: str, constraints: dict[str, Any]
) -> dict[str, Any]:
    field: dict[str, Any] = {"name": name, "type": kind}
    if kind == "datetime":
        field["format"] = "any"  # with an offset or, as wall time in France, without
    if kind == "boolean":
        field |= {"trueValues": list(TRUE), "falseValues": list(FALSE)}
    if words:
        field |= {"title": words["fr"], "description": words["en"]}
    if unit:
        field["unit"] = unit
    return field | ({"constraints": constraints} if constraints else {})

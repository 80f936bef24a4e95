"""What places are called that a person's rows name by code: their lycée, commune and stops.

Names stand in open tables, as the region last pushed them. Only the codes of these rows are looked
up; one that no table knows has no name, and is shown as it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb

from hub.parts import Parts
from hub.reading import ENROLMENTS, LYCEES
from hub.rights import Rows, rows_moved

Names = Mapping[str, Mapping[str, str]]
"""By column, the name of each code."""

NAMED: Final[Mapping[str, tuple[str, str]]] = {
    "uai": (
        LYCEES,
        "SELECT uai, min(name) FROM read_parquet($files)"
        " WHERE list_contains($codes, uai) AND name <> '' GROUP BY uai",
    ),
    "origin_commune": (
        ENROLMENTS,
        "SELECT commune, min(commune_name) FROM read_parquet($files)"
        " WHERE list_contains($codes, commune) AND commune_name <> '' GROUP BY commune",
    ),
    "stop_id": (
        "region/gtfs/stops",
        "SELECT stop_id, min(name) FROM read_parquet($files)"
        " WHERE list_contains($codes, stop_id) AND name <> '' GROUP BY stop_id",
    ),
}
"""Columns of codes: the table that has their names, and how they are found in it."""


def names(parts: Parts, rows: Sequence[Rows]) -> Names:
    """The names of the places in these rows. Raises `Unavailable`: ask again."""
    opened = parts.tables.snapshot({table for table, _ in NAMED.values()})
    found: dict[str, dict[str, str]] = {}
    for column, (table, query) in NAMED.items():
        files, codes = list(opened.files[table]), _codes(rows, column)
        if files and codes:
            found[column] = _looked_up(files, query, codes)
    return {column: known for column, known in found.items() if known}


def _codes(rows: Sequence[Rows], column: str) -> list[str]:
    told = [one.rows.column(column) for one in rows if column in one.rows.column_names]
    return sorted({code for some in told for code in some.unique().to_pylist() if code})


def _looked_up(files: list[str], query: str, codes: list[str]) -> dict[str, str]:
    with duckdb.connect() as connection:
        try:
            asked = {"files": files, "codes": codes}
            return dict(connection.execute(query, asked).fetchall())
        except duckdb.IOException as error:
            raise rows_moved() from error

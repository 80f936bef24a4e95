"""What places are called that a person's rows name by code: their lycée, commune and stops.

Names stand in open tables, as the region last pushed them. Only the codes of these rows are looked
up; one that no table knows has no name, and is shown as it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
from duckdb import ColumnExpression, ConstantExpression

from hub.parts import Parts
from hub.reading import ENROLMENTS, LYCEES
from hub.rights import PlaceNames, Rows, rows_moved

NAMED: Final[Mapping[str, tuple[str, str, str]]] = {
    "uai": (LYCEES, "uai", "name"),
    "origin_commune": (ENROLMENTS, "commune", "commune_name"),
    "stop_id": ("region/gtfs/stops", "stop_id", "name"),
}
"""Columns of codes: the table that has their names, its column of codes and its column of names."""


def names(parts: Parts, rows: Sequence[Rows]) -> PlaceNames:
    """The names of the places in these rows. Raises `Unavailable`: ask again."""
    asked = {column: codes for column in NAMED if (codes := _codes(rows, column))}
    opened = parts.tables.snapshot({NAMED[column][0] for column in asked})
    found = PlaceNames()
    for column, codes in asked.items():
        table, code, name = NAMED[column]
        if (files := opened.files[table]) and (known := _looked_up(files, code, name, codes)):
            found[column] = known
    return found


def _codes(rows: Sequence[Rows], column: str) -> set[str]:
    told = [one.rows.column(column) for one in rows if column in one.rows.column_names]
    return {code for some in told for code in some.unique().to_pylist() if code}


def _looked_up(files: Sequence[str], code: str, name: str, codes: set[str]) -> dict[str, str]:
    """The first name, in their order, of each of these codes that has one."""
    sought = ColumnExpression(code).isin(*map(ConstantExpression, codes))
    named = ColumnExpression(name) != ConstantExpression("")
    with duckdb.connect() as connection:
        try:
            found = connection.read_parquet(list(files)).filter(sought & named).select(code, name)
            return dict(sorted(found.fetchall(), reverse=True))
        except duckdb.IOException as error:
            raise rows_moved() from error

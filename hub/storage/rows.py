"""Rows as tables keep them: plain Arrow types, and the columns a personal table stands on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hub.errors import Conflict

PERIOD: Final = "period"
BUCKET: Final = "bucket"
PSEUDONYM: Final = "pseudonym"
DAY: Final = "date"
"""Every personal row has its day."""
PARTITIONS: Final = pa.schema([(PERIOD, pa.string()), (BUCKET, pa.int16())])
"""A personal table is cut by these, so that one person's rows of a period are in few files."""

Days = tuple[date, date]
"""The first and the last of some days."""
Marks = NDArray[np.bool_]
"""Which of some rows."""

_RUN: Final = 64
"""Rows of a run from which on a view of it costs less than a copy."""
_PERIOD: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,31}")


def plain(rows: pa.Table, *, personal: bool) -> pa.Table:
    """Cast to the types Delta has: no fixed-size or large type, times in µs.

    Texts may be a dictionary, which is how Parquet keeps them: `spelled_out` has them one by one.

    Raises `TypeError` where a personal table would get rows without period, bucket and
    pseudonym, or an open table a pseudonym: a defect of the stages, not of the input.
    """
    schema = pa.schema([(field.name, _plain_type(field.type)) for field in rows.schema])
    rows = rows.replace_schema_metadata(None).cast(schema)
    if personal:
        _check_personal(rows)
    elif PSEUDONYM in rows.column_names:
        raise TypeError("rows with a pseudonym belong in a personal table")
    return rows


def spelled_out(schema: pa.Schema) -> pa.Schema:
    """The columns as Delta and whoever reads see them: none is a dictionary."""
    return pa.schema([(field.name, _value_type(field.type)) for field in schema])


def _value_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def leaving(rows: pa.Table, names: pa.Array, days: Days | None = None) -> pa.ChunkedArray:
    """Which rows are of these pseudonyms, and of these days if any are named."""
    theirs = pc.is_in(rows.column(PSEUDONYM), names)
    if days is None:
        return theirs
    day, (first, last) = rows.column(DAY), days
    return pc.and_(theirs, pc.and_(pc.greater_equal(day, first), pc.less_equal(day, last)))


def staying(rows: pa.Table, names: pa.Array, days: Days | None = None) -> pa.Table:
    """The other rows."""
    return only(rows, ~marked(leaving(rows, names, days)))


def only(rows: pa.Table, wanted: Marks) -> pa.Table:
    """The rows that are wanted. Where they are few runs, as in leaves, none is copied."""
    bounds = np.flatnonzero(np.diff(wanted, prepend=False, append=False)).tolist()
    runs = list(zip(bounds[::2], bounds[1::2], strict=True))
    if len(runs) * _RUN > rows.num_rows:
        return rows.filter(pa.array(wanted))
    empty = rows.slice(0, 0)
    return pa.concat_tables([empty, *(rows.slice(start, end - start) for start, end in runs)])


def marked(which: pa.ChunkedArray) -> Marks:
    """The same as numbers; what is not known is not marked."""
    return np.asarray(which.to_numpy(), bool)


def looked_at(days: Days | None) -> Sequence[str]:
    """The columns `leaving` needs."""
    return [PSEUDONYM] if days is None else [PSEUDONYM, DAY]


def check_columns(table: pa.Schema, rows: pa.Schema, *, same_kind: bool) -> None:
    """Raise `Conflict` where rows have other columns than their table, in whatever order.

    `same_kind`: both are personal, or neither is.
    """
    if same_kind and {f.name: f.type for f in table} == {f.name: f.type for f in rows}:
        return
    raise Conflict(
        "table-schema",
        fr="Ces lignes n'ont pas les colonnes de leur table : une migration manque.",
        en="These rows do not have their table's columns: a migration is missing.",
        who="developer",
    )


def _check_personal(rows: pa.Table) -> None:
    types = {PERIOD: pa.string(), BUCKET: pa.int16(), PSEUDONYM: pa.binary()}
    for name, type_ in types.items():
        if name not in rows.column_names or _value_type(rows.schema.field(name).type) != type_:
            raise TypeError(f"a personal table needs a column {name} of type {type_}")
        if rows.column(name).null_count:
            raise TypeError(f"a personal row without {name}")
    # The period names a folder.
    if not all(_PERIOD.fullmatch(period) for period in pc.unique(rows.column(PERIOD)).to_pylist()):
        raise TypeError("a period is letters, digits and hyphens")


def _plain_type(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        values = _plain_type(type_.value_type)
        return pa.dictionary(pa.int32(), values) if pa.types.is_string(values) else values
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_fixed_size_binary(type_) or pa.types.is_large_binary(type_):
        return pa.binary()
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", type_.tz)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_plain_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, _plain_type(field.type)) for field in type_])
    return type_

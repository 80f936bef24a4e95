"""An operator's own CSV read as a published layout, through a column map in configuration.

A map makes a layout out of a layout: other names, separator and encoding, dates and numbers
rewritten on distinct texts before they are checked. The rules, reasons and fast reading are the
published layout's own; receipts name the operator's columns, since those are what they can mend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import ColumnMap, Malformed
from connectors.layouts import TEXT, Column, Columns, Kind, Layout

ENCODINGS: Final = ("utf-8", "latin-1", "cp1252")
_FORMATS: Final[Mapping[str, str]] = {
    "Y": r"(?P<Y>\d{4})",
    "m": r"(?P<m>\d{2})",
    "d": r"(?P<d>\d{2})",
    "H": r"(?P<H>\d{2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
}
Prepare = Callable[[pa.Array], pa.Array]


def mapped(layout: Layout, given: ColumnMap) -> Layout:
    """The layout an operator's file has. Raises `Malformed` where the map does not fit it."""
    names = {column.header[0]: column.name for column in layout.columns}
    for known in (*given.columns, *given.constants, *given.values):
        if known not in names:
            raise Malformed("wrong_column_map", known)
    if len(given.separator) != 1 or given.encoding not in ENCODINGS:
        raise Malformed("wrong_column_map", "separator, encoding")
    columns: list[Column] = []
    supplied: dict[str, Callable[[Columns, int], pa.Array]] = {}
    for column in layout.columns:
        published = column.header[0]
        theirs = given.columns.get(published, ())
        own = replace(column, kind=_prepared(column.kind, given, published))
        if published in given.constants:
            supplied[column.name] = _constant(given.constants[published])
            own = replace(column, kind=replace(column.kind, fast=None))
        elif len(theirs) > 1:
            parts = tuple(f"{column.name}.{number}" for number in range(len(theirs)))
            columns += [
                Column(part, (header,), TEXT) for part, header in zip(parts, theirs, strict=True)
            ]
            supplied[column.name] = _joined(parts)
            own = replace(own, header=(" + ".join(theirs),))
        elif theirs:
            own = replace(own, header=theirs)
        columns.append(own)
    return replace(
        layout,
        columns=tuple(columns),
        supplied=supplied,
        delimiter=given.separator,
        fallback="" if given.encoding == "utf-8" else given.encoding,
        foreign=(),
    )


def _constant(text: str) -> Callable[[Columns, int], pa.Array]:
    return lambda _, rows: pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([text])
    )


def _joined(parts: tuple[str, ...]) -> Callable[[Columns, int], pa.Array]:
    """Cells of several columns with a blank between; blank where any of them is."""

    def make(cells: Columns, _: int) -> pa.Array:
        texts = [pc.utf8_trim_whitespace(pc.cast(cells[part], pa.string())) for part in parts]
        blank = texts[0].is_null()
        for text in texts:
            blank = pc.or_(blank, pc.fill_null(pc.equal(text, ""), fill_value=True))
        joined = pc.binary_join_element_wise(*texts, " ")
        return pc.if_else(blank, pa.scalar(None, pa.string()), joined).dictionary_encode()

    return make


def _prepared(kind: Kind, given: ColumnMap, published: str) -> Kind:
    """The kind with the operator's way to write it in front; the fast type no longer fits."""
    steps: list[Prepare] = []
    if words := given.values.get(published):
        steps.append(_translated(words))
    if pa.types.is_date(kind.type):
        steps.append(_rewritten(given.date_format))
    elif pa.types.is_timestamp(kind.type):
        steps.append(_rewritten(f"{given.date_format} {given.time_format}"))
    elif pa.types.is_floating(kind.type) and given.decimal_comma:
        steps.append(
            lambda texts: pc.replace_substring_regex(texts, r"^([+-]?\d*),(\d+)$", r"\1.\2")
        )
    if not steps:
        return kind

    def prepare(texts: pa.Array) -> pa.Array:
        for step in steps:
            texts = step(texts)
        return texts

    return replace(kind, prepare=prepare, fast=None)


def _translated(words: Mapping[str, str]) -> Prepare:
    theirs, ours = pa.array(list(words)), pa.array(list(words.values()))

    def translate(texts: pa.Array) -> pa.Array:
        return pc.coalesce(pc.take(ours, pc.index_in(texts, value_set=theirs)), texts)

    return translate


def _rewritten(form: str) -> Prepare:
    """Dates written `form` (strptime, numbers only) as ISO 8601 has them; others are left."""
    order = re.findall("%(.)", form)
    if len(set(order)) != len(order) or not set(order) <= set(_FORMATS) or not {*"Ymd"} <= {*order}:
        raise Malformed("wrong_column_map", "date_format, time_format")
    pattern = "".join(
        _FORMATS[part[1]] if len(part) == 2 and part[0] == "%" else re.escape(part)
        for part in re.split("(%.)", form)
    )

    def group(letter: str) -> str:
        return rf"\{order.index(letter) + 1}"

    iso = "-".join(group(letter) for letter in "Ymd")
    clock = [group(letter) for letter in "HMS" if letter in order]
    written = f"{iso} {':'.join(clock)}" if clock else iso
    return lambda texts: pc.replace_substring_regex(texts, f"^{pattern}$", written)

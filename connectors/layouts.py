"""What a CSV dataset declares: columns with their kinds, rules over rows, and how rows come out.

A `Kind` has two readers that must agree: Arrow's own parser on the hot path, and a regular
expression with a cast on distinct values where a block has something wrong in it. Tests hold the
two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Published, Reading

PARIS: Final = ZoneInfo("Europe/Paris")
EARLIEST: Final = date(2000, 1, 1)

Columns = Mapping[str, pa.Array]
"""Our column names to arrays of one length: typed, nulls where blank."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a cell is written and what it becomes.

    `pattern` is what a trimmed cell must match (RE2, anchored; empty: anything), else `code`.
    `cast` turns distinct matching texts into values. `fast` is the Arrow type the hot path reads
    directly; None reads text as a dictionary there too. `prepare` rewrites distinct texts of an
    operator's own layout into the published form before any of this.
    """

    type: pa.DataType
    pattern: str
    code: str
    cast: Callable[[pa.Array], pa.Array]
    fast: pa.DataType | None = None
    prepare: Callable[[pa.Array], pa.Array] | None = None


def _to(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda texts: pc.cast(texts, kind)


def _wall_time(texts: pa.Array) -> pa.Array:
    """Local wall time; a text with an offset is moved to Paris first."""
    try:
        return pc.cast(texts, pa.timestamp("us"))  # takes no offset
    except pa.ArrowInvalid:
        zoned = pc.match_substring_regex(texts, _OFFSET)
    nothing = pa.scalar(None, pa.string())
    naive = pc.cast(pc.if_else(zoned, nothing, texts), pa.timestamp("us"))
    instants = pc.cast(pc.if_else(zoned, texts, nothing), pa.timestamp("us", "UTC"))
    local = pc.local_timestamp(pc.cast(instants, pa.timestamp("us", "Europe/Paris")))
    return pc.if_else(pc.fill_null(zoned, False), local, naive)


def _boolean(texts: pa.Array) -> pa.Array:
    return pc.is_in(texts, value_set=pa.array(_TRUE)) if len(texts) else pa.array([], pa.bool_())


_TRUE: Final = ["true", "True", "TRUE", "1"]
_LEAP: Final = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_DATE: Final = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))|" + _LEAP + ")"
)
_OFFSET: Final = r"(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)$"
_CLOCK: Final = r"(?:[01]\d|2[0-3])(?::[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?)?"

TEXT: Final = Kind(pa.string(), "", "", lambda texts: texts)
DATE: Final = Kind(pa.date32(), f"^{_DATE}$", "wrong_date", _to(pa.date32()), pa.date32())
WALL_TIME: Final = Kind(
    pa.timestamp("us"),
    rf"^{_DATE}(?:[T ]{_CLOCK}(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?$",
    "wrong_time",
    _wall_time,
    pa.timestamp("us"),
)
NUMBER: Final = Kind(
    pa.float64(),
    r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$",
    "not_a_number",
    _to(pa.float64()),
    pa.float64(),
)
# Not read directly on the hot path: Arrow would take 0x10 and nineteen digits for integers.
INTEGER: Final = Kind(pa.int64(), r"^-?\d{1,18}$", "not_a_number", _to(pa.int64()))
BOOLEAN: Final = Kind(
    pa.bool_(),
    "^(?:true|True|TRUE|1|false|False|FALSE|0)$",
    "not_a_boolean",
    _boolean,
    pa.bool_(),
)


def one_of(*values: str) -> Kind:
    """A closed list of texts."""
    return matching("|".join(values), "unknown_value")


def matching(pattern: str, code: str = "wrong_code") -> Kind:
    """Text of a given form (RE2, anchored here)."""
    return Kind(pa.string(), f"^(?:{pattern})$", code, lambda texts: texts)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a published layout.

    `header` holds the names it is published under, the current one first; `name` is ours.
    `blank` is the code for a blank cell, None where blank is allowed. A column that is not
    `required` may be absent from the header: it then reads as blank. Of `many` texts few stand
    twice in a block: to look for those that do would cost more than it saves.
    """

    name: str
    header: tuple[str, ...]
    kind: Kind = TEXT
    blank: str | None = None
    required: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Something a row may break, tested over a whole block.

    `broken` answers true for rows that break it (null counts as kept). "reject" sets the row
    aside, "warn" keeps it, "fold" keeps it out of the table as part of another row, with a
    warning. "note" warns of the first such row of a file only: what is true of a file of old
    taps is true of millions of its rows, and must not cost the fast reading.
    """

    code: str
    column: str
    broken: Callable[[Columns, Reading], pa.Array]
    action: Literal["reject", "warn", "fold", "note"] = "reject"
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A published CSV layout and what becomes of its rows.

    `finish` builds the declared table from typed columns. `unique` names a column whose value may
    stand only once in a file, and what is done with the next ones. `scope`, on raw text columns,
    is true for rows that are part of the dataset; `where` names a column of codes of communes or
    départements, by which rows of a national base are part of a territory. `foreign` are headers
    of another dataset; of the columns named in `either` one at least must be in the header.
    `fallback` is the encoding of text that is no UTF-8. `supplied` makes the raw cells of columns
    that stand in no header, from the raw cells of others and the number of rows.
    `fast` tries Arrow's typed parser before reading a block leniently.
    """

    table: str
    schema: pa.Schema
    columns: tuple[Column, ...]
    finish: Callable[[Columns], Mapping[str, pa.Array]]
    delimiter: str = ","
    rules: tuple[Rule, ...] = ()
    unique: str | None = None
    on_repeat: Literal["reject", "fold"] = "reject"
    scope: Callable[[Columns], pa.Array] | None = None
    where: str = ""
    subject: str | None = None
    blanks: tuple[str, ...] = ("",)
    fallback: str = ""
    fast: bool = False
    foreign: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    supplied: Mapping[str, Callable[[Columns, int], pa.Array]] = field(default_factory=dict)


def department(code: str) -> str:
    """The département of a commune's code ("45234", "97411") or of its own ("045"), else ""."""
    if len(code) == 3:
        return code.removeprefix("0")
    return "" if len(code) != 5 else code[:3] if code.startswith(("97", "98")) else code[:2]


def today(reading: Reading) -> date:
    """The date in France at the moment of reading."""
    return reading.now.astimezone(PARIS).date()


def _in_future(column: str) -> Callable[[Columns, Reading], pa.Array]:
    def broken(columns: Columns, reading: Reading) -> pa.Array:
        values = columns[column]
        if pa.types.is_date(values.type):
            return pc.greater(values, pa.scalar(today(reading), values.type))
        wall = reading.now.astimezone(PARIS).replace(tzinfo=None)
        return pc.greater(values, pa.scalar(wall, values.type))

    return broken


def _too_old(column: str) -> Callable[[Columns, Reading], pa.Array]:
    def broken(columns: Columns, _: Reading) -> pa.Array:
        values = columns[column]
        first = pa.scalar(EARLIEST, pa.date32()).cast(values.type)
        return pc.less(values, first)

    return broken


def dated(column: str) -> tuple[Rule, Rule]:
    """A date or wall time neither after now nor before 2000."""
    return (
        Rule("date_in_future", column, _in_future(column)),
        Rule("date_too_old", column, _too_old(column)),
    )


def in_school_year(column: str) -> Rule:
    """A date not before the school year the territory is in; older ones are kept."""

    def broken(columns: Columns, reading: Reading) -> pa.Array:
        values = columns[column]
        first = pa.scalar(reading.expected_from, pa.date32()).cast(values.type)
        return pc.less(values, first)

    return Rule("date_before_school_year", column, broken, "note")


def _outside(columns: Columns, lon: str, lat: str) -> pa.Array:
    return pc.or_(pc.greater(pc.abs(columns[lon]), 180.0), pc.greater(pc.abs(columns[lat]), 90.0))


def placed(lon: str = "lon", lat: str = "lat") -> tuple[Rule, ...]:
    """A position on the globe, longitude first, and not the null island.

    Swapped means: where the pair stands there is sea or Somalia, turned round there is France.
    """

    def swapped(columns: Columns, _: Reading) -> pa.Array:
        return pc.and_(
            pc.and_(pc.greater(columns[lon], 41.0), pc.less(columns[lon], 51.5)),
            pc.and_(pc.greater(columns[lat], -5.5), pc.less(columns[lat], 10.0)),
        )

    def null_island(columns: Columns, _: Reading) -> pa.Array:
        return pc.and_(pc.equal(columns[lon], 0.0), pc.equal(columns[lat], 0.0))

    return (
        Rule("position_outside_world", lon, lambda columns, _: _outside(columns, lon, lat)),
        Rule("position_swapped", lon, swapped),
        Rule("position_missing", lon, null_island),
    )


def at_least(column: str, least: float, code: str = "impossible_value") -> Rule:
    """A number not under `least`."""
    return Rule(code, column, lambda columns, _: pc.less(columns[column], least), least=least)


_KINDS: Final = (
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_floating, "number"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_boolean, "boolean"),
)


def _documented(schema: pa.Schema, name: str) -> dict[str, Any]:
    if name not in schema.names:
        return {}
    told = {
        key.decode(): text.decode() for key, text in (schema.field(name).metadata or {}).items()
    }
    words = {key: told[key] for key in ("fr", "en") if key in told}
    return {"words": words, "unit": told.get("unit", "")}


def published(layout: Layout) -> tuple[Published, ...]:
    """The columns of a layout as a partner writes them, for schemas and pages."""
    floors = {rule.column: rule.least for rule in layout.rules if rule.least is not None}
    return tuple(
        Published(
            name=column.header[0],
            kind=next((name for is_kind, name in _KINDS if is_kind(column.kind.type)), "string"),
            required=column.blank is not None,
            pattern=column.kind.pattern if pa.types.is_string(column.kind.type) else "",
            unique=layout.unique == column.name and layout.on_repeat == "reject",
            least=floors.get(column.name),
            also=column.header[1:],
            present=column.required and column.name not in layout.either,
            everywhere=layout.scope is None,
            **_documented(layout.schema, column.name),
        )
        for column in layout.columns
    )

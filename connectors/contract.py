"""The contract of a connector: what a partner's file becomes, and how a bad row is named.

A connector turns bytes into batches. It never raises for a bad row: the row is set aside with a
reason from `REASONS`. It raises `Malformed` where the file as a whole cannot be read. Nothing
else may escape. Neither carries content: positions, columns and codes only; the row's own bytes
travel in `Rejected.raw`, which the hub seals and never prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import BinaryIO, Final

import pyarrow as pa

from connectors.reasons import WORDS

# Words shown to people, by language: always both of "fr" and "en".
Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row or a file is refused, in words a partner can act on."""

    code: str
    words: Words


REASONS: Final[Mapping[str, Reason]] = {
    code: Reason(code, {"fr": fr, "en": en}) for code, (fr, en) in WORDS.items()
}
"""Closed vocabulary, code to reason, of rows set aside, rows warned of and files refused."""


class Malformed(Exception):
    """The file as a whole cannot be read; sending the same bytes again fails again.

    `code` is a key of `REASONS`; `where` is a position ("line 3", "stops.txt"), never content.
    """

    def __init__(self, code: str, where: str = "") -> None:
        super().__init__(f"{code} at {where}" if where else code)
        self.code = code
        self.where = where


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row set aside. `position` is 1-based in the file's own unit (line, document, record).

    `pattern` is the form of the cell at fault, never its content (`connectors.report.redacted`);
    it is given for one row of each reason and column at least, where the file has cells.
    """

    position: int
    code: str
    column: str = ""
    subject: str | None = field(default=None, repr=False)
    raw: bytes | None = field(default=None, repr=False)
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """One row kept, with something its partner should look at."""

    position: int
    code: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table, in the exact schema the dataset declares.

    `received` counts the rows read to make this batch, kept and set aside together, so that over
    a file  received = valid + rejected. `skipped` counts rows that are no part of the dataset by
    its definition (a primary school in a directory of lycées, a place outside the territory):
    neither received nor rejected.
    """

    table: str
    records: pa.RecordBatch
    received: int
    rejected: tuple[Rejected, ...] = ()
    warned: tuple[Warned, ...] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """How an operator's own CSV stands for a published layout; configuration of the territory.

    `columns` maps a published column to the operator's, or to several joined by a blank (a day and
    an hour). `constants` gives published columns the operator does not write. `values` maps, by
    published column, the operator's words to the published ones. Formats are `strptime`'s, of
    numbers only. `encoding` is tried where the text is no UTF-8.
    """

    columns: Mapping[str, tuple[str, ...]]
    separator: str = ";"
    encoding: str = "utf-8"
    date_format: str = "%Y-%m-%d"
    time_format: str = "%H:%M:%S"
    decimal_comma: bool = False
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _nothing() -> pa.Table | None:
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading depends on besides the bytes; passed in, so that a re-run reads the same.

    `reference` is the person a whole file is about, where the format names nobody inside.
    `expected_from` is the first day of the school year: what is older is kept with a warning.
    `communes` are positions (longitude, latitude) in communes by INSEE code, to check others by.
    `schools` is what `connectors.schools.match` looks names up in. `earlier` gives the rows of the
    dataset's table as it stands, for a dataset whose files send rows again; it is asked when the
    file is read to its end, under the table's lease.
    `column_map` stands between an operator's own CSV and the published layout. `departments` are
    the territory's, by code: rows elsewhere of a national base are no part of the dataset; empty,
    all of France is the territory.
    """

    now: datetime
    reference: str | None = field(default=None, repr=False)
    expected_from: date | None = None
    communes: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    schools: Mapping[str, str] = field(default_factory=dict, repr=False)
    earlier: Callable[[], pa.Table | None] = field(default=_nothing, repr=False)
    column_map: ColumnMap | None = None
    departments: frozenset[str] = frozenset()
    max_record_bytes: int = 64 * 1024 * 1024
    max_expanded_bytes: int = 8 * 1024 * 1024 * 1024
    max_expansion_ratio: int = 200


@dataclass(frozen=True, slots=True)
class Example:
    """A named file and what must come of it; the examples are the connector's conformance tests.

    `content` makes the bytes. `malformed` is the code the whole file is refused with, if it is;
    otherwise `valid` rows are good and `rejected` counts rows by code. Every good row comes out,
    once, unless `rows` counts what comes out by table (a calendar expanded, a section folded).
    """

    name: str
    content: Callable[[], bytes]
    valid: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)
    malformed: str | None = None
    rows: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """One column as a partner writes it: its name, its kind and what it must match.

    `kind` is a Table Schema type. `pattern` is an anchored regular expression, empty for none;
    `least` a lower bound of a number. `words` and `unit` are those of the column it becomes, empty
    where it is only checked. `present` is whether the header must have it; `everywhere` is false
    where the file also holds rows that are no part of the dataset, and may leave it blank.
    """

    name: str
    kind: str
    required: bool = False
    pattern: str = ""
    unique: bool = False
    least: float | None = None
    also: tuple[str, ...] = ()
    present: bool = True
    everywhere: bool = True
    words: Words = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset a partner pushes: its published layout, its tables and its reader.

    `tables` maps a table's name to its Arrow schema; most datasets have one. `subject` names the
    column holding the partner's raw reference to a person, None where rows are about nobody.
    `about_one` is given where a file may be about one person whom it does not name: the reference
    then comes with the push, or is what this finds in the file's own name. Field metadata `fr`,
    `en` and `unit` document each column. `published` are the columns of the layout a partner
    writes, empty where the file is no table; `delimiter` is their separator and `blanks` what an
    empty cell may be written as.
    """

    partner: str
    name: str
    title: Words
    source: str
    tables: Mapping[str, pa.Schema]
    read: Callable[[BinaryIO, Reading], Iterator[Batch]]
    subject: str | None = None
    about_one: Callable[[str], str | None] | None = None
    media_types: tuple[str, ...] = ("text/csv",)
    examples: tuple[Example, ...] = ()
    published: tuple[Published, ...] = ()
    delimiter: str = ","
    blanks: tuple[str, ...] = ("",)

    @property
    def key(self) -> str:
        """Name in addresses and agreements: `partner/name`."""
        return f"{self.partner}/{self.name}"

"""JSON documents decoded into structs and made into batches, bad ones named.

`read_documents` is shared by the datasets that come as documents: it splits, decodes, asks the
dataset for a row, and counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Generic, Protocol, TypeVar

import msgspec
import pyarrow as pa

from connectors.archives import Source, plain
from connectors.contract import Batch, Reading, Rejected, Warned
from connectors.jsonstream import Document, documents

ROWS: Final = 2_000
"""Documents per batch."""

Row = dict[str, Any]
Warnings = list[tuple[str, str]]
"""Codes of what a row is warned of, with the field."""
Decoded = TypeVar("Decoded")
Made = TypeVar("Made", covariant=True)
# msgspec names the field it stopped at by its path; keys that are data it writes as [...].
_FIELD: Final = re.compile(r"at `\$[^`]*?\.?(\w+)(?:\[\.*\])*`")


class Decoder(Protocol[Made]):
    """What `msgspec.json.Decoder` does here; one that checks more may raise `BadRow` too."""

    def decode(self, data: bytes, /) -> Made:
        """The struct in these bytes. Raises msgspec's errors."""
        ...


class BadRow(Exception):
    """A document that cannot become a row: a reason and the field, never content."""

    def __init__(self, code: str, column: str = "") -> None:
        super().__init__(code)
        self.code, self.column = code, column


@dataclass(frozen=True, slots=True)
class Reader(Generic[Decoded]):
    """How one dataset makes rows of documents.

    `row` returns the row and codes of warnings with their field, or raises `BadRow`. `once` are
    keys (in quotes, as bytes) that may stand only once in a document. `subject` finds the
    reference in the bytes of a document that could not be read. `position`, where given, is the
    column of the schema that gets the document's own.
    """

    table: str
    schema: pa.Schema
    decoder: Decoder[Decoded]
    row: Callable[[Decoded, Reading], tuple[Row, Warnings]]
    unique: Callable[[Row], Any] | None = None
    once: tuple[bytes, ...] = ()
    subject: Callable[[bytes], str | None] = lambda _: None
    position: str = ""


def read_documents(file: BinaryIO, reader: Reader[Decoded], reading: Reading) -> Iterator[Batch]:
    """Read a partner's file of documents. Raises `Malformed` for the file as a whole."""
    return read_source(plain(file, reading), reader, reading)


def read_source(source: Source, reader: Reader[Decoded], reading: Reading) -> Iterator[Batch]:
    """Read documents that are already decompressed. Raises `Malformed`."""
    seen: set[int] = set()
    filling = Filling(reader.table, reader.schema)
    for document in documents(source, reading):
        try:
            row, warnings = reader.row(decode(document, reader.decoder, reader.once), reading)
            _check_unique(row, reader, seen)
        except BadRow as bad:
            subject = reader.subject(document.data)
            filling.reject(document.position, bad, document.data, subject)
        else:
            if reader.position:
                row[reader.position] = document.position
            filling.keep(document.position, row, warnings)
        yield from filling.full()
    yield from filling.rest()


def decode(document: Document, decoder: Decoder[Decoded], once: tuple[bytes, ...] = ()) -> Decoded:
    """A document as its struct. Raises `BadRow`."""
    try:
        return _decode(document, decoder, once)
    except BadRow as bad:
        # No decoder takes one, so it is looked for only where one has failed.
        if b"\0" in document.data:
            raise BadRow("nul_byte") from bad
        raise


def _decode(document: Document, decoder: Decoder[Decoded], once: tuple[bytes, ...]) -> Decoded:
    for key in once:
        if document.data.count(key) > 1:
            raise BadRow("duplicate_key", key.strip(b'"').decode())
    try:
        return decoder.decode(document.data)
    except msgspec.ValidationError as error:
        field = _FIELD.search(str(error))
        code = "missing_value" if "of length >= 1" in str(error) else "wrong_type"
        raise BadRow(code, field.group(1) if field else "") from error
    except msgspec.DecodeError as error:
        cut = document.last_line and "truncated" in str(error)
        raise BadRow("truncated" if cut else "invalid_json") from error
    except UnicodeDecodeError as error:
        raise BadRow("wrong_encoding") from error
    except RecursionError as error:
        raise BadRow("too_deep") from error


def _check_unique(row: Row, reader: Reader[Decoded], seen: set[int]) -> None:
    if reader.unique is None:
        return
    key = hash(reader.unique(row))
    if key in seen:
        raise BadRow("duplicate_row")
    seen.add(key)


class Filling:
    """A batch while its rows come in: each is taken apart at once, into one list a column.

    Were rows kept as they come, the garbage collector would walk over thousands of dictionaries
    again and again; in lists of texts and numbers it has nothing to do.
    """

    def __init__(self, table: str, schema: pa.Schema, most: int = ROWS) -> None:
        self._table, self._schema, self._most = table, schema, most
        self._begin()

    def _begin(self) -> None:
        self._columns = _columns(self._schema)
        self._rejected: list[Rejected] = []
        self._warned: list[Warned] = []
        self._received = 0

    def keep(self, position: int, row: Row, warnings: Iterable[tuple[str, str]] = ()) -> None:
        """Take a row, and the codes of warnings with their field."""
        self._received += 1
        for name, column in self._columns:
            column.append(row[name])
        for code, field in warnings:
            self._warned.append(Warned(position, code, field))

    def reject(self, position: int, bad: BadRow, raw: bytes, subject: str | None = None) -> None:
        """Set a row aside, in its own bytes."""
        self._received += 1
        self._rejected.append(Rejected(position, bad.code, bad.column, subject, raw))

    def full(self) -> Iterator[Batch]:
        """The batch, once it has the rows of one; the next begins."""
        if self._received >= self._most:
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """What came in since the last batch, if anything did; the next begins."""
        if self._received:
            made = self._batch()
            self._begin()
            yield made

    def _batch(self) -> Batch:
        arrays = [column.array() for _, column in self._columns]
        records = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        rejected, warned = tuple(self._rejected), tuple(self._warned)
        return Batch(self._table, records, self._received, rejected, warned)


class _Values(list[Any]):
    """A column of what Arrow takes as it is."""

    def __init__(self, type_: pa.DataType) -> None:
        super().__init__()
        self._type = type_

    def array(self) -> pa.Array:
        return pa.array(self, self._type)


class _Lists:
    """A column of lists of structs, field by field, which Arrow takes much faster."""

    def __init__(self, type_: pa.ListType) -> None:
        self._type = type_
        self._columns = _columns(type_.value_type)
        self._ends = [0]

    def append(self, items: list[Row]) -> None:
        self._ends.append(self._ends[-1] + len(items))
        for item in items:
            for name, column in self._columns:
                column.append(item[name])

    def array(self) -> pa.Array:
        structs = pa.StructArray.from_arrays(
            [column.array() for _, column in self._columns], fields=list(self._type.value_type)
        )
        return pa.ListArray.from_arrays(pa.array(self._ends, pa.int32()), structs, self._type)


def _columns(fields: Iterable[pa.Field]) -> list[tuple[str, _Values | _Lists]]:
    """An empty column for each field, by its name; lists of structs may not be null."""
    return [
        (field.name, (_Lists if _of_structs(field) else _Values)(field.type)) for field in fields
    ]


def _of_structs(field: pa.Field) -> bool:
    is_list = pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type)
    return is_list and not field.nullable

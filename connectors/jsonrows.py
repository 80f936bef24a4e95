"""JSON documents decoded into structs and made into batches, bad ones named.

`read_documents` is shared by the datasets that come as documents: it splits, decodes, asks the
dataset for a row, and counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Generic, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from connectors.archives import Source, plain
from connectors.contract import Batch, Reading, Rejected, Warned
from connectors.jsonstream import Document, documents

ROWS: Final = 2_000
"""Documents per batch."""

Row = dict[str, Any]
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
    row: Callable[[Decoded, Reading], tuple[Row, list[tuple[str, str]]]]
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
    rows: list[Row] = []
    rejected: list[Rejected] = []
    warned: list[Warned] = []

    def batch() -> Batch:
        return Batch(
            reader.table,
            arrow(rows, reader.schema),
            len(rows) + len(rejected),
            tuple(rejected),
            tuple(warned),
        )

    for document in documents(source, reading):
        try:
            row, warnings = reader.row(decode(document, reader.decoder, reader.once), reading)
            _check_unique(row, reader, seen)
        except BadRow as bad:
            rejected.append(
                Rejected(
                    document.position,
                    bad.code,
                    bad.column,
                    reader.subject(document.data),
                    bytes(document.data),
                )
            )
        else:
            if reader.position:
                row[reader.position] = document.position
            rows.append(row)
            warned.extend(Warned(document.position, code, column) for code, column in warnings)
        if len(rows) + len(rejected) >= ROWS:
            yield batch()
            rows, rejected, warned = [], [], []
    if rows or rejected:
        yield batch()


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


def arrow(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as a batch of the schema."""
    arrays = [_column([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Values as an array; lists of structs field by field, which Arrow takes much faster."""
    if not (pa.types.is_list(type_) and pa.types.is_struct(type_.value_type)) or None in values:
        return pa.array(values, type_)
    fields = list(type_.value_type)
    items = [item for value in values for item in value]
    structs = pa.StructArray.from_arrays(
        [_column([item[field.name] for item in items], field.type) for field in fields],
        fields=fields,
    )
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), structs, type=type_)

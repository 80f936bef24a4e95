"""CSV cut into blocks of whole records, with exact line numbers and bounded memory.

A block ends at a line feed. Where the data has quotes the cut prefers a line feed with an even
number of quotes before it, so that a text holding a line break stays in one block.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from connectors.archives import Source
from connectors.contract import Malformed, Reading
from connectors.layouts import Layout

BLOCK: Final = 8 << 20
"""Larger ones leave the processor's cache between one step and the next."""
PIECE: Final = 1 << 20
"""What is read at a time: small enough to stay in the cache until it stands in its block."""
BACKSTEPS: Final = 1_000
"""Lines a quoted text may span at a cut; beyond, a stray quote is the likelier cause."""
DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records, LF line ends. `line` is the 1-based line of the first one in the file."""

    data: bytearray
    line: int


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: its width, and where each of our columns stands (-1: absent)."""

    width: int
    places: dict[str, int]


def blocks(source: Source, layout: Layout, reading: Reading) -> Iterator[Header | Block]:
    """The header first, then the blocks. Raises `Malformed` for the file as a whole."""
    step = min(BLOCK, reading.max_record_bytes)
    data, line, header = bytearray(), 1, None
    while True:
        last = not _fill(data, source, step)
        if header is None and data:
            _sniff(data)
        if last and data and not data.endswith(b"\n"):
            data += b"\n"
        if header is None and b"\n" in data:
            end = data.index(b"\n")
            if end > reading.max_record_bytes:
                raise Malformed("line_too_long", "line 1")
            header, line = read_header(bytes(data[:end]), layout), 2
            del data[: end + 1]
            yield header
        cut = len(data) if last else _cut(data)
        rest = data[cut:]
        if cut:
            del data[cut:]
            feeds = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
            block = Block(_line_feeds(data), line)
            _check_length(block, reading)
            yield block
            line += feeds
        data = rest
        if len(rest) > reading.max_record_bytes:
            raise Malformed("line_too_long", f"line {line}")
        if last:
            if header is None:
                raise Malformed("empty_file")
            return


def _fill(data: bytearray, source: Source, more: int) -> bool:
    """Read on into `data`, so many bytes further; False where the source ended."""
    wanted = len(data) + more
    while len(data) < wanted:
        piece = source.read(min(PIECE, wanted - len(data)))
        if not piece:
            return False
        data += piece
    return True


def _sniff(data: bytearray) -> None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Malformed("wrong_encoding", "line 1")
    if b"\n" not in data and b"\r" in data:
        raise Malformed("wrong_line_ending", "line 1")


def _cut(data: bytearray) -> int:
    """Where the last whole record ends, 0 where none does."""
    end = last = data.rfind(b"\n") + 1
    if not end or b'"' not in data:
        return end
    odd = data.count(b'"', 0, end) % 2
    for _ in range(BACKSTEPS):
        if not odd:
            return end
        before = data.rfind(b"\n", 0, end - 1) + 1
        if not before:
            break
        odd = (odd + data.count(b'"', before, end)) % 2
        end = before
    return last


def _line_feeds(data: bytearray) -> bytearray:
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def _check_length(block: Block, reading: Reading) -> None:
    if len(block.data) <= reading.max_record_bytes:
        return
    ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == ord("\n"))
    lengths = np.diff(ends, prepend=-1) - 1
    if (longest := int(lengths.argmax())) >= 0 and lengths[longest] > reading.max_record_bytes:
        raise Malformed("line_too_long", f"line {block.line + longest}")


def normal(name: str) -> str:
    """A header name as it is compared: exports differ by case, blanks and underscores."""
    return "_".join(name.strip().strip("\ufeff").casefold().replace("_", " ").split())


# The two bytes UTF-8 writes for é, à, ç… as an 8-bit encoding shows them: Ã©. No French text has
# them, so where other bytes are no UTF-8 the file was put together from two encodings.
_FEED: Final = b"\n"
_MIXED: Final = re.compile(rb"\xc3[\x80-\xbf]")


def decoded(data: bytes | bytearray, layout: Layout, line: int) -> str:
    """Text that is no UTF-8, in the layout's other encoding. Raises `Malformed`."""
    mixed = _MIXED.search(data)
    try:
        if layout.fallback and not mixed:
            return data.decode(layout.fallback)
    except UnicodeDecodeError as error:
        at = error.start
    else:
        at = mixed.start() if mixed else 0
    # Not chained: the decoder's error carries the bytes it stopped at.
    raise Malformed("wrong_encoding", f"line {line + data.count(_FEED, 0, at)}") from None


def names_of(text: str, delimiter: str) -> list[str]:
    """The names of a header line, as they are compared. Raises `Malformed`."""
    try:
        row = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise Malformed("line_too_long", "line 1") from error
    return [normal(name) for name in row]


def read_header(line: bytes, layout: Layout) -> Header:
    """Find our columns in the first line. Raises `Malformed`, naming only columns of ours."""
    if b"\0" in line:
        raise Malformed("nul_byte", "line 1")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = decoded(line, layout, 1)
    text = text.strip("\r\n")
    if not text.strip():
        raise Malformed("empty_file")
    names = names_of(text, layout.delimiter)
    for foreign in layout.foreign:
        if normal(foreign) in names:
            raise Malformed("wrong_dataset", foreign)
    places = {column.name: _place(names, column.header) for column in layout.columns}
    needed = [c for c in layout.columns if c.required and c.name not in layout.supplied]
    missing = [c for c in needed if places[c.name] < 0]
    if layout.either and all(places[name] < 0 for name in layout.either):
        missing += [c for c in layout.columns if c.name in layout.either]
    if missing:
        for other in DELIMITERS:
            if other != layout.delimiter and len(found := names_of(text, other)) > len(names):
                present = sum(_place(found, column.header) >= 0 for column in needed)
                if present > len(needed) // 2:
                    raise Malformed("wrong_delimiter", "line 1")
        raise Malformed("missing_column", missing[0].header[0])
    return Header(len(names), places)


def _place(names: list[str], header: tuple[str, ...]) -> int:
    for name in header:
        wanted = normal(name)
        if names.count(wanted) > 1:
            raise Malformed("duplicate_column", name)
        if wanted in names:
            return names.index(wanted)
    return -1


@lru_cache
def _record(delimiter: str) -> re.Pattern[bytes]:
    d = re.escape(delimiter.encode())
    field = rb'(?:"(?:[^"]++|"")*+"[^%b\n]*+|[^%b"\n][^%b\n]*+|)' % (d, d, d)
    return re.compile(rb"%b(?:%b%b)*+\n" % (field, d, field))


def records(block: Block, delimiter: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Where each record of a block starts and ends, its line, and which are not closed.

    A quote opens a text only at the start of a field, as Arrow reads it. Where one is never
    closed, the record is its first line alone and its index is among the last result.
    """
    data = block.data
    if b'"' not in data:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
        return starts, ends, block.line + np.arange(len(ends)), []
    match, at = _record(delimiter).match, 0
    stops: list[int] = []
    unclosed: list[int] = []
    while at < len(data):
        found = match(data, at)
        if found is None:
            unclosed.append(len(stops))
            at = data.index(b"\n", at) + 1
        else:
            at = found.end()
        stops.append(at)
    ends = np.asarray(stops, dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    return starts, ends, block.line + np.searchsorted(feeds, starts), unclosed

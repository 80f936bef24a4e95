"""JSON documents one by one out of a stream, as bytes, without holding the file.

Read are: a single document, an array of documents, one document per line (NDJSON), documents one
after the other, and the two wrappings Cozy and CouchDB answer with, `{"data": […]}` and
`{"rows": […]}`. Only brackets and quotes are looked at here; whether a document is valid JSON is
for its decoder to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from connectors.archives import Source
from connectors.contract import Malformed, Reading

STEP: Final = 256 << 10
WRAPPERS: Final = (b'"rows"', b'"data"', b'"docs"')

_STRING: Final = rb'"(?:\\.|[^"\\]++)*+"'
# Everything up to the next bracket that matters. Flat objects, flat arrays and arrays of flat
# arrays (a line of points) are passed over in one match; an unfinished one is left to the counter.
# The plain run is tried last: up to 3.11.4, Python leaves a possessive group where its last try
# got to, and this one gets nowhere.
_PASSED: Final = re.compile(
    rb'(?:%b|\[(?:\[[^"{}\[\]]*+\]|[^"{}\[\]]++)*+\]|\{(?:%b|[^"{}\[\]]++)*+\}|[^"{}\[\]]++)*+'
    % (_STRING, _STRING),
    re.DOTALL,
)
_TOKEN: Final = re.compile(rb"%b|[{}\[\]]" % _STRING, re.DOTALL)
_LIST: Final = re.compile(rb"\s*:\s*\[")
_QUOTE: Final = ord('"')
_OPEN: Final = b"{["
_BLANK: Final = re.compile(rb"\s*")


class Document(NamedTuple):
    """One document's bytes; `position` is its line in NDJSON, else its number, from 1."""

    position: int
    data: bytes
    last_line: bool = False
    """The file ends inside or right after this line: it may have been cut."""


class _Window:
    """The part of the stream that is still needed, from `at` on."""

    def __init__(self, source: Source, limit: int) -> None:
        self._source, self._limit = source, limit
        self.data, self.at, self.ended, self.number = b"", 0, False, 1

    def more(self) -> bool:
        """Read on, twice as far each time nothing could be let go. False at the end."""
        chunk = self.next(len(self.data) - self.at)
        if chunk:
            self.data, self.at = self.data[self.at :] + chunk, 0
        return not self.ended

    def next(self, held: int) -> bytes:
        """What comes after, for who holds so many bytes of a document; b"" at the end."""
        self.check(held)
        chunk = b"" if self.ended else self._source.read(max(STEP, min(held, self._limit)))
        self.ended = not chunk
        return chunk

    def taken(self) -> bytes:
        """What is left here; it is the caller's then, who goes on with `next`."""
        data, self.data, self.at = self.data[self.at :], b"", 0
        return data

    def skip_blank(self) -> int:
        """Pass over white space; how many line feeds were in it."""
        feeds = 0
        while True:
            end = _BLANK.match(self.data, self.at).end()  # type: ignore[union-attr]  # always
            feeds += self.data.count(b"\n", self.at, end)
            self.at = end
            if end < len(self.data) or not self.more():
                return feeds

    def peek(self) -> bytes:
        """The next byte that is no white space, b"" at the end of the stream."""
        self.skip_blank()
        return self.data[self.at : self.at + 1]

    def check(self, size: int) -> None:
        if size > self._limit:
            raise Malformed("line_too_long", f"document {self.number}")


def documents(source: Source, reading: Reading) -> Iterator[Document]:
    """The documents of a file, in order.

    Raises `Malformed`: `empty_file`, `wrong_encoding`, `nul_byte`, `invalid_json` where what
    stands between documents is no JSON, `truncated`, `line_too_long` for a document over
    `reading.max_record_bytes`.
    """
    window = _Window(source, reading.max_record_bytes)
    window.more()
    if window.data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Malformed("wrong_encoding")
    if window.data.startswith(b"\0"):
        raise Malformed("nul_byte")
    window.at = 3 if window.data.startswith(b"\xef\xbb\xbf") else 0
    feeds = window.skip_blank()
    first = window.peek()
    if not first:
        raise Malformed("empty_file")
    if first == b"[":
        window.at += 1
        yield from _array(window)
        _nothing_more(window)
        return
    if first != b"{":
        raise Malformed("invalid_json", "document 1")
    while len(window.data) - window.at < STEP and window.more():
        pass
    if (inner := _wrapped(window.data, window.at)) is not None:
        window.at = inner
        yield from _array(window)
        window.at = _end_of_value(window, depth=1)
        _nothing_more(window)
    elif _by_line(window):
        window.number += feeds
        yield from _lines(window)
    else:
        yield from _sequence(window)


def _wrapped(head: bytes, at: int) -> int | None:
    """Where the list of a wrapping starts, None where the document is itself one."""
    depth = 0
    for token in _TOKEN.finditer(head, at):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
            if not depth:
                return None
        elif depth == 1 and text in WRAPPERS and (found := _LIST.match(head, token.end())):
            return found.end()
    return None


def _by_line(window: _Window) -> bool:
    """Whether each line is a document: the first one closes, or the second one opens another."""
    data, start = window.data, window.at
    end = data.find(b"\n", start)
    if end < 0:
        return window.ended and data[start:].rstrip().endswith(b"}")
    return data[start:end].rstrip().endswith(b"}") or data[end + 1 : end + 2] == b"{"


def _lines(window: _Window) -> Iterator[Document]:
    """Each line that is not blank, cut out of what was read in one piece, or of two."""
    held, data = b"", window.taken()
    while data:
        at = 0
        while (end := data.find(b"\n", at)) >= 0:
            line = held + data[at:end]  # nothing is copied where nothing is held
            held, at = b"", end + 1
            window.check(len(line))
            if line.strip():
                yield Document(window.number, line)
            window.number += 1
        held += data[at:]
        data = window.next(len(held))
    if held.strip():
        yield Document(window.number, held, last_line=True)


def _end_of_value(window: _Window, depth: int = 0) -> int:
    """Where the value that starts at `window.at` ends, or the one `depth` levels out.

    Raises `Malformed`: `truncated`, `line_too_long`.
    """
    offset = 0
    while True:
        passed = _PASSED.match(window.data, window.at + offset) if depth else None
        stop = passed.end() if passed else window.at + offset
        if stop >= len(window.data) or window.data[stop] == _QUOTE:
            offset = stop - window.at
            if not window.more():
                raise Malformed("truncated", f"document {window.number}")
            continue
        depth += 1 if window.data[stop] in _OPEN else -1
        offset = stop + 1 - window.at
        if not depth:
            window.check(offset)
            return stop + 1


def _value(window: _Window) -> Document:
    end = _end_of_value(window)
    document = Document(window.number, window.data[window.at : end])
    window.at, window.number = end, window.number + 1
    return document


def _array(window: _Window) -> Iterator[Document]:
    """The elements of an array whose bracket was just passed."""
    if window.peek() == b"]":
        window.at += 1
        return
    while True:
        here = window.peek()
        if not here:
            raise Malformed("truncated", f"document {window.number}")
        if here not in (b"{", b"["):
            raise Malformed("invalid_json", f"document {window.number}")
        yield _value(window)
        after = window.peek()
        if not after:
            raise Malformed("truncated", f"document {window.number}")
        if after not in (b",", b"]"):
            raise Malformed("invalid_json", f"document {window.number}")
        window.at += 1
        if after == b"]":
            return


def _nothing_more(window: _Window) -> None:
    if window.peek():
        raise Malformed("invalid_json", f"document {window.number}")


def _sequence(window: _Window) -> Iterator[Document]:
    while here := window.peek():
        if here != b"{":
            raise Malformed("invalid_json", f"document {window.number}")
        yield _value(window)

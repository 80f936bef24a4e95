"""Rows of a published CSV layout, typed and checked a block at a time.

1. A block is parsed by Arrow straight into types; where nothing in it breaks a rule, that is all.
2. Otherwise it is read again with every cell as text: records are found one by one, kinds are
   checked on distinct values, and each bad row is named with its line and its reason.
3. In the order of the file: values that may stand once are held to the blocks before.

The second reading is the specification; the first must agree with it wherever it accepts. Blocks
are parsed ahead, one on each core (1 and 2); only the third step knows of other blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from connectors.archives import Source, plain
from connectors.contract import Batch, Malformed, Reading, Rejected, Warned
from connectors.csvblocks import Block, Header, blocks, decoded, records
from connectors.layouts import TEXT, Column, Columns, Layout, department
from connectors.report import redacted

DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


def read_csv(file: BinaryIO, layout: Layout, reading: Reading) -> Iterator[Batch]:
    """Read a partner's CSV file. Raises `Malformed` for the file as a whole, nothing else."""
    return read_source(plain(file, reading), layout, reading)


def read_source(source: Source, layout: Layout, reading: Reading) -> Iterator[Batch]:
    """Read CSV that is already decompressed. Raises `Malformed`."""
    header, seen, mood = Header(0, {}), _Seen(), _Mood()
    threads = pa.cpu_count()
    ahead: deque[Future[_Typed | _Examined]] = deque()
    with ThreadPoolExecutor(threads, "csv") as pool:
        try:
            for part in blocks(source, layout, reading):
                if isinstance(part, Header):
                    header = part
                    continue
                ahead.append(pool.submit(_parsed, part, header, layout, reading, mood))
                if len(ahead) > threads:
                    yield _settled(ahead.popleft().result(), header, layout, reading, seen)
        except Malformed:
            # What is wrong further down is said after what stands before it.
            while ahead:
                yield _settled(ahead.popleft().result(), header, layout, reading, seen)
            raise
        while ahead:
            yield _settled(ahead.popleft().result(), header, layout, reading, seen)


class _Seen:
    """Values already kept in a column of the file, as 64-bit hashes: 8 bytes each.

    Among five million distinct values the odds that any two share a hash are one in a million.
    """

    def __init__(self) -> None:
        self.noted: set[tuple[str, str]] = set()
        self._hashes = np.empty(0, np.uint64)  # in order
        self._unordered: list[np.ndarray] = []
        self._last: str | None = ""
        self._engine: duckdb.DuckDBPyConnection | None = None

    def hashes(self, values: pa.Array) -> np.ndarray:
        """A hash of each value, in order."""
        if self._engine is None:
            self._engine = duckdb.connect(config={"threads": 1})
        self._engine.register("offered", pa.table({"value": values}))
        try:
            found = self._engine.execute("SELECT hash(value) AS h FROM offered").fetchnumpy()["h"]
        finally:
            self._engine.unregister("offered")
        return np.asarray(found, np.uint64)

    def keep_new(self, values: pa.Array) -> bool:
        """Keep them all and answer true, or where any is repeated keep none and answer false.

        Most files number their rows: as long as each value is above the one before, none can be
        repeated, and nothing is looked up.
        """
        hashes = self.hashes(values)
        if self._last is not None and self._ascend(values, self._last):
            self._unordered.append(hashes)
            self._last = values[-1].as_py() if len(values) else self._last
            return True
        # In order: a search that goes forward finds its places in the cache.
        offered = np.sort(hashes)
        if (offered[1:] == offered[:-1]).any() or self._stand(offered).any():
            return False
        self.keep(offered)
        return True

    @staticmethod
    def _ascend(values: pa.Array, last: str) -> bool:
        if values.null_count or not len(values):
            return not values.null_count
        following = pc.less(values.slice(0, len(values) - 1), values.slice(1))
        return bool(pc.all(following).as_py() is not False and values[0].as_py() > last)

    def repeated(self, hashes: np.ndarray) -> np.ndarray:
        """True where the value was kept before or stands earlier among these."""
        again = np.ones(len(hashes), bool)
        again[np.unique(hashes, return_index=True)[1]] = False
        order = np.argsort(hashes)
        again[order] |= self._stand(hashes[order])
        return again

    def keep(self, hashes: np.ndarray) -> None:
        """Remember these, which `repeated` said are not."""
        self._last = None
        # Two runs in order: a stable sort merges them.
        self._hashes = np.sort(np.concatenate([self._hashes, np.sort(hashes)]), kind="stable")

    def _stand(self, offered: np.ndarray) -> np.ndarray:
        """Which of these, in order, were kept before."""
        if self._unordered:
            self._hashes = np.sort(np.concatenate([self._hashes, *self._unordered]))
            self._unordered = []
        if not len(self._hashes):
            return np.zeros(len(offered), bool)
        places = np.searchsorted(self._hashes, offered)
        places[places == len(self._hashes)] = 0
        return np.asarray(self._hashes[places] == offered)


def _as_utf8(block: Block, layout: Layout) -> tuple[Block, str]:
    if block.data.isascii():
        return block, "ascii"
    try:
        block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        if layout.fallback:
            text = decoded(block.data, layout, block.line)
            return Block(bytearray(text.encode()), block.line), layout.fallback
        line = block.line + block.data.count(b"\n", 0, error.start)
        # Not chained: the decoder's error carries the bytes it stopped at.
        raise Malformed("wrong_encoding", f"line {line}") from None
    return block, "utf-8"


def _parse(
    data: bytes | bytearray,
    header: Header,
    layout: Layout,
    types: dict[str, pa.DataType],
    skipped: Any = None,
) -> pa.Table:
    """Arrow's reading of the columns present, by place. Raises `ArrowInvalid`."""
    return csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(
            use_threads=False,  # the other cores have blocks of their own
            block_size=len(data) + 1,
            column_names=[str(place) for place in range(header.width)],
        ),
        parse_options=csv.ParseOptions(
            delimiter=layout.delimiter,
            newlines_in_values=b'"' in data,
            ignore_empty_lines=False,
            invalid_row_handler=skipped,
        ),
        convert_options=csv.ConvertOptions(
            include_columns=list(types),
            column_types=types,
            strings_can_be_null=True,
            null_values=list(layout.blanks),
        ),
    )


# --- the hot path ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Typed:
    """A block whose every row is good, unless one is repeated."""

    block: Block
    encoding: str
    columns: Columns
    rows: int


@dataclass(slots=True)
class _Mood:
    """Whether the block read last had something wrong in it: the next is likely to have as well.

    A guess, shared by threads without a lock: both readings give the same rows.
    """

    suspicious: bool = False


def _parsed(
    part: Block, header: Header, layout: Layout, reading: Reading, mood: _Mood
) -> _Typed | _Examined:
    """What a block holds, by itself. Raises `Malformed`."""
    block, encoding = _as_utf8(part, layout)
    if layout.fast and not mood.suspicious:
        typed = _typed(block, header, layout, reading, encoding)
        if typed is not None:
            return typed
    examined = _examined(block, header, layout, reading, encoding)
    mood.suspicious = bool(examined.found.bad or examined.found.warned)
    return examined


def _settled(
    read: _Typed | _Examined, header: Header, layout: Layout, reading: Reading, seen: _Seen
) -> Batch:
    """A block's rows, now that what stands before them in the file is known."""
    if isinstance(read, _Examined):
        return _batch(read, layout, reading, seen)
    columns, block = read.columns, read.block
    if layout.unique and not seen.keep_new(columns[layout.unique]):
        examined = _examined(block, header, layout, reading, read.encoding)
        return _batch(examined, layout, reading, seen)
    noted = tuple(_notes(columns, layout, reading, seen, lambda: _lines(block, layout)))
    return Batch(layout.table, _finish(columns, layout, read.rows), read.rows, warned=noted)


def _typed(
    block: Block, header: Header, layout: Layout, reading: Reading, encoding: str
) -> _Typed | None:
    """The block as typed rows, None where anything in it needs a closer look."""
    data = block.data
    if b"\0" in data or b"\r" in data:
        return None
    # Among several columns Arrow finds that an empty line has too few.
    if header.width == 1 and (b"\n\n" in data or data.startswith(b"\n")):
        return None
    types = {
        place: column.kind.fast or _text(column, layout)
        for place, column in _present(header, layout)
    }
    try:
        table = _parse(data, header, layout, types)
    except pa.ArrowInvalid:
        return None
    raw = {n: _one(table.column(str(p))) for n, p in header.places.items() if p >= 0}
    for name, make in layout.supplied.items():
        raw[name] = make(raw, table.num_rows)
    coded = _coded(layout)
    columns: dict[str, pa.Array] = {}
    for column in layout.columns:
        if column.name not in raw:
            columns[column.name] = pa.nulls(table.num_rows, column.kind.type)
            continue
        cells = raw[column.name]
        if column.kind.fast is None:
            cells, broken, formulas = _convert(cells, column, coded=column.name in coded)
            if broken is not None or formulas is not None:
                return None
        if column.blank and cells.null_count:
            return None
        if pa.types.is_floating(cells.type) and not _all_finite(cells):
            return None
        columns[column.name] = cells
    strict = (rule for rule in layout.rules if rule.action != "note")
    if any(pc.any(rule.broken(columns, reading)).as_py() for rule in strict):
        return None
    return _Typed(block, encoding, columns, table.num_rows)


def _present(header: Header, layout: Layout) -> Iterator[tuple[str, Column]]:
    """Columns of ours that the file has, with the names `_parse` gives them."""
    for column in layout.columns:
        if (place := header.places[column.name]) >= 0:
            yield str(place), column


def _text(column: Column, layout: Layout) -> pa.DataType:
    """How the texts of a column are read: few of them distinct, or most."""
    return pa.string() if column.many or column.name == layout.unique else DICTIONARY


def _coded(layout: Layout) -> set[str]:
    """Columns that stay dictionaries to the end."""
    return {field.name for field in layout.schema if pa.types.is_dictionary(field.type)}


def _lines(block: Block, layout: Layout) -> np.ndarray:
    return records(block, layout.delimiter)[2]


def _notes(
    columns: Columns,
    layout: Layout,
    reading: Reading,
    seen: _Seen,
    lines: Callable[[], np.ndarray],
) -> Iterator[Warned]:
    """What is said once of a file, at the first row it is true of."""
    for rule in layout.rules:
        key = (rule.code, rule.column)
        if rule.action == "note" and key not in seen.noted:
            hit = _true(rule.broken(columns, reading))
            if len(hit):
                seen.noted.add(key)
                name = next(c.header[0] for c in layout.columns if c.name == rule.column)
                yield Warned(int(lines()[hit[0]]), rule.code, name)


def _one(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _all_finite(cells: pa.Array) -> bool:
    return bool(pc.all(pc.is_finite(cells)).as_py() is not False)


# What a spreadsheet would run: a free text that starts as a formula does. A number with its sign
# is none.
_FORMULA: Final = r"^(?:[=@]|[+-].*[(|!])"
SIGNS: Final = "=@+-"


def _convert(
    cells: pa.Array, column: Column, *, coded: bool = False
) -> tuple[pa.Array, pa.Array | None, pa.Array | None]:
    """Text cells as the column's kind: values, which do not match it, which are formulas.

    Either of the last two is None where no cell is. Trims. Works on distinct values where the
    cells come as a dictionary, and leaves them one if `coded`.
    """
    distinct = cells.dictionary if pa.types.is_dictionary(cells.type) else cells
    edges = None if column.kind.prepare else _edges(distinct)
    if edges is not None and edges.plain:
        trimmed, sign = distinct, edges.sign
    else:
        trimmed = pc.utf8_trim_whitespace(distinct)
        trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
        if column.kind.prepare:
            trimmed = column.kind.prepare(trimmed)
        sign = column.kind is TEXT and _any_sign(trimmed)
    wrong = formulas = None
    if column.kind is TEXT and sign:
        formulas = pc.match_substring_regex(trimmed, _FORMULA)
        formulas = formulas if pc.any(formulas).as_py() else None
    if column.kind.pattern:
        matches = pc.match_substring_regex(trimmed, column.kind.pattern)
        if pc.any(pc.invert(matches)).as_py():
            wrong = pc.fill_null(pc.invert(matches), fill_value=False)
            trimmed = pc.if_else(matches, trimmed, pa.scalar(None, pa.string()))
    values = column.kind.cast(trimmed)
    if pa.types.is_floating(values.type) and not _all_finite(values):
        endless = pc.fill_null(pc.invert(pc.is_finite(values)), fill_value=False)
        wrong = endless if wrong is None else pc.or_(wrong, endless)
    if not pa.types.is_dictionary(cells.type):
        return values, wrong, formulas
    wrong = None if wrong is None else pc.fill_null(wrong.take(cells.indices), fill_value=False)
    formulas = None if formulas is None else formulas.take(cells.indices)
    if coded and not values.null_count:
        return pa.DictionaryArray.from_arrays(cells.indices, values), wrong, formulas
    return values.take(cells.indices), wrong, formulas


@dataclass(frozen=True, slots=True)
class _Edges:
    """Of some texts: nothing is to be trimmed and none is empty; one starts as a formula may."""

    plain: bool
    sign: bool


_BLANK, _SIGN = 1, 2
_EDGE: Final = np.full(256, _BLANK, np.uint8)
_EDGE[0x21:0x7F] = 0  # all else may be part of a blank: of some, UTF-8 writes several bytes
_EDGE[[ord(sign) for sign in SIGNS]] = _SIGN


def _edges(texts: pa.Array) -> _Edges:
    """Look at the first and the last byte of each text: much cheaper than to trim them."""
    if texts.null_count == len(texts):
        return _Edges(plain=True, sign=False)
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    starts, ends = ends[:-1], ends[1:]
    if texts.null_count:
        there = texts.is_valid().to_numpy(zero_copy_only=False)
        starts, ends = starts[there], ends[there]
    if (starts == ends).any():
        return _Edges(plain=False, sign=False)
    content = np.frombuffer(data, np.uint8)
    first, last = _EDGE[content[starts]], _EDGE[content[ends - 1]]
    return _Edges(plain=not ((first | last) & _BLANK).any(), sign=bool((first & _SIGN).any()))


def _any_sign(texts: pa.Array) -> bool:
    """Whether any text starts with a sign a formula may start with; much cheaper than matching."""
    return any(pc.any(pc.starts_with(texts, pattern=sign)).as_py() for sign in SIGNS)


def _finish(columns: Columns, layout: Layout, rows: int) -> pa.RecordBatch:
    made = layout.finish(columns)
    arrays = []
    for declared in layout.schema:
        cells = made.get(declared.name)
        cells = pa.nulls(rows, declared.type) if cells is None else cells
        arrays.append(cells if cells.type == declared.type else pc.cast(cells, declared.type))
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


# --- the closer look ------------------------------------------------------------------------


@dataclass(slots=True)
class _Findings:
    """What a block's second reading found, by index of record."""

    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    warned: list[tuple[int, str, str]] = field(default_factory=list)
    folded: set[int] = field(default_factory=set)
    subjects: dict[int, str] = field(default_factory=dict)

    def reject(self, indices: np.ndarray, code: str, column: str) -> None:
        for index in indices.tolist():
            self.bad.setdefault(index, (code, column))


@dataclass(frozen=True, slots=True)
class _Examined:
    """A block read as text: `rows` are the indices of the records that have cells."""

    block: Block
    encoding: str
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    rows: np.ndarray
    cells: Columns
    columns: Columns
    found: _Findings
    blank: int
    out_of_scope: int


def _examined(
    block: Block, header: Header, layout: Layout, reading: Reading, encoding: str
) -> _Examined:
    starts, ends, lines, unclosed = records(block, layout.delimiter)
    found = _Findings()
    found.reject(np.asarray(unclosed, np.int64), "unbalanced_quote", "")
    blank = _set_apart(block.data, starts, ends, found)
    whole = np.ones(len(starts), bool)
    whole[list(found.bad)] = False
    whole[blank] = False
    cells, rows = _texts(block.data, starts, ends, np.flatnonzero(whole), header, layout, found)
    out_of_scope = 0
    for inside in _scopes(layout, reading):
        kept = pc.fill_null(inside(cells), fill_value=False)
        out_of_scope += len(rows) - kept.true_count
        cells, rows = {n: c.filter(kept) for n, c in cells.items()}, rows[np.asarray(kept)]
    columns = _check(cells, rows, layout, reading, found)
    return _Examined(
        block, encoding, starts, ends, lines, rows, cells, columns, found, len(blank), out_of_scope
    )


def _scopes(layout: Layout, reading: Reading) -> Iterator[Callable[[Columns], pa.Array]]:
    """What a row must be to be part of the dataset. A code nobody can read is, and is refused."""
    if layout.scope:
        yield layout.scope
    if layout.where and reading.departments:
        known = reading.departments | {""}

        def here(cells: Columns) -> pa.Array:
            codes = cells[layout.where]
            names = codes.dictionary.to_pylist()
            wanted = [department((name or "").strip()) in known for name in names]
            return pc.fill_null(pa.array(wanted, pa.bool_()).take(codes.indices), fill_value=True)

        yield here


def _batch(read: _Examined, layout: Layout, reading: Reading, seen: _Seen) -> Batch:
    block, lines, rows, found = read.block, read.lines, read.rows, read.found
    noted = tuple(_notes(read.columns, layout, reading, seen, lambda: lines[rows]))
    _repeats(read.columns, rows, layout, seen, found)
    patterns = _patterns(read.cells, rows, layout, found)
    gone = np.isin(rows, np.fromiter(found.bad.keys() | found.folded, np.int64))
    kept = pa.array(~gone)
    columns = {name: values.filter(kept) for name, values in read.columns.items()}
    records_kept = int(len(rows) - gone.sum())

    def raw(index: int) -> bytes:
        text = block.data[read.starts[index] : read.ends[index]]
        plain = read.encoding != layout.fallback
        return bytes(text) if plain else text.decode().encode(read.encoding)

    return Batch(
        layout.table,
        _finish(columns, layout, records_kept),
        received=len(read.starts) - read.blank - read.out_of_scope,
        rejected=tuple(
            Rejected(
                int(lines[i]), code, column, found.subjects.get(i), raw(i), patterns.get(i, "")
            )
            for i, (code, column) in sorted(found.bad.items())
        ),
        warned=tuple(
            Warned(int(lines[i]), code, column)
            for i, code, column in sorted(found.warned)
            if i not in found.bad
        )
        + noted,
        skipped=read.out_of_scope,
    )


def _patterns(cells: Columns, rows: np.ndarray, layout: Layout, found: _Findings) -> dict[int, str]:
    """The form of the first cell at fault of each reason and column, by index of record."""
    names = {column.header[0]: column.name for column in layout.columns}
    told: dict[tuple[str, str], int] = {}
    for index, about in sorted(found.bad.items()):
        if about[1]:
            told.setdefault(about, index)
    patterns = {}
    for (_, header), index in told.items():
        place = int(np.searchsorted(rows, index))
        patterns[index] = redacted(cells[names[header]][place].as_py() or "")
    return patterns


def _set_apart(
    data: bytearray, starts: np.ndarray, ends: np.ndarray, found: _Findings
) -> list[int]:
    """Find records that cannot be parsed for their bytes, and the indices of blank ones."""
    for byte, code in ((b"\0", "nul_byte"), (b"\r", "control_character")):
        at = data.find(byte)
        while at >= 0:
            index = int(np.searchsorted(ends, at, side="right"))
            found.bad.setdefault(index, (code, ""))
            at = data.find(byte, int(ends[index]))
    short = np.flatnonzero(ends - starts < 64)  # a longer run of blanks is a row of one column
    return [
        i for i in short.tolist() if not data[starts[i] : ends[i]].strip() and i not in found.bad
    ]


def _texts(
    data: bytes | bytearray,
    starts: np.ndarray,
    ends: np.ndarray,
    wanted: np.ndarray,
    header: Header,
    layout: Layout,
    found: _Findings,
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Every cell as text, and the index of the record of each row."""
    types = {place: _text(column, layout) for place, column in _present(header, layout)}
    if len(wanted) < len(starts):
        data = b"".join(data[starts[i] : ends[i]] for i in wanted.tolist())
    short: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        short.append(row.number - 1)
        return "skip"

    if not len(wanted):
        empty = pa.array([], DICTIONARY)
        return {column.name: empty for column in layout.columns}, wanted
    table = _parse(data, header, layout, types, skip)
    found.reject(wanted[short], "wrong_column_count", "")
    rows = np.delete(wanted, short)
    nothing = pa.nulls(len(rows), pa.string()).dictionary_encode()
    cells = {
        name: _one(table.column(str(place))) if place >= 0 else nothing
        for name, place in header.places.items()
    }
    for name, make in layout.supplied.items():
        cells[name] = make(cells, len(rows))
    return cells, rows


def _check(
    cells: dict[str, pa.Array],
    rows: np.ndarray,
    layout: Layout,
    reading: Reading,
    found: _Findings,
) -> dict[str, pa.Array]:
    """Type every column and try every rule; a row is named for the first thing wrong in it."""
    coded = _coded(layout)
    columns: dict[str, pa.Array] = {}
    for column in layout.columns:
        cells_here, is_coded = cells[column.name], column.name in coded
        values, wrong, formulas = _convert(cells_here, column, coded=is_coded)
        if formulas is not None:
            hits = rows[_true(formulas)].tolist()
            found.warned.extend((index, "formula_cell", column.header[0]) for index in hits)
        if wrong is not None:
            found.reject(rows[_true(wrong)], column.kind.code, column.header[0])
        if column.blank:
            found.reject(rows[_true(values.is_null())], column.blank, column.header[0])
        columns[column.name] = values
    published = {column.name: column.header[0] for column in layout.columns}
    for rule in layout.rules:
        if rule.action == "note":
            continue
        hit = rows[_true(rule.broken(columns, reading))]
        name = published[rule.column]
        if rule.action == "reject":
            found.reject(hit, rule.code, name)
            continue
        found.warned.extend((int(index), rule.code, name) for index in hit)
        if rule.action == "fold":
            found.folded.update(hit.tolist())
    if layout.subject:
        subjects = columns[layout.subject]
        for place in np.flatnonzero(np.isin(rows, list(found.bad))).tolist():
            if (subject := subjects[place].as_py()) is not None:
                found.subjects[int(rows[place])] = subject
    return columns


def _true(mask: pa.Array) -> np.ndarray:
    filled = pc.fill_null(mask, fill_value=False)
    return np.flatnonzero(filled.to_numpy(zero_copy_only=False))


def _repeats(
    columns: Columns, rows: np.ndarray, layout: Layout, seen: _Seen, found: _Findings
) -> None:
    """A value that may stand once: the first row that is otherwise good has it."""
    if not layout.unique or not len(rows):
        return
    standing = ~np.isin(rows, np.fromiter(found.bad.keys() | found.folded, np.int64))
    values = columns[layout.unique].filter(pa.array(standing))
    if seen.keep_new(values):
        return
    hashes = seen.hashes(values)
    again = seen.repeated(hashes)
    seen.keep(hashes[~again])
    hit = rows[standing][again]
    column = next(c.header[0] for c in layout.columns if c.name == layout.unique)
    if layout.on_repeat == "reject":
        found.reject(hit, "duplicate_row", column)
        places = np.flatnonzero(standing)[again]
        if layout.subject:
            for place in places.tolist():
                found.subjects[int(rows[place])] = columns[layout.subject][place].as_py()
        return
    found.folded.update(hit.tolist())
    found.warned.extend((int(index), "duplicate_row", column) for index in hit)

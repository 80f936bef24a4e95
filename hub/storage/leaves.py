"""Leaves: a large bucket cut by further leading bits of the pseudonym, so that few rows move.

A push appends one file a bucket: quick, and *loose*, anyone of the bucket may be in it. Gathering
cuts the rows of a bucket into leaves of about `Layout.rows` rows, a file each, sorted by pseudonym:
a person's rows of a period are then in one small file, beside some dozens of other people's. A
leaf's file name tells which leading 16 bits it may hold; like the bucket's folder this names a
group and never a person, and bounds are those of the cut, not of the values.

Leaves that a rewrite touches come back together, in *wide* files that span several of them: a
thousand people leave a table with some dozens of new files, not a thousand. The next gathering cuts
those again, as the next rewrite would move all their rows for anyone in one of them.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hub.storage.durable import sync_all_up, sync_file
from hub.storage.parquet import Options, Written, described
from hub.storage.rows import PSEUDONYM

T = TypeVar("T")
U = TypeVar("U")

BITS: Final = 16
"""Bits of the pseudonym a name may tell: the bucket's 4 and up to 12 more."""
BUCKET_BITS: Final = 4
_NAMED: Final = re.compile(r"[0-9a-f]{32}-([0-9a-f]{4})-([0-9a-f]{4})\.parquet")
_TOGETHER: Final = 32
"""Leaves a rewrite puts into one file at most."""
_WORKING: Final = pa.cpu_count() + 1
"""Threads that read, thin and write, of which one may wait for the disk: more take the memory and
the interpreter from each other, and a batch then takes half as long again."""
WAITING: Final = 8
"""Threads that only wait for the disk."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a personal table is cut: rows a leaf, and loose rows a bucket may hold before it is."""

    rows: int = 1_024
    loose: int = 65_536


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The leading 16 bits a file's pseudonyms have, both bounds included."""

    low: int
    high: int

    def holds(self, sought: Sequence[int]) -> bool:
        """Whether any of these prefixes, ascending, falls into the span."""
        return bisect_left(sought, self.low) < bisect_right(sought, self.high)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to be written: where, as what, and how. They lack the partition columns, as files do."""

    folder: str
    span: Span
    rows: pa.Table
    options: Options


def span_of(path: str) -> Span | None:
    """The span a file's name tells; None for a loose file."""
    named = _NAMED.fullmatch(path.rpartition("/")[2])
    return Span(int(named[1], 16), int(named[2], 16)) if named else None


def prefixes(pseudonyms: pa.Array) -> list[int]:
    """The leading 16 bits of pseudonyms, ascending."""
    return sorted(_leading(pseudonyms).tolist())


def _leading(pseudonyms: pa.Array) -> NDArray[np.uint16]:
    fixed = pseudonyms.cast(pa.binary(16))
    whole = np.frombuffer(fixed.buffers()[1] or b"", ">u2").reshape(-1, 8)
    return whole[fixed.offset : fixed.offset + len(fixed), 0].astype(np.uint16)


def cut(rows: pa.Table, of: int, layout: Layout) -> Iterator[tuple[Span, pa.Table]]:
    """Cut rows of one bucket, which has `of` rows, into leaves, each sorted by pseudonym."""
    rows = rows.combine_chunks().sort_by(PSEUDONYM)
    width = _width(of, layout)
    leaves = _leading(rows.column(PSEUDONYM).combine_chunks()) >> width
    starts = [0, *(np.flatnonzero(np.diff(leaves)) + 1).tolist(), rows.num_rows]
    for start, end in pairwise(starts):
        low = int(leaves[start]) << width
        yield Span(low, low + (1 << width) - 1), rows.slice(start, end - start)


def is_leaf(path: str, rows: int, layout: Layout) -> bool:
    """Whether a file is about as narrow as a leaf of a bucket of so many rows is today."""
    span = span_of(path)
    return span is not None and span.high - span.low < 4 << _width(rows, layout)


def _width(rows: int, layout: Layout) -> int:
    """Bits, of the 16 a name may tell, that a leaf of such a bucket leaves open."""
    wanted = max(rows // layout.rows, 1).bit_length() - 1
    return BITS - BUCKET_BITS - min(wanted, BITS - BUCKET_BITS)


def groups(leaves: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a bucket's leaves, in order, into groups whose rest is one file."""
    for start in range(0, len(leaves), _TOGETHER):
        yield leaves[start : start + _TOGETHER]


def spanning(spans: Sequence[Span]) -> Span:
    """The span of a file that holds what is left of some leaves of a bucket."""
    return Span(min(span.low for span in spans), max(span.high for span in spans))


def write_spans(root: Path, work: Sequence[T], part: Callable[[T], Part | None]) -> list[Written]:
    """Write a file for each piece of work under `root`, synced. Whatever fails, none stays.

    `part` is asked on several threads, so that no more rows are in memory than are being written.
    None is no file.
    """
    mark, whole = secrets.token_hex(16), False

    def one(piece: T) -> Written | None:
        given = part(piece)
        if given is None:
            return None
        name = f"{mark}-{given.span.low:04x}-{given.span.high:04x}.parquet"
        path = root / given.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(given.rows, path, **given.options)
        return described(root, path, given.rows.num_rows)

    try:
        written = [file for file in spread(one, work) if file is not None]
        spread(lambda file: sync_file(root / file.path), written, WAITING)
        sync_all_up({(root / file.path).parent for file in written}, root)
        whole = True
    finally:
        if not whole:
            for path in root.rglob(f"{mark}-*"):
                path.unlink()
    return written


def spread(work: Callable[[T], U], items: Sequence[T], threads: int = _WORKING) -> list[U]:
    """Do a piece of work for each item, several at a time, in order."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), "leaves") as pool:
        return list(pool.map(work, items))

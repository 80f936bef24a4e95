"""The byte scan: does anything under a folder still hold these bytes, in any form?

Looks at every file raw, and decodes what compresses or encodes: Parquet (checkpoints too), SQLite
with its write-ahead log, gzip, zip. What is sealed, a file or a cell of a table, is opened when
the means are given; it stays closed only where it was sealed for somebody else (back-ups, proofs
of ended consents), and what is damaged raises. A needle is sought raw, as hex in both cases, as
base64 and base64url at each alignment, and, where it is text that is not ASCII, escaped as JSON
and addresses do.

A scan that cannot find proves nothing: use it before and after.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import sqlite3
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub.errors import Unavailable

Unseal = Callable[[bytes], bytes]
Part = tuple[str, bytes]
"""A part of a file, as a place says it, and what is there."""
SHORTEST = 6
SEALED = (b"age-encryption.org/", b"sealed-one/1\n")
"""How what is sealed begins."""


def find(root: Path, needles: Sequence[bytes], unseal: Unseal | None = None) -> list[str]:
    """Places that hold a needle, as "path (part): form of needle N"; the needle is not quoted."""
    wanted = [
        (number, form, content)
        for number, needle in enumerate(needles)
        for form, content in forms(needle).items()
    ]
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        parts = [("name", name.encode())]
        if path.is_file():
            parts += [("raw", path.read_bytes()), *_decoded(path, unseal)]
        for part, content in parts:
            found += [
                f"{name} ({part}): {form} of needle {number}"
                for number, form, sought in wanted
                if sought in content
            ]
    return found


def forms(needle: bytes) -> dict[str, bytes]:
    """Every way of writing a needle that is sought."""
    assert len(needle) >= SHORTEST, "a shorter needle is found by chance"
    made = {"raw": needle, "hex": needle.hex().encode(), "HEX": needle.hex().upper().encode()}
    for offset in range(3):
        # Only the characters that the bytes around the needle cannot change.
        start, end = -(-offset * 8 // 6), (offset + len(needle)) * 8 // 6
        padded = bytes(offset) + needle
        made[f"base64+{offset}"] = base64.b64encode(padded)[start:end]
        made[f"base64url+{offset}"] = base64.urlsafe_b64encode(padded)[start:end]
    try:
        text = needle.decode()
    except UnicodeDecodeError:
        return made
    escaped = {
        "json": json.dumps(text)[1:-1].encode(),
        "address": urllib.parse.quote(text).encode(),
    }
    return made | {form: content for form, content in escaped.items() if content != needle}


def _decoded(path: Path, unseal: Unseal | None) -> Iterator[Part]:
    with path.open("rb") as file:
        if file.read(16) == b"SQLite format 3\0":
            yield from _sqlite(path, unseal)
            return
    yield from _unpacked(path.name, path.read_bytes(), unseal)


def _unpacked(name: str, content: bytes, unseal: Unseal | None) -> Iterator[Part]:
    """What is inside a file's content, and inside that."""
    if content[:4] == b"PAR1":
        yield from _parquet(content, unseal)
    elif content[:2] == b"\x1f\x8b":
        yield from _inside("gzip", _gunzip(content), unseal)
    elif content[:4] == b"PK\3\4" and zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from _inside(f"zip {member}", archive.read(member), unseal)
    elif content.startswith(SEALED) and unseal is not None:
        yield from _inside("unsealed", _unsealed(content, unseal), unseal)


def _inside(part: str, content: bytes, unseal: Unseal | None) -> Iterator[Part]:
    yield part, content
    for deeper, inner in _unpacked(part, content, unseal):
        yield f"{part}, {deeper}", inner


def _unsealed(content: bytes, unseal: Unseal) -> bytes:
    try:
        return unseal(content)
    except Unavailable as error:
        if str(error.__cause__) == "identity":  # as `hub.storage.age` says that no stanza is ours
            return b""
        raise


def _cells(part: str, values: Iterable[object], unseal: Unseal | None) -> Iterator[Part]:
    """The cells of a table's column or columns, and what is inside them."""
    cells = [value if isinstance(value, bytes) else str(value).encode() for value in values]
    yield part, b"\n".join(cells)
    for cell in cells:
        for deeper, inner in _unpacked(part, cell, unseal):
            yield f"{part}, {deeper}", inner


def _gunzip(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return b""  # not gzip after all; it was searched raw


def _parquet(content: bytes, unseal: Unseal | None) -> Iterator[Part]:
    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowInvalid:
        return  # half written: without a footer its pages can only be searched raw
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks:
            for leaf in _leaves(chunk):
                yield from _cells(f"column {name}", _distinct(leaf), unseal)


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    type_ = array.type
    if pa.types.is_dictionary(type_):
        yield from _leaves(array.dictionary_decode())
    elif pa.types.is_struct(type_):
        for child in array.flatten():
            yield from _leaves(child)
    elif pa.types.is_map(type_):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_nested(type_):
        yield from _leaves(array.flatten())
    else:
        yield array


def _distinct(leaf: pa.Array) -> list[bytes]:
    if not pa.types.is_binary(leaf.type) and not pa.types.is_large_binary(leaf.type):
        leaf = leaf.cast(pa.string())
    cells: list[bytes] = pc.unique(leaf).drop_null().cast(pa.binary()).to_pylist()
    return cells


def _sqlite(path: Path, unseal: Unseal | None) -> Iterator[Part]:
    """All rows, as a reader with the write-ahead log would see them; pages are searched raw."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copy(source, Path(folder) / f"copy{suffix}")
        with closing(sqlite3.connect(Path(folder) / "copy")) as database:
            database.text_factory = bytes
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in tables.fetchall():
                quoted = name.decode().replace('"', '""')
                rows = database.execute(f'SELECT * FROM "{quoted}"').fetchall()
                values = (value for row in rows for value in row)
                yield from _cells(f"table {name.decode()}", values, unseal)

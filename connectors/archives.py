"""Compressed files, opened without trusting what they say of themselves.

`plain` gives the bytes of a file that may be gzip; `unpacked` a folder with the wanted members of a
zip. Limits are checked before anything is expanded and again while it is, since the sizes a zip
declares are its author's words. Both raise `Malformed` and nothing else.
"""

from __future__ import annotations

import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, Protocol, cast

from connectors.contract import Malformed, Reading

CHUNK: Final = 1 << 20
SLACK: Final = 16 << 20
"""Bytes that may come out before the ratio is looked at: small files compress absurdly well."""
MAX_MEMBERS: Final = 200
GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK\x03\x04"


class Source(Protocol):
    """Bytes read forward: at most `size` of them, none at the end."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, `b""` only at the end. May raise `Malformed`."""
        ...


class _Rejoined:
    """A stream whose first bytes were looked at and put back; reads are full but the last."""

    def __init__(self, head: bytes, file: Source) -> None:
        self._head, self._file = head, file

    def read(self, size: int, /) -> bytes:
        parts = [self._head[:size]] if self._head else []
        self._head = self._head[size:]
        missing = size - sum(map(len, parts))
        while missing > 0 and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)  # one part is not copied


class _Gunzipped:
    """A gzip stream, several members allowed, expanded under the limits of `reading`."""

    def __init__(self, file: Source, reading: Reading) -> None:
        self._file, self._reading = file, reading
        self._inflater = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._consumed = self._produced = 0

    def read(self, size: int, /) -> bytes:
        while True:
            if not self._pending:
                self._pending = self._file.read(CHUNK)
                self._consumed += len(self._pending)
            ended = not self._pending
            if self._inflater.eof:
                self._pending = self._pending.lstrip(b"\0")  # padding, as tape blocks have it
                if ended:
                    return b""
                if not self._pending:
                    continue
                self._inflater = zlib.decompressobj(wbits=31)
            part = self._inflate(size)
            if part:
                return part
            if ended and not self._inflater.eof:
                raise Malformed("truncated")

    def _inflate(self, size: int) -> bytes:
        # Called with nothing pending too: zlib may hold output back when `size` was reached.
        try:
            part = self._inflater.decompress(self._pending, size)
        except zlib.error as error:
            raise Malformed("corrupt_archive") from error
        finished = self._inflater.eof
        self._pending = self._inflater.unused_data if finished else self._inflater.unconsumed_tail
        self._produced += len(part)
        _check_expansion(self._consumed, self._produced, self._reading)
        return part


def _check_expansion(packed: int, expanded: int, reading: Reading, where: str = "") -> None:
    too_many_times = expanded > SLACK and expanded > packed * reading.max_expansion_ratio
    if expanded > reading.max_expanded_bytes or too_many_times:
        raise Malformed("expands_too_much", where)


def peeked(file: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes of a file, and the whole of it, for a dataset that also comes as a zip."""
    head = _Rejoined(b"", file).read(len(ZIP))
    return head, cast("BinaryIO", _Rejoined(head, file))


def plain(file: BinaryIO, reading: Reading) -> Source:
    """The bytes of a text file, decompressed as they are read where it is gzip.

    Raises `Malformed`: `empty_file`, `wrong_format` for a zip; later `truncated`,
    `corrupt_archive` and `expands_too_much` while reading.
    """
    head = _Rejoined(b"", file).read(len(ZIP))
    if not head:
        raise Malformed("empty_file")
    if head.startswith(ZIP):
        raise Malformed("wrong_format")
    whole = _Rejoined(head, file)
    return _Rejoined(b"", _Gunzipped(whole, reading)) if head.startswith(GZIP) else whole


def looked_at(file: BinaryIO, reading: Reading, size: int = 4096) -> tuple[bytes, Source]:
    """The first bytes of a text file and the whole of it, for a dataset of several formats.

    Raises `Malformed` as `plain` does.
    """
    source = plain(file, reading)
    head = _Rejoined(b"", source).read(size)
    return head, _Rejoined(head, source)


@contextmanager
def unpacked(
    file: BinaryIO, reading: Reading, wanted: Collection[str] | re.Pattern[str]
) -> Iterator[Path]:
    """A temporary folder with the wanted members of a zip, gone when the context ends.

    `wanted` are file names, or the form of one, of plain letters; a member may stand in a folder of
    the archive. Every member is checked, only the wanted ones are expanded, each under its own
    plain name.
    Raises `Malformed`: `empty_file`, `wrong_format`, `truncated`, `corrupt_archive`,
    `unsafe_archive`, `expands_too_much`, `duplicate_table`.
    """
    with tempfile.TemporaryDirectory(prefix="hub-zip-") as folder:
        packed = Path(folder) / "archive"
        size = _spool(file, packed, reading)
        target = Path(folder) / "members"
        target.mkdir()
        try:
            with zipfile.ZipFile(packed) as archive:
                for name, member in _check_members(archive, size, reading, wanted).items():
                    with archive.open(member) as source, (target / name).open("wb") as sink:
                        _expand(source, sink, member, reading)
        except zipfile.BadZipFile as error:
            raise Malformed("truncated" if _headless(packed) else "corrupt_archive") from error
        except EOFError as error:
            raise Malformed("truncated") from error
        except (zlib.error, NotImplementedError, RuntimeError, OSError, ValueError) as error:
            # zipfile answers a damaged structure with any of these, by its place.
            raise Malformed("corrupt_archive") from error
        yield target


def _spool(file: BinaryIO, path: Path, reading: Reading) -> int:
    size = 0
    with path.open("wb") as sink:
        while chunk := file.read(CHUNK):
            if not size and not chunk.startswith(ZIP[: len(chunk)]):
                raise Malformed("wrong_format")
            size += sink.write(chunk)
            if size > reading.max_expanded_bytes:
                raise Malformed("expands_too_much")
    if not size:
        raise Malformed("empty_file")
    return size


def _headless(path: Path) -> bool:
    """Whether the zip's directory, which stands at its end, is missing: the file was cut."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 66_000))
        return b"PK\x05\x06" not in file.read()


def _check_members(
    archive: zipfile.ZipFile,
    packed: int,
    reading: Reading,
    wanted: Collection[str] | re.Pattern[str],
) -> dict[str, zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise Malformed("expands_too_much")
    found: dict[str, zipfile.ZipInfo] = {}
    for number, member in enumerate(members, start=1):
        where = f"member {number}"
        path = PurePosixPath(member.filename.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or ":" in member.filename
        if outside or member.flag_bits & 0x1 or stat.S_ISLNK(member.external_attr >> 16):
            raise Malformed("unsafe_archive", where)
        if isinstance(wanted, re.Pattern):
            is_wanted = wanted.fullmatch(path.name) is not None
        else:
            is_wanted = path.name in wanted
        if member.is_dir() or not is_wanted:
            continue
        if path.name in found:
            raise Malformed("duplicate_table", path.name)
        found[path.name] = member
    _check_expansion(packed, sum(member.file_size for member in members), reading)
    return found


def _expand(source: IO[bytes], sink: IO[bytes], member: zipfile.ZipInfo, reading: Reading) -> None:
    written = line = 0
    while chunk := source.read(CHUNK):
        written += sink.write(chunk)
        _check_expansion(member.compress_size, written, reading)
        last = chunk.rfind(b"\n")
        line = line + len(chunk) if last < 0 else len(chunk) - last
        if line > reading.max_record_bytes:
            raise Malformed("line_too_long", PurePosixPath(member.filename).name)

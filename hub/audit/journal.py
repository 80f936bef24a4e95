"""The hub's own copy of the log: one trip to the disk for each batch.

A folder as in `store`, and beside its files a journal into which every change goes first:

1. a change is appended to the journal; one that replaces the checkpoint is put on disk there,
   with everything before it, and only that (`fdatasync` of a file whose blocks exist already);
2. the change is then made in the folder, for readers, and left to the operating system to store;
   the journal notes how far the folder has come;
3. where the journal is full, the files it names are put on disk and it begins anew (`settle`);
4. whoever reads the checkpoint first does what a killed writer left undone in the folder. Only
   where the machine has started since (a power cut) is all since the last settling done again:
   else a file that was tampered with would be mended unseen.

Each record holds a hash over itself, its place and the journal's present generation, so that a
torn last record, or one of an earlier generation, is no record. Records count up to the first
that does not hold. A lock on the file keeps writers and those who mend from each other.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from hub.audit.store import FolderStore, known_name, storage_fails
from hub.audit.tiles import CHECKPOINT, KEYS

JOURNAL: Final = ".journal"
LIMIT: Final = 1 << 20
"""Bytes after which the journal is settled: bounds what a start has to make good."""

MAGIC: Final = b"hub/log-journal/v1\n"
GENERATION_BYTES: Final = 16
BOOT_BYTES: Final = 16
CHECK_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + GENERATION_BYTES + BOOT_BYTES + CHECK_BYTES
DONE_AT: Final = 120
"""Where the journal notes how far the folder has come: eight bytes, big-endian."""
START: Final = 128
"""Where the records begin."""
RECORD_BYTES: Final = GENERATION_BYTES + 4 + CHECK_BYTES
"""Before a record's content: the generation, the content's length, the hash."""

Change = tuple[str, bytes | None]
"""A file's name and its bytes, None where it goes."""
_changes: Final = msgspec.msgpack.Decoder(list[Change])


class JournaledStore(FolderStore):
    """A log's folder, written through a journal. Safe for threads and processes of one machine.

    A write that holds the checkpoint is durable when it returns, and so is every one before it;
    others need not be: nothing points at them yet.
    """

    def __init__(self, root: Path, limit: int = LIMIT, boot: bytes | None = None) -> None:
        """`boot` names the machine's present run: what another run left may not be on disk."""
        super().__init__(root)
        self._limit = limit
        self._boot = boot or _present_boot()
        self._generation = b""
        self._end = START
        """Up to where the folder is known to have what the journal has."""
        self._loose: int | None = None
        """Where our records begin that may not be on disk yet, None where all are."""
        self._turn = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """See `TileStore`. The checkpoint and the keys are read as the journal has them."""
        if name in {CHECKPOINT, KEYS} and (self.root / JOURNAL).exists():
            with self._journal() as handle:
                self._make_good(handle)
        return super().read(name)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See the class. A failure may leave the change in the journal: it is made good later."""
        self._change([(known_name(name), bytes(data)) for name, data in files.items()])

    def drop(self, name: str) -> None:
        """See `TileStore`."""
        self._change([(known_name(name), None)])

    def settle(self) -> None:
        """Put the folder itself on disk, and begin the journal anew."""
        with self._journal() as handle:
            self._make_good(handle)
            self._settle(handle)

    def _change(self, changes: Sequence[Change]) -> None:
        content = msgspec.msgpack.encode(changes)
        with self._journal() as handle:
            self._make_good(handle)
            if self._end + RECORD_BYTES + len(content) > self._limit and self._end > START:
                self._settle(handle)
            at = self._end
            if self._loose is None:
                self._loose = at
            os.pwrite(handle, self._record(at, content), at)
            if any(name == CHECKPOINT for name, _ in changes):
                self._sync_journal(handle)
            self._apply(changes)
            self._done(handle, at + RECORD_BYTES + len(content))

    def _sync_journal(self, handle: int) -> None:
        try:
            os.fdatasync(handle)
        except OSError:
            # What could not be stored may be forgotten by the cache as well: it must not stand
            # before later records, which it would take with it.
            assert self._loose is not None
            with suppress(OSError):
                os.pwrite(handle, bytes(RECORD_BYTES), self._loose)
                self._done(handle, self._loose)
            raise
        self._loose = None

    def _done(self, handle: int, end: int) -> None:
        os.pwrite(handle, end.to_bytes(8, "big"), DONE_AT)
        self._end = end

    @contextmanager
    def _journal(self) -> Iterator[int]:
        """The journal, locked; made where there is none. Disk errors become `Unavailable`."""
        path = self.root / JOURNAL
        with self._turn, storage_fails():
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_size < START:
                    # Blocks that exist already: storing them later moves nothing but bytes.
                    os.pwrite(handle, bytes(self._limit), 0)
                    self._begin(handle)
                    self._sync([self.root, self.root.parent])
                yield handle
            finally:
                os.close(handle)

    def _begin(self, handle: int) -> None:
        generation = secrets.token_bytes(GENERATION_BYTES)
        head = _header(generation, self._boot).ljust(DONE_AT, b"\0") + START.to_bytes(8, "big")
        os.pwrite(handle, head, 0)
        os.fsync(handle)
        self._generation, self._end, self._loose = generation, START, None

    def _make_good(self, handle: int) -> None:
        """Do in the folder what the journal has and nobody has done."""
        head = os.pread(handle, START, 0)
        generation = head[len(MAGIC) :][:GENERATION_BYTES]
        boot = head[len(MAGIC) + GENERATION_BYTES :][:BOOT_BYTES]
        if head[:HEADER_BYTES] != _header(generation, boot):
            self._begin(handle)  # torn while it began anew: all was in place by then
            return
        restarted = boot != self._boot
        end = START if restarted else int.from_bytes(head[DONE_AT:], "big")
        if (generation, end) != (self._generation, self._end):  # another wrote since
            self._generation, self._end, self._loose = generation, end, None
        changes, end = self._records(handle, self._end)
        if changes:
            self._apply(changes.items())
            self._done(handle, end)
        if restarted:
            self._settle(handle)

    def _records(self, handle: int, at: int) -> tuple[dict[str, bytes | None], int]:
        """The last change of each file from `at` on, in order, and where the records end."""
        changes: dict[str, bytes | None] = {}
        while True:
            head = os.pread(handle, RECORD_BYTES, at)
            length = int.from_bytes(head[GENERATION_BYTES : GENERATION_BYTES + 4], "big")
            if head[:GENERATION_BYTES] != self._generation:
                return changes, at
            content = os.pread(handle, length, at + RECORD_BYTES)
            if head + content != self._record(at, content):
                return changes, at
            for name, data in _changes.decode(content):
                changes.pop(name, None)  # so that a checkpoint comes after its tiles
                changes[known_name(name)] = data
            at += RECORD_BYTES + length

    def _record(self, at: int, content: bytes) -> bytes:
        head = self._generation + len(content).to_bytes(4, "big")
        check = sha256(head + at.to_bytes(8, "big") + content).digest()[:CHECK_BYTES]
        return head + check + content

    def _apply(self, changes: Iterable[Change]) -> None:
        for name, data in changes:
            if data is None:
                super().drop(name)
            else:
                self._put(self.root / name, data)

    def _put(self, target: Path, data: bytes) -> None:
        # In place: no reader knows of a tile before its checkpoint, and who reads that one waits
        # for the lock. To write beside and rename would cost as much as the journal's own trip.
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if os.fstat(handle).st_size > len(data):
                os.ftruncate(handle, len(data))

    def _settle(self, handle: int) -> None:
        names, _ = self._records(handle, START)
        present = [path for name in names if (path := self.root / name).exists()]
        folders = {folder for path in present for folder in path.relative_to(self.root).parents}
        self._sync([*present, *(self.root / folder for folder in folders)])
        self._begin(handle)


def _header(generation: bytes, boot: bytes) -> bytes:
    head = MAGIC + generation + boot
    return head + sha256(head).digest()[:CHECK_BYTES]


def _present_boot() -> bytes:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return secrets.token_bytes(BOOT_BYTES)  # not known: everything is done again
    return bytes.fromhex(text.strip().replace("-", ""))

"""The hub's own copy of the log: one trip to the disk for each batch.

A folder as in `store`, and beside its files a journal into which every change goes first:

1. a change is appended to the journal; one that replaces the checkpoint is put on disk there,
   with everything before it, and only that (`fdatasync` of a file whose blocks exist already);
2. the change is then made in the folder, for readers, and left to the operating system to store;
   the journal notes how far the folder has come. A log that takes many batches in one turn has
   this done once for all of them (`catch_up`): a partial tile that grew before anybody could see
   its checkpoint is then never a file;
3. where the journal is full, the files it names are put on disk and it begins anew (`settle`);
4. whoever reads the checkpoint first does what a killed writer left undone in the folder. Only
   where the machine has started since (a power cut) is all since the last settling done again:
   else a file that was tampered with would be mended unseen.

Each record holds a hash over itself, its place and the journal's present generation, so that a
torn last record, or one of an earlier generation, is no record. Records count up to the first
that does not hold. A lock on the file keeps writers and those who mend from each other; under it
the checkpoint is compared and replaced (`advance`), so that a writer who was suspended, and
overtaken, changes nothing when he comes back.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from hub.audit.store import FolderStore, known_name, lock, storage_fails, turn
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
        """Up to where we know the journal."""
        self._made = START
        """Up to where the folder is known to have what the journal has."""
        self._waiting: dict[str, bytes | None] = {}
        """The changes between these two, the last of each file, in order."""
        self._loose: int | None = None
        """Where our records begin that may not be on disk yet, None where all are."""
        self._turn = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """See `TileStore`. The checkpoint and the keys are read as the journal has them."""
        if self._waiting or (name in {CHECKPOINT, KEYS} and (self.root / JOURNAL).exists()):
            self.catch_up()
        return super().read(name)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `TileStore`."""
        if self._waiting:
            self.catch_up()
        return super().names(prefix)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See the class. A failure may leave the change in the journal: it is made good later."""
        self._change([(known_name(name), bytes(data)) for name, data in files.items()])

    def drop(self, name: str) -> None:
        """See `TileStore`."""
        self._change([(known_name(name), None)])

    def advance(
        self,
        files: Mapping[str, bytes],
        note: bytes,
        over: bytes | None,
        gone: Iterable[str] = (),
        outgrown: Iterable[str] = (),
    ) -> bool:
        """See `LogStore`. All of it is one record: it is there, or nothing of it is."""
        changes: list[Change] = [(known_name(name), data) for name, data in files.items()]
        changes.append((CHECKPOINT, note))
        changes += [(known_name(name), None) for name in gone]
        with self._journal() as handle:
            self._look(handle)
            if self._checkpoint() != over:
                return False
            self._append(handle, changes)
            for name in outgrown:
                # Waiting still, so never seen. Who starts after a power cut makes it all the
                # same: that one cannot know.
                self._waiting.pop(known_name(name), None)
        return True

    def announce(self, keys: bytes, over: bytes | None, under: bytes | None) -> bool:
        """See `LogStore`."""
        with self._journal() as handle:
            self._look(handle)
            self._make_good(handle)
            if (super().read(KEYS), super().read(CHECKPOINT)) != (over, under):
                return False
            self._append(handle, [(KEYS, keys)])
            self._make_good(handle)
        return True

    def catch_up(self) -> None:
        """Make in the folder the changes that are in the journal only, whoever's they are."""
        with self._journal() as handle:
            self._look(handle)
            self._make_good(handle)

    def settle(self) -> None:
        """Put the folder itself on disk, and begin the journal anew."""
        with self._journal() as handle:
            self._look(handle)
            self._settle(handle)

    def _change(self, changes: Sequence[Change]) -> None:
        with self._journal() as handle:
            self._look(handle)
            self._append(handle, changes)
            self._make_good(handle)

    def _checkpoint(self) -> bytes | None:
        if CHECKPOINT in self._waiting:
            return self._waiting[CHECKPOINT]
        return super().read(CHECKPOINT)

    def _append(self, handle: int, changes: Sequence[Change]) -> None:
        """Write a record, on disk where it holds the checkpoint."""
        content = msgspec.msgpack.encode(changes)
        if self._end + RECORD_BYTES + len(content) > self._limit and self._end > START:
            self._settle(handle)
        at = self._end
        if self._loose is None:
            self._loose = at
        os.pwrite(handle, self._record(at, content), at)
        if any(name == CHECKPOINT for name, _ in changes):
            self._sync_journal(handle)
        self._take(changes, at + RECORD_BYTES + len(content))

    def _take(self, changes: Iterable[Change], end: int) -> None:
        for name, data in changes:
            self._waiting.pop(name, None)  # so that a checkpoint comes after its tiles
            self._waiting[name] = data
        self._end = end

    def _sync_journal(self, handle: int) -> None:
        try:
            os.fdatasync(handle)
        except OSError:
            # What could not be stored may be forgotten by the cache as well: it must not stand
            # before later records, which it would take with it.
            assert self._loose is not None
            self._end = self._loose
            with suppress(OSError):
                os.pwrite(handle, bytes(RECORD_BYTES), self._loose)
                if self._made > self._loose:
                    self._note_made(handle, self._loose)
            raise
        self._loose = None

    def _note_made(self, handle: int, upto: int) -> None:
        os.pwrite(handle, upto.to_bytes(8, "big"), DONE_AT)
        self._made = upto

    @contextmanager
    def _journal(self) -> Iterator[int]:
        """The journal, locked; made where there is none. Disk errors become `Unavailable`."""
        with turn(self._turn), storage_fails():
            handle = _opened(f"{self.root}/{JOURNAL}", os.O_RDWR, 0o600)
            try:
                lock(handle)
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
        self._forget(generation, START)

    def _forget(self, generation: bytes, made: int) -> None:
        """Know nothing of the journal but up to where the folder has it."""
        self._generation, self._end, self._made = generation, made, made
        self._waiting, self._loose = {}, None

    def _look(self, handle: int) -> None:
        """See what others did since: what is in the journal and not in the folder is waiting."""
        head = os.pread(handle, START, 0)
        generation = head[len(MAGIC) :][:GENERATION_BYTES]
        boot = head[len(MAGIC) + GENERATION_BYTES :][:BOOT_BYTES]
        if head[:HEADER_BYTES] != _header(generation, boot):
            self._begin(handle)  # torn while it began anew: all was in place by then
            return
        restarted = boot != self._boot
        made = START if restarted else int.from_bytes(head[DONE_AT:], "big")
        # Another may have made a part of what waits here in the folder: the rest still waits.
        known = made == self._made or self._made < made < self._end
        if generation != self._generation or not known:
            self._forget(generation, made)
        self._made = made
        for changes, end in self._records(handle, self._end):
            self._take(changes, end)
            self._loose = None
        if restarted:
            self._settle(handle)

    def _records(self, handle: int, at: int) -> Iterator[tuple[list[Change], int]]:
        """The records from `at` on: what each changes, and where it ends."""
        while True:
            head = os.pread(handle, RECORD_BYTES, at)
            length = int.from_bytes(head[GENERATION_BYTES : GENERATION_BYTES + 4], "big")
            if head[:GENERATION_BYTES] != self._generation:
                return
            content = os.pread(handle, length, at + RECORD_BYTES)
            if head + content != self._record(at, content):
                return
            at += RECORD_BYTES + length
            yield [(known_name(name), data) for name, data in _changes.decode(content)], at

    def _record(self, at: int, content: bytes) -> bytes:
        head = self._generation + len(content).to_bytes(4, "big")
        check = sha256(head + at.to_bytes(8, "big") + content).digest()[:CHECK_BYTES]
        return head + check + content

    def _make_good(self, handle: int) -> None:
        """Do in the folder what the journal has and nobody has done."""
        root = str(self.root)
        for name, data in self._waiting.items():
            if data is None:
                super().drop(name)
            else:
                self._put(f"{root}/{name}", data)
        if self._made != self._end:
            self._note_made(handle, self._end)
        self._waiting = {}

    def _put(self, target: str, data: bytes) -> None:
        # In place: no reader knows of a tile before its checkpoint, and who reads that one waits
        # for the lock. To write beside and rename would cost as much as the journal's own trip.
        handle, rest = _opened(target, os.O_WRONLY, 0o644), memoryview(data)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            if os.fstat(handle).st_size > len(data):
                os.ftruncate(handle, len(data))
        finally:
            os.close(handle)

    def _settle(self, handle: int) -> None:
        self._make_good(handle)
        last: dict[str, bytes | None] = {}
        for changes, _ in self._records(handle, START):
            last.update(changes)
        places = {name for name, data in last.items() if data is not None}
        folder = set(last)
        while folder := {name.rpartition("/")[0] for name in folder if name}:
            places |= folder
        self._sync([path for place in places if (path := self.root / place).exists()])
        self._begin(handle)


def _opened(path: str, flags: int, mode: int) -> int:
    """A file opened, made where there is none, and its folder too."""
    try:
        return os.open(path, flags | os.O_CREAT, mode)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags | os.O_CREAT, mode)


def _header(generation: bytes, boot: bytes) -> bytes:
    head = MAGIC + generation + boot
    return head + sha256(head).digest()[:CHECK_BYTES]


def _present_boot() -> bytes:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return secrets.token_bytes(BOOT_BYTES)  # not known: everything is done again
    return bytes.fromhex(text.strip().replace("-", ""))

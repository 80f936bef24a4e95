"""The hub's own copy of the log: what a kill, a power cut and a tamperer leave of it."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.audit.journal import JOURNAL, START, JournaledStore
from hub.audit.log import Log, MemoryOutbox
from hub.audit.store import FolderStore
from hub.audit.tiles import CHECKPOINT
from hub.audit.verify import verify
from hub.errors import Unavailable
from tests.audit.helpers import NOW, record, signer

KEY = signer().verifier


class Disk:
    """A log's folder, and what of its journal the disk is sure to have."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.boots = iter(bytes([n]) * 16 for n in range(1, 256))
        self.boot = next(self.boots)
        self.sure = b""
        self.settled: dict[str, bytes] = {}
        for name in ("fdatasync", "fsync"):
            monkeypatch.setattr(os, name, self._synced(getattr(os, name)))

    def _synced(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(handle: int) -> None:
            real(handle)
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if path.name == JOURNAL:
                self.sure = path.read_bytes()
            elif path.is_file():
                self.settled[path.relative_to(self.folder).as_posix()] = path.read_bytes()

        return sync

    def store(self) -> JournaledStore:
        return JournaledStore(self.folder, limit=60_000, boot=self.boot)

    def cut(self, rng: random.Random) -> None:
        """The power goes: each file is as it was stored last, or newer, or torn, or not there."""
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            if path.name == JOURNAL:
                after = bytearray(path.read_bytes())
                for at in range(0, len(after), 512):
                    if rng.random() < 0.5:
                        after[at : at + 512] = self.sure[at : at + 512].ljust(512, b"\0")
                path.write_bytes(after)
                continue
            stored = self.settled.get(path.relative_to(self.folder).as_posix())
            fate = rng.randrange(4)
            if fate == 0 and stored is None:
                path.unlink()
            elif fate == 1 and stored is None:
                path.write_bytes(path.read_bytes()[: rng.randrange(100)])
            elif fate == 2 and stored is not None:
                path.write_bytes(stored)
        self.boot = next(self.boots)


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    disk, books = Disk(tmp_path, monkeypatch), MemoryOutbox()
    for _ in range(6):
        log = Log(disk.store(), signer(), books)
        log.sequence(NOW)
        for _ in range(rng.randrange(1, 6)):
            record(books, rng.choice([1, 30, 300]))
            log.sequence(NOW)
        if rng.random() < 0.5:  # tiles of a batch whose checkpoint never came
            disk.store().write({"tile/0/900": bytes(8192)})
        disk.cut(rng)
        placed = [event for event in books.events if event.index is not None]
        reopened = disk.store()
        assert Log(reopened, signer(), books).size == len(placed)
        report = verify(reopened, KEY, placed)
        assert report.problems == ()
    assert JOURNAL not in list(disk.store().names())


def test_without_the_journal_the_same_power_cut_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above tests anything."""
    rng = random.Random(0)
    disk, books = Disk(tmp_path, monkeypatch), MemoryOutbox()
    record(books, 700)
    Log(disk.store(), signer(), books).sequence(NOW)
    disk.cut(rng)
    (tmp_path / JOURNAL).unlink()
    assert not verify(disk.store(), KEY, books.events).ok


@pytest.mark.parametrize("stop", range(1, 9))
def test_whoever_reads_next_finishes_what_a_killed_writer_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    class Killed(BaseException): ...

    books = MemoryOutbox()
    record(books, 300)
    Log(JournaledStore(tmp_path), signer(), books).sequence(NOW)
    record(books, 300)
    left = stop
    put = JournaledStore._put

    def dying(store: JournaledStore, target: str, data: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).write_bytes(data[: len(data) // 2])
            raise Killed
        put(store, target, data)

    with monkeypatch.context() as patched:
        patched.setattr(JournaledStore, "_put", dying)
        try:
            Log(JournaledStore(tmp_path), signer(), books).sequence(NOW)
        except Killed:
            assert not left
    assert Log(JournaledStore(tmp_path), signer(), books).size in {300, 600}
    assert verify(FolderStore(tmp_path), KEY).ok
    Log(JournaledStore(tmp_path), signer(), books).sequence(NOW)
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 600


@pytest.mark.parametrize("name", ["checkpoint", "tile/entries/000.p/9", "tile/0/000.p/9"])
def test_what_was_tampered_with_is_found_and_not_mended(tmp_path: Path, name: str) -> None:
    books = MemoryOutbox()
    record(books, 9)
    Log(JournaledStore(tmp_path), signer(), books).sequence(NOW)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-3] + b"???")
    report = verify(JournaledStore(tmp_path), KEY, books.events)
    assert report.problems[0].split(":")[0] == name


def test_a_journal_that_fills_up_is_settled_and_begins_anew(tmp_path: Path) -> None:
    store, books = JournaledStore(tmp_path, limit=50_000), MemoryOutbox()
    log = Log(store, signer(), books)
    for _ in range(20):
        record(books, 100)
        log.sequence(NOW)
        assert (tmp_path / JOURNAL).stat().st_size <= 100_000
    record(books, 4000)  # more than it holds
    log.sequence(NOW)
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 6000
    # All is in the folder: another machine needs no journal.
    store.settle()
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "copy"))
    assert verify(FolderStore(tmp_path / "copy"), KEY, books.events).ok


@pytest.mark.parametrize("at", [0, 25, 60, START + 3, START + 40])
def test_a_damaged_journal_is_no_fault_where_the_folder_is_whole(tmp_path: Path, at: int) -> None:
    books = MemoryOutbox()
    record(books, 300)
    Log(JournaledStore(tmp_path), signer(), books).sequence(NOW)
    data = bytearray((tmp_path / JOURNAL).read_bytes())
    data[at] ^= 1
    (tmp_path / JOURNAL).write_bytes(data)
    record(books, 5)
    assert Log(JournaledStore(tmp_path), signer(), books).sequence(NOW) == 5
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 305


def test_partial_tiles_that_nobody_could_ask_for_are_never_files(tmp_path: Path) -> None:
    log = Log(JournaledStore(tmp_path, boot=b"1" * 16), signer(), books := MemoryOutbox(), 256)
    root = tmp_path / "tile/1/000.p"
    record(books, 1000)  # checkpoints at 256, 512, 768 and 1000, all in one turn
    log.sequence(NOW)
    assert [path.name for path in root.iterdir()] == ["3"]
    record(books, 300)  # at 1024, 1280 and 1300: the partial tile of 1000 was there to be read
    log.sequence(NOW)
    assert {path.name for path in root.iterdir()} == {"3", "5"}
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 1300
    # Who starts after a power cut cannot know what had been seen, and makes them all.
    Log(JournaledStore(tmp_path, boot=b"2" * 16), signer(), books).sequence(NOW)
    assert {path.name for path in root.iterdir()} == {"1", "2", "3", "4", "5"}
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 1300


def test_a_batch_is_one_trip_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(JournaledStore(tmp_path), signer(), books := MemoryOutbox())
    log.sequence(NOW)
    trips: list[int] = []
    for call in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, call, trips.append)
    record(books, 256)
    log.sequence(NOW)
    assert len(trips) == 1


def test_a_batch_that_could_not_be_stored_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(JournaledStore(tmp_path, boot=b"1" * 16), signer(), books := MemoryOutbox())
    record(books, 10)
    log.sequence(NOW)
    record(books, 10)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(Unavailable):
            log.sequence(NOW)
    # The machine falls before anything else: nothing of the failed batch comes back.
    after = Log(JournaledStore(tmp_path, boot=b"2" * 16), signer(), books)
    assert after.size == 10
    assert after.sequence(NOW) == 10
    assert (tmp_path / CHECKPOINT).exists()
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 20

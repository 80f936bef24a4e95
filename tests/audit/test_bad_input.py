"""Every damage the log must expect, by name, each with exactly what is said of it."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub.audit import notes
from hub.audit.journal import JournaledStore
from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Checkpoint
from hub.audit.store import FolderStore, MemoryStore
from hub.audit.verify import verify
from hub.errors import Conflict, Unavailable
from tests.audit.helpers import NOW, record, signer

KEY = signer().verifier


@dataclass
class World:
    """A log of 700 entries, what a client remembers of it at 600, and the books."""

    store: MemoryStore
    books: MemoryOutbox
    remembered: bytes

    def file(self, name: str, change: Callable[[bytes], bytes]) -> None:
        self.store.files[name] = change(self.store.files[name])

    def swap(self, one: str, other: str) -> None:
        files = self.store.files
        files[one], files[other] = files[other], files[one]

    def head(self, size: int, seed: int = 1) -> None:
        root = notes.open_checkpoint(self.store.files["checkpoint"], KEY.name, [KEY]).root
        text = Checkpoint(KEY.name, size, root).text()
        self.store.files["checkpoint"] = notes.sign(text, signer(seed=seed))

    def again(self, count: int, changed: int | None = None) -> None:
        """The same log made anew with another number of entries, or with one of them changed."""
        self.store.files, books = {}, MemoryOutbox()
        record(books, count)
        if changed is not None:
            books.events[changed] = replace(books.events[changed], body=b"another truth")
        Log(self.store, signer(), books).sequence(NOW + timedelta(days=1))
        self.books = books


def world() -> World:
    store, books = MemoryStore(), MemoryOutbox()
    log = Log(store, signer(), books)
    record(books, 600)
    log.sequence(NOW)
    remembered = log.checkpoint()
    record(books, 100)
    log.sequence(NOW)
    return World(store, books, remembered)


def doubled(made: World) -> None:
    made.books.events.insert(5, replace(made.books.events[4], sequence=900))


CASES: dict[str, tuple[Callable[[World], object], tuple[str, ...]]] = {
    "nothing": (lambda w: None, ()),
    "truncated tile": (
        lambda w: w.file("tile/0/001", lambda d: d[:-32]),
        ("tile/0/001: has 8160 bytes, 8192 expected",),
    ),
    "tile cut within a hash": (
        lambda w: w.file("tile/1/000.p/2", lambda d: d[:-1]),
        ("tile/1/000.p/2: has 63 bytes, 64 expected",),
    ),
    "tile gone": (lambda w: w.store.files.pop("tile/0/000"), ("tile/0/000: missing",)),
    "torn last entry": (
        lambda w: w.file("tile/entries/002.p/188", lambda d: d[:-3]),
        (
            "tile/entries/002.p/188: index 699: "
            "187 whole entries and 31 bytes, 188 entries expected",
        ),
    ),
    "last entry gone": (
        lambda w: w.file("tile/entries/002.p/188", lambda d: d[:-34]),
        ("tile/entries/002.p/188: index 699: 187 whole entries and 0 bytes, 188 entries expected",),
    ),
    "checkpoint of another key": (
        lambda w: w.head(700, seed=2),
        ("checkpoint: no key we know signed it",),
    ),
    "checkpoint cut": (
        lambda w: w.file("checkpoint", lambda d: d[:-1]),
        ("checkpoint: it has no signature lines, or the last is cut",),
    ),
    "smaller size, newer time": (
        lambda w: w.again(599),
        ("checkpoint: has 599 entries; there were 600 before",),
    ),
    "same size, other history": (
        lambda w: w.again(600, changed=3),
        ("checkpoint: the first 600 entries are not those signed before",),
    ),
    "larger size, other history": (
        lambda w: w.again(900, changed=599),
        ("checkpoint: the first 600 entries are not those signed before",),
    ),
    "duplicated index": (
        doubled,
        ("books: index 4: two events claim this entry, or they are out of order",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_damage_is_named(name: str) -> None:
    made = world()
    damage, problems = CASES[name]
    damage(made)
    report = verify(made.store, KEY, made.books.events, remembered=made.remembered)
    assert report.problems == problems
    assert report.ok is (not problems)


@pytest.mark.parametrize(
    ("one", "other"), [("tile/0/000", "tile/0/001"), ("tile/entries/000", "tile/entries/001")]
)
def test_swapped_tiles_are_named_and_nothing_else(one: str, other: str) -> None:
    made = world()
    made.swap(one, other)
    report = verify(made.store, KEY)
    assert {problem.split(": ")[0] for problem in report.problems} == {one, other}
    assert len(report.problems) == 512  # every entry of both


@pytest.mark.parametrize("only_since", [False, True])
def test_since_a_remembered_checkpoint_the_same_is_found_after_it(only_since: bool) -> None:
    made = world()
    last = "tile/entries/002.p/188"
    told: list[int] = []

    def problems() -> tuple[str, ...]:
        told.clear()
        return verify(
            made.store,
            KEY,
            made.books.events,
            remembered=made.remembered,
            only_since=only_since,
            progress=lambda done, _: told.append(done),
        ).problems

    assert problems() == ()
    assert told == ([700] if only_since else [256, 512, 700])
    whole = dict(made.store.files)
    made.file(last, lambda d: d[:-1] + bytes([d[-1] ^ 1]))
    assert problems()[0] == f"{last}: index 699: the entry is not the logged one"
    made.store.files = dict(whole)
    made.file("tile/1/000.p/2", lambda d: d[:-1] + bytes([d[-1] ^ 1]))
    assert problems() != ()
    made.store.files = whole
    made.again(900, changed=3)
    found = problems()
    assert "checkpoint: the first 600 entries are not those signed before" in found


def test_clock_jumps_move_nothing() -> None:
    """Neither order nor checkpoint depends on the clock: an hour back, a year ahead."""
    ahead, steady = MemoryStore(), MemoryStore()
    for store, jumps in ((ahead, (0, -3600, 31_536_000)), (steady, (0, 1, 2))):
        books = MemoryOutbox()
        log = Log(store, signer(), books)
        for jump in jumps:
            record(books, 100)
            log.sequence(NOW + timedelta(seconds=jump))
    assert ahead.files == steady.files
    assert verify(ahead, KEY).ok


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4])
def test_a_full_disk_in_the_middle_of_an_append_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    books = MemoryOutbox()
    log = Log(FolderStore(tmp_path), signer(), books)
    record(books, 300)
    log.sequence(NOW)
    before = log.checkpoint()
    record(books, 400)
    left, write = room, FolderStore._write_scratch

    def full(store: FolderStore, data: bytes) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(store, data)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "_write_scratch", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            log.sequence(NOW)
    assert log.checkpoint() == before
    assert verify(FolderStore(tmp_path), KEY).size == 300
    assert not list((tmp_path / ".scratch").iterdir())
    assert log.sequence(NOW) == 400
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 700


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "open"])
@pytest.mark.parametrize("room", range(6))
def test_a_full_disk_costs_the_hubs_own_copy_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, room: int
) -> None:
    books = MemoryOutbox()
    log = Log(JournaledStore(tmp_path), signer(), books)
    record(books, 300)
    log.sequence(NOW)
    record(books, 400)
    left, real = room, getattr(os, call)

    def full(*args: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with suppress(Unavailable):
            log.sequence(NOW)
    assert left < 0 or call != "open"
    placed = sum(event.index is not None for event in books.events)
    assert verify(JournaledStore(tmp_path), KEY).size >= placed
    assert log.sequence(NOW) + placed == 700
    assert verify(FolderStore(tmp_path), KEY, books.events).size == 700


def test_two_writers_without_a_lease_make_one_log() -> None:
    """The second to reach the checkpoint gives up; nothing it wrote is part of the log."""
    store, books = MemoryStore(), MemoryOutbox()
    Log(store, signer(), books).sequence(NOW)

    class Overtaken(MemoryStore):
        files = store.files
        late = True

        def __init__(self) -> None: ...

        def write(self, files: Mapping[str, bytes]) -> None:
            super().write(files)
            if self.late and "checkpoint" not in files:
                self.late = False
                Log(store, signer(), books).sequence(NOW)

        def names(self, prefix: str = "") -> Iterator[str]:
            return store.names(prefix)

    record(books, 300)
    slow = Log(Overtaken(), signer(), books)
    with pytest.raises(Unavailable) as refusal:
        slow.sequence(NOW)
    assert refusal.value.code == "log-overtaken"
    assert verify(store, KEY, books.events).size == 300
    record(books, 5)
    assert slow.sequence(NOW) == 5
    assert verify(store, KEY, books.events).size == 305


def test_a_log_restored_from_an_old_copy_takes_nothing_in(tmp_path: Path) -> None:
    books = MemoryOutbox()
    log = Log(FolderStore(tmp_path / "log"), signer(), books)
    record(books, 100)
    log.sequence(NOW)
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    record(books, 50)
    log.sequence(NOW)
    record(books, 1)
    with pytest.raises(Conflict) as refusal:
        Log(FolderStore(tmp_path / "copy"), signer(), books).sequence(NOW)
    assert refusal.value.code == "log-behind-books"

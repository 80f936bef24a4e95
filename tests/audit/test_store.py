"""One contract for every store of tiles, and what only a folder can get wrong."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from hub.audit import store as stores
from hub.audit.journal import JOURNAL, JournaledStore
from hub.audit.objects import ObjectStore
from hub.audit.store import SCRATCH, FolderStore, LogStore, MemoryStore
from hub.errors import NotFound, Unavailable
from hub.storage.s3 import S3Objects
from tests.storage.buckets import SERVERS, bucket


@pytest.fixture(params=["memory", "folder", "journal", *SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    if request.param in SERVERS:
        return ObjectStore(S3Objects(bucket(request.param), "zone"))
    if request.param == "journal":
        return JournaledStore(tmp_path / "log", limit=400)
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "log")


def test_nothing_is_there_at_first(store: LogStore) -> None:
    assert store.read("checkpoint") is None
    assert store.read("tile/0/000.p/3") is None
    assert list(store.names()) == []
    store.drop("tile/0/000.p/3")


def test_what_was_written_is_read_and_replaced(store: LogStore) -> None:
    store.write({"checkpoint": b"one", "tile/0/000.p/3": b"abc", "tile/0/x001/000": b""})
    store.write({"checkpoint": b"two"})
    assert store.read("checkpoint") == b"two"
    assert store.read("tile/0/000.p/3") == b"abc"
    assert store.read("tile/0/x001/000") == b""


def test_a_full_tile_lives_beside_its_partial_ones(store: LogStore) -> None:
    store.write({"tile/0/000.p/3": b"abc", "tile/0/000.p/30": b"x"})
    store.write({"tile/0/000": b"full"})
    assert list(store.names("tile/0/000.p")) == ["tile/0/000.p/3", "tile/0/000.p/30"]
    store.drop("tile/0/000.p/3")
    store.drop("tile/0/000.p/30")
    store.drop("tile/0/000.p/30")
    assert list(store.names("tile/0/000.p")) == []
    assert list(store.names()) == ["tile/0/000"]
    assert store.read("tile/0/000.p/3") is None


def test_reading_below_a_file_finds_nothing(store: LogStore) -> None:
    store.write({"tile/0/000.p/3": b"abc", "checkpoint": b"c"})
    assert store.read("tile/0/000") is None
    store.drop("tile/0/000") if store.read("tile/0/000") else None
    assert store.read("tile/0/000.p/3") == b"abc"


@pytest.mark.parametrize(
    "name", ["../checkpoint", "/etc/passwd", "tile/0/000.p/0", "", "tile", SCRATCH, "a\x00b"]
)
def test_other_names_never_reach_the_disk(store: LogStore, name: str) -> None:
    for act in (store.read, store.drop, lambda n: store.write({n: b""})):
        with pytest.raises(NotFound):
            act(name)


def test_files_are_public_and_no_scratch_is_left(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write({"tile/0/000.p/3": b"abc"})
    assert (tmp_path / "tile/0/000.p/3").stat().st_mode & 0o777 == 0o644
    assert list((tmp_path / SCRATCH).iterdir()) == []


def test_what_a_crash_left_half_written_is_swept(tmp_path: Path) -> None:
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / SCRATCH / "tmpabc").write_bytes(b"half")
    store = FolderStore(tmp_path)
    assert list(store.names()) == []
    store.write({"checkpoint": b"c"})
    assert list((tmp_path / SCRATCH).iterdir()) == []


def test_foreign_errors_are_translated(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "tile").write_bytes(b"a file where a folder must be")
    store = FolderStore(tmp_path)
    with pytest.raises(Unavailable):
        store.read("checkpoint")
    with pytest.raises(Unavailable):
        store.write({"tile/0/000": b""})
    with pytest.raises(Unavailable):
        store.write({"checkpoint": b"x"})
    with pytest.raises(Unavailable):
        store.drop("checkpoint")
    assert list((tmp_path / SCRATCH).iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "fchmod", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store = FolderStore(tmp_path)
    store.write({"checkpoint": b"old"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        if failing == "replace":
            broken.setattr(Path, failing, full)
        else:
            broken.setattr(os, failing, full)
        with pytest.raises(Unavailable, match="No space left"):
            store.write({"checkpoint": b"new", "tile/0/000": b"x"})
    assert store.read("checkpoint") == b"old"
    assert list((tmp_path / SCRATCH).iterdir()) == []
    store.write({"checkpoint": b"new"})
    assert store.read("checkpoint") == b"new"


@pytest.mark.parametrize("kind", ["folder", "journal"])
def test_a_suspended_holder_of_the_lock_keeps_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    store = JournaledStore(tmp_path) if kind == "journal" else FolderStore(tmp_path)
    assert store.advance({}, b"one", None)
    monkeypatch.setattr(stores, "PATIENCE", 0.2)
    handle = os.open(tmp_path / JOURNAL if kind == "journal" else tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    refusals: list[str] = []

    def write() -> None:
        with pytest.raises(Unavailable) as refused:
            store.advance({}, b"two", b"one")
        refusals.append(refused.value.code)

    threads = [threading.Thread(target=write) for _ in range(3)]  # of one process, in turn
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == ["log-locked"] * 3
    os.close(handle)
    assert store.read("checkpoint") == b"one"
    assert store.advance({}, b"two", b"one")

"""A writer suspended past its lease, right before it writes: whoever took over stays the one."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from hub.audit.log import Log, MemoryOutbox
from hub.audit.objects import ObjectStore
from hub.audit.store import FolderStore, LogStore
from hub.audit.verify import verify
from hub.errors import Unavailable
from hub.storage.books import Books
from hub.storage.books.leases import Held
from hub.storage.s3 import S3Objects
from tests.audit.helpers import NOW, record, signer
from tests.audit.many_writers import LEASE, books_in, event, log_in, now
from tests.storage import buckets
from tests.storage.buckets import SERVERS

ROOT = Path(__file__).parents[2]
KEY = signer().verifier


def suspended(folder: Path, method: str) -> subprocess.Popen[str]:
    """A writer that has stopped before this method of its store."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.audit.suspended", str(folder), method],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return process


def resumed(process: subprocess.Popen[str]) -> str:
    """What it says in the end."""
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.strip()


def taking_over(books: Books) -> AbstractContextManager[Held]:
    """The lease of the log, as another process has it once the suspended one's has run out."""
    return books.holding("log", "another", lambda: now() + 2 * LEASE, LEASE, timedelta(0))


def whole(folder: Path, books: Books) -> int:
    """The size of a log that verifies against its books."""
    events = sorted(books.events(limit=1000), key=lambda event: event.index or 0)
    assert [event.index for event in events] == list(range(len(events)))
    report = verify(FolderStore(folder / "log"), KEY, events)
    assert report.problems == ()
    return report.size


def test_a_holder_suspended_past_its_lease_writes_no_second_head(tmp_path: Path) -> None:
    books = books_in(tmp_path)
    log = log_in(tmp_path, books)
    log.sequence(now())
    process = suspended(tmp_path, "advance")
    books.record(event=event("of another"))
    with taking_over(books):
        log.sequence(now())
    head = log.checkpoint()
    assert resumed(process) == "log-overtaken"
    assert log.checkpoint() == head
    assert whole(tmp_path, books) == 6
    books.record(event=event("later"))
    assert log.sequence(now()) == 1
    assert whole(tmp_path, books) == 7
    books.close()


def test_who_takes_over_from_one_suspended_in_its_write_waits_for_it(tmp_path: Path) -> None:
    """It has compared, and holds the lock: its head is the one the other goes on from."""
    books = books_in(tmp_path)
    log_in(tmp_path, books).sequence(now())
    process = suspended(tmp_path, "_append")
    books.record(event=event("of another"))
    log = log_in(tmp_path, books)
    with taking_over(books):
        other = threading.Thread(target=lambda: log.sequence(now()))
        other.start()
        assert resumed(process) == "lease-lost"
        other.join()
    assert whole(tmp_path, books) == 6
    books.close()


class Overtaken:
    """A store before whose last act another writer does all of his."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act: Callable[[], object] | None = act

    def __call__(self) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()


def folder_overtaken(path: Path, other: Overtaken) -> tuple[LogStore, LogStore]:
    class Suspended(FolderStore):
        def write(self, files: Mapping[str, bytes]) -> None:
            super().write(files)
            other()  # the checkpoint comes after the files

    return Suspended(path), FolderStore(path)


def bucket_overtaken(server: str, other: Overtaken) -> tuple[LogStore, LogStore]:
    """Between the comparison and the request that writes."""
    slow = buckets.bucket(server)
    replace = slow.replace

    def late(key: str, data: bytes, tag: str) -> bool:
        other()
        return replace(key, data, tag)

    slow.replace = late  # type: ignore[method-assign]
    quick = buckets.bucket(server)
    return ObjectStore(S3Objects(slow, "log")), ObjectStore(S3Objects(quick, "log"))


@pytest.mark.parametrize("kind", ["folder", *SERVERS])
def test_a_store_replaces_no_checkpoint_but_the_one_it_was_told(kind: str, tmp_path: Path) -> None:
    books = MemoryOutbox()

    def overtakes() -> None:
        record(books, 3)
        Log(quick, signer(), books).sequence(NOW)

    overtaken = Overtaken(lambda: None)
    if kind in SERVERS:
        slow, quick = bucket_overtaken(kind, overtaken)
    else:
        slow, quick = folder_overtaken(tmp_path / "log", overtaken)
    log = Log(slow, signer(), books)
    record(books, 250)
    assert log.sequence(NOW) == 250
    record(books, 5)
    overtaken.act = overtakes
    with pytest.raises(Unavailable) as refusal:
        log.sequence(NOW)
    assert refusal.value.code == "log-overtaken"
    assert verify(quick, KEY, books.events).size == 258
    record(books, 10)
    assert log.sequence(NOW) == 10
    report = verify(quick, KEY, books.events)
    assert (report.problems, report.size) == ((), 268)

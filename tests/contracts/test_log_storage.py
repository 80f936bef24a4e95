"""Log storage in any order: whatever is done to both, each store says what memory says.

The cases one by one are in `tests/audit/test_store.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hub.audit.journal import JournaledStore
from hub.audit.objects import ObjectStore
from hub.audit.store import FolderStore, LogStore, MemoryStore
from hub.storage.s3 import S3Objects
from tests.storage.buckets import SERVERS, bucket


def on(server: str) -> Callable[[Path], LogStore]:
    """Makes a store in a bucket with nothing in it."""
    return lambda _: ObjectStore(S3Objects(bucket(server), "zone"))


STORES: Final[dict[str, Callable[[Path], LogStore]]] = {
    "folder": FolderStore,
    # So small that it settles again and again within a run.
    "journal": lambda path: JournaledStore(path, limit=400),
    **{server: on(server) for server in SERVERS},
}
NAMES: Final = (
    "checkpoint", "keys", "tile/0/000.p/3", "tile/0/000.p/30", "tile/0/000", "tile/1/x001/000",
)  # fmt: skip
FOLDERS: Final = ("", "tile", "tile/0/000.p", "tile/1")
FILES: Final = st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=200), max_size=3)


class AgreesWithMemory(RuleBasedStateMachine):
    """A store and memory, side by side. `opened` gives the same store each time, as a restart."""

    folders: Iterator[Path]
    make: Callable[[Path], LogStore]

    def __init__(self) -> None:
        super().__init__()
        self.folder = next(self.folders)
        self.memory, self.other = MemoryStore(), self.make(self.folder)

    @rule(files=FILES)
    def write(self, files: dict[str, bytes]) -> None:
        self.memory.write(files)
        self.other.write(files)

    @rule(
        files=FILES,
        note=st.binary(max_size=20),
        known=st.booleans(),
        gone=st.lists(st.sampled_from(NAMES[1:]), max_size=2),
        outgrown=st.sets(st.sampled_from(NAMES[1:]), max_size=2),
    )
    def advance(
        self,
        files: dict[str, bytes],
        note: bytes,
        known: bool,
        gone: list[str],
        outgrown: set[str],
    ) -> None:
        files.pop("checkpoint", None)
        outgrown -= {*files, *gone}
        over = self.memory.read("checkpoint") if known else b"another"
        done = self.memory.advance(files, note, over, gone, outgrown)
        # What only readers of the last checkpoint need stays: it has been read.
        assert self.other.advance(files, note, over, gone, outgrown) == done
        # Where it was not done, its files may be there or not: nothing points at them.
        if not done:
            self.other.write(files)

    @rule(keys=st.binary(max_size=20), known=st.booleans(), under=st.booleans())
    def announce(self, keys: bytes, known: bool, under: bool) -> None:
        over = self.memory.read("keys") if known else b"others"
        head = self.memory.read("checkpoint") if under else b"another"
        done = self.memory.announce(keys, over, head)
        assert self.other.announce(keys, over, head) == done == (known and under)

    @rule()
    def catch_up(self) -> None:
        self.other.catch_up()

    @rule(name=st.sampled_from(NAMES))
    def drop(self, name: str) -> None:
        self.memory.drop(name)
        self.other.drop(name)

    @invariant()
    def same(self) -> None:
        for name in NAMES:
            assert self.other.read(name) == self.memory.read(name), name
        for folder in FOLDERS:
            assert list(self.other.names(folder)) == list(self.memory.names(folder)), folder


@pytest.mark.parametrize("kind", STORES)
def test_others_agree_with_memory(kind: str, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in range(10**6))
    body = {"folders": folders, "make": staticmethod(STORES[kind])}
    most = 5 if kind in SERVERS else 20
    run_state_machine_as_test(
        type("Machine", (AgreesWithMemory,), body),
        settings=settings(max_examples=most, stateful_step_count=10, deadline=None),
    )

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.audit import merkle
from hub.audit.entries import entry_of
from hub.audit.journal import JournaledStore
from hub.audit.log import Log, MemoryOutbox
from hub.audit.store import FolderStore, MemoryStore
from hub.audit.tiles import Tree
from hub.audit.verify import verify
from hub.errors import Conflict, Unavailable
from hub.records import LoggedEvent
from tests.audit.helpers import NOW, FailingStore, grown, out_of_order, record, signer


def check_whole(store: MemoryStore | FolderStore, outbox: MemoryOutbox) -> None:
    """Every event is in the tree once, at the index the books say; the log verifies."""
    indices = [event.index for event in outbox.events]
    assert sorted(n for n in indices if n is not None) == list(range(len(indices)))
    in_order = sorted(outbox.events, key=lambda event: event.index or 0)
    report = verify(store, signer().verifier, in_order)
    assert report.problems == ()
    assert report.size == len(indices)


def test_events_get_indices_in_order_and_a_signed_head() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 3, 0, 2)
    assert [event.index for event in outbox.events] == [0, 1, 2, 3, 4]
    assert (log.size, log.published_at) == (5, NOW)
    leaves = [merkle.leaf_hash(entry_of(event)) for event in outbox.events]
    assert log.head().root == merkle.root(leaves)
    merkle.check_inclusion(3, 5, leaves[3], log.inclusion(3), log.head().root)
    merkle.check_consistency(3, 5, merkle.root(leaves[:3]), log.head().root, log.consistency(3))
    check_whole(store, outbox)


def test_an_empty_log_has_a_checkpoint_too() -> None:
    store = MemoryStore()
    log = Log(store, signer(), MemoryOutbox())
    with pytest.raises(Unavailable, match="no checkpoint yet"):
        log.checkpoint()
    assert log.sequence(NOW) == 0
    assert log.head().root == merkle.EMPTY_ROOT
    assert verify(store, signer().verifier).ok
    before = log.checkpoint()
    assert log.sequence(NOW) == 0
    assert log.checkpoint() == before


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=5), st.integers(1, 300))
def test_any_batching_gives_the_same_tree(batches: list[int], batch: int) -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    log = Log(store, signer(), outbox, batch=batch)
    log.sequence(NOW)
    for count in batches:
        record(outbox, count)
        assert log.sequence(NOW) == count
    check_whole(store, outbox)
    at_once, _ = grown(MemoryStore(), sum(batches))
    assert log.checkpoint() == at_once.checkpoint()


def test_partial_tiles_go_once_the_full_one_is_there() -> None:
    store = MemoryStore()
    grown(store, *[100] * 6)
    partial = [name for name in store.names() if ".p/" in name]
    assert partial == [
        "tile/0/002.p/88",
        "tile/1/000.p/1",
        "tile/1/000.p/2",
        "tile/entries/002.p/88",
    ]
    # Proofs for an old checkpoint are made from the full tile.
    assert len(Tree(store, 300).consistency(100)) > 0


def test_the_cost_of_an_append_does_not_grow_with_the_log() -> None:
    written: list[int] = []

    class Weighing(MemoryStore):
        def write(self, files: object) -> None:
            assert isinstance(files, dict)
            written.append(sum(len(data) for data in files.values()))
            super().write(files)

    store = Weighing()
    _, outbox = grown(store, 70_000)
    opened = Log(store, signer(), outbox)
    written.clear()
    for _ in range(3):
        record(outbox, 1)
        opened.sequence(NOW)
    assert max(written) < 20_000


def test_two_processes_may_take_turns() -> None:
    store = MemoryStore()
    first, outbox = grown(store, 10)
    second = Log(store, signer(), outbox)
    for log in (second, first, first, second, first):
        record(outbox, 7)
        assert log.sequence(NOW) == 7
    check_whole(store, outbox)


def test_threads_of_one_process_do_not_write_at_once() -> None:
    class Slow(MemoryStore):
        """Lets another thread run between any two accesses."""

        def read(self, name: str) -> bytes | None:
            time.sleep(0.001)
            return super().read(name)

    store = Slow()
    outbox = MemoryOutbox()
    log = Log(store, signer(), outbox, batch=10)
    record(outbox, 100)
    threads = [threading.Thread(target=log.sequence, args=(NOW,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_whole(store, outbox)


def test_a_turn_ends_though_events_never_do() -> None:
    class Endless(MemoryOutbox):
        def place_events(self, placed: Sequence[tuple[int, int]], /) -> None:
            super().place_events(placed)
            record(self, 1)

    outbox = Endless()
    record(outbox, 300)
    log = Log(MemoryStore(), signer(), outbox, batch=256)
    assert log.sequence(NOW) == 300 + 1  # what came while a tile was full, no more
    assert log.sequence(NOW) == 1


@pytest.mark.parametrize("steps", [(550, 450), (100, 900)])
def test_litter_of_a_crash_goes_with_the_tiles_it_was_to_begin(steps: tuple[int, ...]) -> None:
    """Also where the tile is filled within one batch, and so never partial again."""

    class Slow(MemoryOutbox):
        shown = 0

        def pending_events(self, limit: int) -> list[LoggedEvent]:
            return [e for e in super().pending_events(limit) if e.sequence <= self.shown]

    store, outbox = MemoryStore(), Slow()
    Log(store, signer(), outbox).sequence(NOW)
    record(outbox, 1000)
    outbox.shown = 600
    fails_at_checkpoint = FailingStore(store, 8, after=False)
    with pytest.raises(Unavailable):
        Log(fails_at_checkpoint, signer(), outbox).sequence(NOW)
    litter = {"tile/0/002.p/88", "tile/entries/002.p/88", "tile/1/000.p/2"}
    assert litter <= set(store.files)
    log = Log(store, signer(), outbox)
    outbox.shown = 0
    for step in steps:
        outbox.shown += step
        assert log.sequence(NOW) == step
    check_whole(store, outbox)
    partial = {name for name in store.names() if ".p/" in name and not name.startswith("tile/1")}
    assert partial == {"tile/0/003.p/232", "tile/entries/003.p/232"}


@pytest.mark.parametrize("moment", ["before its tiles", "after its tiles"])
def test_a_second_writer_is_noticed_before_the_checkpoint(moment: str) -> None:
    store = MemoryStore()
    _, outbox = grown(store, 10)

    class Intruded(MemoryStore):
        """Lets another log publish between our reading and our writing."""

        files = store.files
        waits = True

        def __init__(self) -> None: ...

        def write(self, files: Mapping[str, bytes]) -> None:
            if moment == "after its tiles":
                super().write(files)
            if self.waits:
                self.waits = False
                record(outbox, 5)
                Log(store, signer(), outbox).sequence(NOW)
            super().write(files)

    log = Log(Intruded(), signer(), outbox)
    record(outbox, 3)
    with pytest.raises(Unavailable, match="Another process"):
        log.sequence(NOW)
    log.sequence(NOW)
    check_whole(store, outbox)


def test_a_slow_writer_may_tell_the_books_while_another_makes_it_good() -> None:
    class Slow(MemoryOutbox):
        told: Sequence[tuple[int, int]] = ()

        def place_events(self, placed: Sequence[tuple[int, int]], /) -> None:
            self.told = placed
            raise out_of_order()

        def pending_events(self, limit: int) -> list[LoggedEvent]:
            MemoryOutbox.place_events(self, self.told)
            self.told = ()
            return super().pending_events(limit)

    store, outbox = MemoryStore(), Slow()
    record(outbox, 5)
    with pytest.raises(Unavailable):
        Log(store, signer(), outbox).sequence(NOW)
    assert Log(store, signer(), outbox).sequence(NOW) == 0
    check_whole(store, outbox)


def test_books_that_lost_events_are_noticed() -> None:
    store = MemoryStore()
    _, outbox = grown(store, 20)
    del outbox.events[15:]
    record(outbox, 9)
    outbox.events[15:] = [type(e)(e.sequence, b"new", e.salt, None) for e in outbox.events[15:]]
    with pytest.raises(Conflict, match="entries that the books do not have"):
        Log(store, signer(), outbox).sequence(NOW)


def test_a_log_rolled_back_is_noticed() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 20)
    old = log.checkpoint()
    record(outbox, 5)
    log.sequence(NOW)
    store.files["checkpoint"] = old
    with pytest.raises(Conflict, match="the books know an entry 20"):
        log.sequence(NOW)
    del store.files["checkpoint"]
    with pytest.raises(Conflict, match="the books know an entry 0"):
        log.sequence(NOW)


def test_a_damaged_edge_is_not_extended() -> None:
    store = MemoryStore()
    log, outbox = grown(store, 20)
    record(outbox, 1)
    whole = dict(store.files)
    for name in ("tile/0/000.p/20", "checkpoint"):
        damaged = bytearray(whole[name])
        damaged[-5] ^= 1
        store.files = {**whole, name: bytes(damaged)}
        with pytest.raises(Unavailable, match="damaged"):
            Log(store, signer(), outbox).sequence(NOW)
    store.files = whole
    with pytest.raises(Unavailable, match="damaged"):
        Log(store, signer(seed=2), outbox).sequence(NOW)
    assert log.sequence(NOW) == 1


def test_events_committed_out_of_order_are_matched_after_a_crash() -> None:
    """PostgreSQL may commit event 3 before 2: the tree has 1, 3, the books now offer 1, 2, 3."""

    class Late(MemoryOutbox):
        hidden = 2
        broken = True

        def pending_events(self, limit: int) -> list[LoggedEvent]:
            shown = [e for e in super().pending_events(10**6) if e.sequence != self.hidden]
            return shown[:limit]

        def place_events(self, placed: object, /) -> None:
            if self.broken:
                raise out_of_order()
            super().place_events(placed)  # type: ignore[arg-type]

    store, outbox = MemoryStore(), Late()
    log = Log(store, signer(), outbox)
    record(outbox, 3)
    with pytest.raises(Unavailable):
        log.sequence(NOW)
    outbox.hidden, outbox.broken = 0, False
    assert log.sequence(NOW) == 3
    assert [event.index for event in outbox.events] == [0, 2, 1]
    check_whole(store, outbox)


@pytest.mark.parametrize("after", [False, True])
def test_a_failure_at_any_effect_loses_and_repeats_nothing(after: bool) -> None:
    """Fail at the n-th effect for every n; then retry in this process or in a new one."""
    reached_the_end = False
    for fail_at in range(1, 60):
        for same_process in (True, False):
            store, outbox = MemoryStore(), MemoryOutbox()
            failing = FailingStore(store, fail_at, after)
            log = Log(failing, signer(), outbox)
            record(outbox, 250)
            failed = False
            for more in (3, 10, 300, 0):
                record(outbox, more)
                try:
                    log.sequence(NOW)
                except Unavailable:
                    failed = True
                    if not same_process:
                        log = Log(failing, signer(), outbox)
            failing.left = 0  # works from now on
            record(outbox, 2)
            log.sequence(NOW)
            check_whole(store, outbox)
            reached_the_end = reached_the_end or not failed
        if reached_the_end:
            return
    pytest.fail("the scenario has more effects than were tried")


@pytest.mark.parametrize("after", [False, True])
def test_a_failure_while_placing_loses_and_repeats_nothing(after: bool) -> None:
    class Failing(MemoryOutbox):
        left = 2

        def place_events(self, placed: object, /) -> None:
            self.left -= 1
            if self.left == 0 and not after:
                raise out_of_order()
            super().place_events(placed)  # type: ignore[arg-type]
            if self.left == 0:
                raise out_of_order()

    store, outbox = MemoryStore(), Failing()
    log = Log(store, signer(), outbox, batch=40)
    record(outbox, 100)
    with pytest.raises(Unavailable):
        log.sequence(NOW)
    record(outbox, 30)
    log.sequence(NOW)
    check_whole(store, outbox)


@pytest.mark.parametrize("kind", [FolderStore, JournaledStore])
def test_a_folder_is_a_log_others_can_open(tmp_path: Path, kind: type[FolderStore]) -> None:
    _, outbox = grown(kind(tmp_path), 3, 600, 1)
    check_whole(FolderStore(tmp_path), outbox)
    log = Log(kind(tmp_path), signer(), outbox)
    record(outbox, 5)
    assert log.sequence(NOW) == 5
    check_whole(FolderStore(tmp_path), outbox)

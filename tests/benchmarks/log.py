"""The log: durable appends, verification and proofs beside pymerkle, and the cost of growing."""

from __future__ import annotations

import itertools
import os
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pymerkle import SqliteTree

from hub.audit import notes
from hub.audit.edge import Edge
from hub.audit.entries import entry_of
from hub.audit.journal import JournaledStore
from hub.audit.log import Log
from hub.audit.notes import Checkpoint
from hub.audit.store import FolderStore, MemoryStore, TileStore
from hub.audit.tiles import CHECKPOINT, Tree
from hub.audit.verify import verify
from hub.records import LoggedEvent
from tests.audit.helpers import signer
from tests.benchmarks import plot
from tests.benchmarks.runner import ROUNDS, Row, limited, paired, seconds

BATCH: Final = 256
BATCHES: Final = 40
FULL: Final = 2
"""SQLite's number for `synchronous=FULL`."""
MILLION: Final = 1_000_000
TURNS: Final = 60
SIZES: Final = tuple(10**n for n in range(3, 8))
PLOT: Final = Path("build/append-cost.svg")
NOW: Final = datetime(2026, 3, 2, tzinfo=UTC)


class Outbox:
    """Books of so many events, made before anything is timed: `recorded` says how many count."""

    def __init__(self, placed: int = 0, more: int = 0) -> None:
        self.placed = self.recorded = self._first = placed
        self.events = [
            LoggedEvent(n, b'{"n":%d}' % n, os.urandom(32), None)
            for n in range(placed, placed + more)
        ]

    def pending_events(self, limit: int) -> list[LoggedEvent]:
        """See `Outbox` of the log."""
        upto = min(self.recorded, self.placed + limit)
        return self.events[self.placed - self._first : upto - self._first]

    def place_events(self, placed: Sequence[tuple[int, int]], /) -> None:
        """See `Outbox` of the log."""
        self.placed += len(placed)

    def event_at(self, index: int, /) -> LoggedEvent | None:
        """See `Outbox` of the log."""
        return LoggedEvent(index, b"", b"", index) if index < self.placed else None


def filled(store: TileStore, size: int) -> None:
    """A log of that size, written straight to its files: nobody waits for a disk here."""
    edge = Edge()
    while edge.size < size:
        count = min(65_536, size - edge.size)
        edge, files = edge.append([os.urandom(32) for _ in range(count)])
        if isinstance(store, FolderStore):
            for name, data in files.items():
                path = store.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        else:
            store.write(files)
    head = Checkpoint(signer().name, size, edge.root())
    store.write({CHECKPOINT: notes.sign(head.text(), signer())})


def appends(folder: Path, first: int, name: str) -> Row:
    """Batches of 256 with a root each, on disk before the next batch is looked at.

    Both sides log the same events, made before: a short body and a salt each, of which the entry
    is the salted hash. Both compute it, the leaf and the root, and come to the same one. Ours then
    signs the root and has tiles and checkpoint in the journal, with its `fdatasync`. What is put
    off until a turn ends and until the journal is full (the tiles as files, each with its `fsync`:
    `settle`) is done, and timed, within each round. The peer stores entries and leaves in a
    transaction; nothing signs or keeps its root. Its SQLite is as it opens it: rollback journal,
    `synchronous=FULL`.
    """
    timed = BATCH * BATCHES
    outbox = Outbox(more=first + timed * (1 + ROUNDS))
    store = JournaledStore(folder / f"log-{first}")
    log = Log(store, signer(), outbox, batch=BATCH)
    outbox.recorded = first
    log.sequence(NOW)
    tree = SqliteTree(str(folder / f"pymerkle-{first}.sqlite"))
    assert tree.con.execute("PRAGMA synchronous").fetchone() == FULL
    events = iter(outbox.events)
    tree.append_entries([entry_of(event) for event in itertools.islice(events, first)])

    def ours() -> None:
        outbox.recorded += timed
        log.sequence(NOW)
        store.settle()

    def peer() -> None:
        for _ in range(BATCHES):
            tree.append_entries([entry_of(event) for event in itertools.islice(events, BATCH)])
            tree.get_root()

    row = paired(name, "pymerkle on SQLite", ours, peer, at_most=1 / 1.5)
    head = log.head()
    assert (head.size, head.root) == (tree.get_size(), tree.get_root())
    tree.close()
    return row


def whole_tiles(folder: Path) -> Row:
    """Each batch fills a tile."""
    return appends(folder, 0, "40 durable batches of 256 + root, whole tiles")


def across_tiles(folder: Path) -> Row:
    """Each batch ends inside a tile, so that partial ones are written and tidied away."""
    return appends(folder, 100, "40 durable batches of 256 + root, across tiles")


def verifying(folder: Path) -> Row:
    """The whole of a log of a million entries, from files."""
    store = FolderStore(folder / "million")
    filled(store, MILLION)
    key = signer().verifier

    def ours() -> None:
        assert verify(store, key).ok

    return limited("verify 1,000,000 entries", ours, 3.0)


def proving(folder: Path) -> Row:
    """Inclusion at a million entries, beside pymerkle's at a tenth of it (after `verifying`)."""
    log = Log(FolderStore(folder / "million"), signer(), Outbox())
    tree = SqliteTree(str(folder / "pymerkle-proofs.sqlite"))
    tree.append_entries([os.urandom(32) for _ in range(MILLION // 10)])
    rng = random.Random(1)
    indices = [rng.randrange(MILLION) for _ in range(20)]
    return paired(
        "20 inclusion proofs at 1,000,000",
        "pymerkle at 100,000, its subroots cached",
        lambda: [log.inclusion(index) for index in indices],
        lambda: [tree.prove_inclusion(1 + index // 10) for index in indices],
    )


def proof_limit(folder: Path) -> Row:
    """One inclusion proof at a million entries, checkpoint read and verified (as above)."""
    log = Log(FolderStore(folder / "million"), signer(), Outbox())
    indices = random.Random(2).sample(range(MILLION), 100)
    return limited(
        "100 inclusion proofs at 1,000,000, 2 ms each",
        lambda: [log.inclusion(index) for index in indices],
        0.2,
    )


def growing(_: Path) -> Row:
    """The cost of a batch from a thousand to ten million entries, which shall not grow.

    Drawn to `PLOT`.
    """
    costs = growth()
    plot.append_cost(costs, BATCH, PLOT)
    for size, cost in costs.items():
        print(f"  {size:>12,} entries  {cost * 1e6 / BATCH:6.2f} µs an entry  "  # noqa: T201
              + "▇" * round(cost / max(costs.values()) * 40))  # fmt: skip
    least, most = costs[SIZES[0]], max(costs.values())
    return Row(
        "a batch of 256 at 10⁷ entries (memory)", round(costs[SIZES[-1]], 5), round(least, 5),
        round(costs[SIZES[-1]] / least, 3), "s", f"at 10³; worst {most / least:.2f}", 1.5,
    )  # fmt: skip


def growth() -> dict[int, float]:
    """Seconds for a batch at each of `SIZES`: medians, sizes in turn within each round.

    A log of ten million is not built: an append reads nothing but the tree's edge, and so an edge
    of that size, of whatever hashes, is all there is to make.
    """
    logs = {size: _at(size) for size in SIZES}
    costs: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(TURNS):
        for size, (log, outbox) in logs.items():
            outbox.recorded += BATCH
            costs[size].append(seconds(lambda log=log: log.sequence(NOW)))  # type: ignore[misc]
    return {size: statistics.median(taken[5:]) for size, taken in costs.items()}


def _at(size: int) -> tuple[Log, Outbox]:
    levels, rest = [], size
    while rest:
        levels.append(os.urandom(rest % 256 * 32))
        rest >>= 8
    edge = Edge(size, tuple(levels), tuple(os.urandom(32) for _ in range(size % 256)))
    store = MemoryStore()
    names = [tile for tile in edge.tiles() if tile.width]
    store.write(
        {
            tile.name: levels[tile.level]
            if tile.level >= 0
            else b"".join(b"\x00\x20" + entry for entry in edge.entries)
            for tile in names
        }
    )
    head = Checkpoint(signer().name, size, edge.root())
    store.write({CHECKPOINT: notes.sign(head.text(), signer())})
    outbox = Outbox(size, BATCH * TURNS)
    log = Log(store, signer(), outbox, batch=BATCH)
    log.sequence(NOW)
    assert Tree(store, size).root() == head.root
    return log, outbox

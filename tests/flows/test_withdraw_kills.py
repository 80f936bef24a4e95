"""`kill -9` in the middle of a batch of withdrawals, while files of the same people are processed.

Each round a file that names those who leave is processed by one process, while another completes
their withdrawals and dies just before one of its steps: a touch of the disk, a change of the books.
Whoever has a receipt has no row, after any death; at the end nothing of anyone is left anywhere.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from deltalake import DeltaTable
from pyarrow import parquet

from hub import consents, push, withdraw, worker
from hub.audit.log import Log
from hub.errors import Unavailable
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.storage.books import Books
from tests.flows import world
from tests.flows.test_withdraw import names_of
from tests.flows.test_withdraw_interleavings import rows_of
from tests.forks import CONTEXT
from tests.storage.scan import find
from tests.thorough import EVERYTHING

LEAVING: Final = [f"acc-leaves-{n}" for n in range(4)]
STAYS: Final = "acc-stays"
STEPS: Final = tuple(range(1, 60)) if EVERYTHING else (2, 7, 12, 17, 22)
"""Before which step each round dies; a last one is not killed."""
LEASE: Final = timedelta(milliseconds=700)
TOUCHES: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (os, ("fsync",)),
    (Path, ("unlink",)),
    (parquet, ("write_table",)),
    (DeltaTable, ("create_write_transaction", "create_checkpoint")),
    (Books, ("advance_withdrawals", "intend_rewrite", "record_rewrite", "drop_set_aside",
             "complete_withdrawals", "compact", "finish_job", "place_events")),
    (Log, ("sequence",)),
)  # fmt: skip


def opened(home: Path) -> Parts:
    return replace(world.hub_in(home), lease=LEASE)


def insisting(act: Callable[[], object]) -> None:
    """As a worker does: what waits for another is tried again."""
    until = time.monotonic() + 60
    while True:
        try:
            act()
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def processing(home: Path, push_id: str) -> None:
    parts = opened(home)
    insisting(lambda: push.process(parts, push_id))


def completing(home: Path, withdrawal_id: str, step: int) -> None:
    """Run in a child: complete the batch, and die just before the step-th of its steps."""
    parts = opened(home)
    count = 0

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    for owner, names in TOUCHES:
        for name in names:
            setattr(owner, name, before(getattr(owner, name)))
    insisting(lambda: withdraw.complete(parts, withdrawal_id))


def ended(process: BaseProcess) -> int | None:
    process.join(90)
    return process.exitcode


def test_killed_at_its_steps_beside_pushes_of_the_same_people(tmp_path: Path) -> None:
    parts = opened(tmp_path / "var")
    home = parts.settings.home
    world.reference_data(parts)
    world.agree(parts, STAYS, *LEAVING)
    world.pushed(parts, "coachco2/trips", world.trips([STAYS, *LEAVING], days=3))
    every = [name for person in LEAVING for name in names_of(parts, person)]
    pseudonyms = {name for person in LEAVING for name in names_of(parts, person)[2:]}
    assert rows_of(parts, pseudonyms) == 4 * 6
    assert find(home, every, parts.vault.unseal) != []
    made = [
        withdraw.withdraw(
            parts, OPERATOR, "coachco2", consents.digest_of(parts, "coachco2", one), via="cli"
        )
        for one in LEAVING
    ]
    deaths = 0
    for step in (*STEPS, 1_000_000):
        file = world.trips([STAYS, *LEAVING], days=3)
        sent, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [file])
        children = [
            CONTEXT.Process(target=processing, args=(home, sent.id)),
            CONTEXT.Process(target=completing, args=(home, made[0].id, step)),
        ]
        for child in children:
            child.start()
        processed, completed = (ended(child) for child in children)
        assert processed == 0
        assert completed in (0, -signal.SIGKILL)
        deaths += completed != 0
        receipts = [one for one in parts.books.withdrawals() if one.completed_at is not None]
        assert len(receipts) in (0, 4), "all of them, or none"
        assert not receipts or rows_of(parts, pseudonyms) == 0
    assert deaths >= 4
    later = replace(parts, clock=lambda: made[0].requested_at + timedelta(hours=1))
    worker.drain(later)
    assert parts.books.pending_pushes() == []
    assert all(withdraw.receipt(parts, one) for one in parts.books.withdrawals())
    assert len(parts.books.events(kind="withdrawal.completed")) == 1
    assert rows_of(parts, pseudonyms) == 0
    assert find(home, every, parts.vault.unseal) == []
    assert find(home, names_of(parts, STAYS), parts.vault.unseal) != []
    assert reconcile(parts).problems == []
    parts.books.close()

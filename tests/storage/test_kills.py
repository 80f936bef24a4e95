"""`kill -9` in the middle of an append, a rewrite or a purge, then again until it succeeds.

Two ways of choosing the moment: at every step that touches the disk, in turn, so that none is
missed; and at random times, so that those inside the libraries are met too.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
from deltalake import DeltaTable

from hub.storage.leaves import Layout
from hub.storage.tables import DeltaTables
from tests.forks import CONTEXT
from tests.storage import making
from tests.storage.making import NAME
from tests.storage.scan import find

PEOPLE = range(60)
LEAVING = range(0, 60, 7)
RANDOM_KILLS = 15


def append(root: Path) -> None:
    chunks = (making.trips(PEOPLE[start : start + 20]) for start in (0, 20, 40))
    stored = DeltaTables(root).append(NAME, chunks, "push-2", personal=True)
    assert stored.rows == 240
    assert stored.version == 2


def rewrite(root: Path) -> None:
    DeltaTables(root).rewrite(NAME, making.gone(LEAVING))


def gather(root: Path) -> None:
    DeltaTables(root, Layout(rows=8, loose=8)).gather(NAME)


def drop(root: Path) -> None:
    DeltaTables(root).drop(NAME, making.PERIODS[:1])


def purge(root: Path) -> None:
    DeltaTables(root).purge(NAME)


def prepared(root: Path, action: Callable[[Path], None]) -> None:
    tables = DeltaTables(root)
    tables.append(NAME, [making.trips(PEOPLE)], "push-1", personal=True)
    if action is not append:
        append(root)
    if action is purge:
        rewrite(root)


def check_between(root: Path) -> None:
    """After any kill the table is readable, and each commit took effect whole or not at all."""
    people = making.people_in(DeltaTables(root).snapshot([NAME]))
    assert people in (
        making.expected(PEOPLE),
        making.expected(PEOPLE, each=4),
        making.expected(set(PEOPLE) - set(LEAVING), each=4),
        making.expected(PEOPLE, each=4, periods=making.PERIODS[1:]),
    )


def check_after(root: Path, action: Callable[[Path], None]) -> None:
    tables = DeltaTables(root)
    opened = tables.snapshot([NAME])
    left = LEAVING if action in (rewrite, purge) else ()
    periods = making.PERIODS[1:] if action is drop else making.PERIODS
    there = making.expected(set(PEOPLE) - set(left), each=4, periods=periods)
    assert making.people_in(opened) == there
    assert opened.versions == {NAME: 2 if action is append else 3}, "one commit each"
    append(root)
    tables.purge(NAME)
    on_disk = {str(path) for path in root.rglob("*.parquet") if "_delta_log" not in str(path)}
    assert on_disk == set(tables.snapshot([NAME]).files[NAME])
    gone = [making.pseudonym(person, period) for person in left for period in making.PERIODS]
    assert find(root, gone) == []


def dying_at(step: int, root: Path, action: Callable[[Path], None]) -> None:
    """Run in a child: do `action`, and die just before the step-th touch of the disk."""
    count = 0

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    for owner, names in (
        (os, ("fsync",)),
        (Path, ("unlink", "rmdir")),
        (pads, ("write_dataset",)),
        (DeltaTable, ("create", "create_write_transaction", "create_checkpoint")),
    ):
        for name in names:
            setattr(owner, name, before(getattr(owner, name)))
    action(root)


def announced(action: Callable[[Path], None], root: Path, started: Any) -> None:
    started.set()
    action(root)


def ended(process: BaseProcess) -> int | None:
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("action", [append, rewrite, gather, purge])
def test_killed_at_every_step(tmp_path: Path, action: Callable[[Path], None]) -> None:
    prepared(tmp_path, action)
    deaths = 0
    for step in range(1, 500):
        # Later steps come later in the work that is left: stride so that all kinds are met.
        child = CONTEXT.Process(target=dying_at, args=(1 + step * step // 8, tmp_path, action))
        child.start()
        code = ended(child)
        check_between(tmp_path)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
    assert deaths >= 10
    check_after(tmp_path, action)


@pytest.mark.parametrize("action", [append, rewrite, gather, drop, purge])
def test_killed_at_random(tmp_path: Path, action: Callable[[Path], None]) -> None:
    prepared(tmp_path, action)
    moments = random.Random(20261129)
    for _ in range(RANDOM_KILLS):
        started = CONTEXT.Event()
        child = CONTEXT.Process(target=announced, args=(action, tmp_path, started))
        child.start()
        assert started.wait(60)
        time.sleep(moments.uniform(0, 0.06))
        child.kill()
        assert ended(child) in (0, -signal.SIGKILL)
        check_between(tmp_path)
    action(tmp_path)
    check_after(tmp_path, action)


def test_killed_before_the_first_commit(tmp_path: Path) -> None:
    """The very first push: the table itself is created once."""

    def check() -> None:
        opened = DeltaTables(tmp_path).snapshot([NAME])
        assert opened.versions[NAME] in (-1, 0, 1)

    code: int | None = None
    for step in (*range(1, 80, 7), 10_000):
        child = CONTEXT.Process(target=dying_at, args=(step, tmp_path, first))
        child.start()
        code = ended(child)
        check()
    assert code == 0
    opened = DeltaTables(tmp_path).snapshot([NAME])
    assert opened.versions == {NAME: 1}
    assert making.people_in(opened) == making.expected(PEOPLE)


def first(root: Path) -> None:
    DeltaTables(root).append(NAME, [making.trips(PEOPLE)], "push-1", personal=True)

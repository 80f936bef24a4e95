"""A withdrawal while pushes of the same person are processed, in any order of their steps.

Each actor runs in a thread that stops before every step that touches a lease, a table or the
books; Hypothesis says who goes next. Whatever the order: once the withdrawal has its receipt, no
row of the person is in a table, and at the end no trace of them anywhere.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import consents, push, withdraw, worker
from hub.errors import Unavailable
from hub.parts import OPERATOR, Parts
from tests.flows import world
from tests.flows.test_withdraw import OTHERS, PERSON, found, kept, names_of

STEPS: Final = {
    "holding", "standing", "withdraw", "intend_rewrite", "record_rewrite", "together",
    "finish_push", "append", "rewrite", "purge",
}  # fmt: skip
ACTORS: Final = ("push", "leaves", "push again")
BLOCKED: Final = 0.3
"""Seconds after which an actor that has not come to its next step waits for another's lease."""


class Turns:
    """Who may go on: an actor that comes to a step waits there until it is its turn."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._go = {name: threading.Semaphore(0) for name in ACTORS}
        self._there = {name: threading.Event() for name in ACTORS}
        self._done: set[str] = set()
        self.free = False

    def start(self, name: str, work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            self._local.name = name
            self.step()
            try:
                work()
            except Unavailable:
                pass  # it waited too long for a lease: the worker does it again
            finally:
                self._done.add(name)
                self._there[name].set()

        thread = threading.Thread(target=run, name=name)
        thread.start()
        self._there[name].wait(10)
        return thread

    def step(self) -> None:
        name = getattr(self._local, "name", None)
        if name is not None and not self.free:
            self._there[name].set()
            self._go[name].acquire()

    def advance(self, name: str) -> None:
        if name in self._done:
            return
        if self._there[name].is_set():
            self._there[name].clear()
            self._go[name].release()
        self._there[name].wait(BLOCKED)

    def release(self) -> None:
        self.free = True
        for go in self._go.values():
            go.release(1000)


class Stepped:
    """A part of the hub that stops before its steps."""

    def __init__(self, part: Any, turns: Turns) -> None:
        self._part, self._turns = part, turns

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._part, name)
        if name not in STEPS:
            return member

        def stepped(*args: Any, **kwargs: Any) -> Any:
            self._turns.step()
            return member(*args, **kwargs)

        return stepped


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template") / "var"
    parts = world.hub_with_places(home)
    world.agree(parts, PERSON, *OTHERS)
    world.pushed(parts, "coachco2/trips", world.trips([PERSON, *OTHERS]))
    for days in (5, 10):
        push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips([PERSON, "x"], days)])
    parts.books.close()
    return home


def rows_of(parts: Parts, names: set[bytes]) -> int:
    name = "coachco2/trips/trips"
    files = parts.tables.snapshot([name]).files[name]
    columns = [pq.ParquetFile(file).read(["pseudonym"]).column(0).to_pylist() for file in files]
    return sum(one in names for column in columns for one in column)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.sampled_from(ACTORS), min_size=6, max_size=24))
def test_no_row_is_visible_after_the_receipt(
    template: Path, tmp_path: Path, order: list[str]
) -> None:
    home = tmp_path / f"hub-{len(list(tmp_path.iterdir()))}"
    shutil.copytree(template, home)
    plain = world.hub_in(home)
    turns = Turns()
    parts = replace(
        plain,
        books=Stepped(plain.books, turns),  # type: ignore[arg-type]
        tables=Stepped(plain.tables, turns),  # type: ignore[arg-type]
    )
    first, second = [made.id for made in plain.books.pending_pushes()]
    digest = consents.digest_of(plain, "coachco2", PERSON)
    names = set(names_of(plain, PERSON)[2:])
    assert rows_of(plain, names) == 16

    def leaves() -> None:
        made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
        withdraw.complete(parts, made.id)

    def check() -> None:
        if any(one.completed_at for one in plain.books.withdrawals()):
            assert rows_of(plain, names) == 0

    actors = {
        "push": lambda: push.process(parts, first),
        "leaves": leaves,
        "push again": lambda: push.process(parts, second),
    }
    threads = [turns.start(name, work) for name, work in actors.items()]
    try:
        for name in order:
            turns.advance(name)
            check()
    finally:
        turns.release()
        for thread in threads:
            thread.join(60)
    check()
    worker.drain(plain)
    assert plain.books.withdrawals()[0].completed_at is not None
    assert plain.books.pending_pushes() == []
    assert kept(plain) == 80
    assert found(plain, PERSON) == []
    plain.books.close()
    shutil.rmtree(home)

"""`kill -9` at any step of a push, then again: it completes once, and the counts agree."""

import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hub import push, withdraw, worker
from hub.consents import digest_of
from hub.parts import OPERATOR, Parts
from hub.records import PushState
from tests.flows import world
from tests.flows.test_quarantine import taps
from tests.forks import CONTEXT

PEOPLE = [f"acc-{n:03d}" for n in range(4)]
STEPS = (
    "vault.stream",
    "books.standing",
    "keyring.period_key",
    "tables.append:before",
    "tables.append:after",
    "books.finish_push:before",
    "books.finish_push:after",
    "vault.forget:before",
    "vault.forget:after",
    "log.sequence:before",
    "log.sequence:after",
)


def die(step: str, home: Path) -> None:
    """Run in a child: work, and die at this step."""
    parts = world.hub_in(home)
    path, _, when = step.partition(":")
    part, method = path.split(".")
    kind = type(getattr(parts, part))
    original = getattr(kind, method)

    def killed(*args: Any, **kwargs: Any) -> None:
        if when == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(kind, method, killed)
    worker.drain(parts)


def die_at(step: str, home: Path) -> int | None:
    """How a worker ended that kills itself at a step."""
    child = CONTEXT.Process(target=die, args=(step, home))
    child.start()
    child.join()
    return child.exitcode


def rows(parts: Parts) -> int:
    files = parts.tables.snapshot(["coachco2/trips/trips"]).files["coachco2/trips/trips"]
    return sum(pq.read_metadata(file).num_rows for file in files)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_a_push_completes_once(step: str, tmp_path: Path) -> None:
    home = tmp_path / "var"
    parts = world.hub_with_places(home)
    world.agree(parts, *PEOPLE[:3])
    made, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips(PEOPLE)])
    assert die_at(step, home) == -signal.SIGKILL
    later = replace(parts, clock=lambda: made.accepted_at + timedelta(days=1))
    worker.drain(later)
    push.sweep(later, later.clock())  # as a worker does when it starts
    done = parts.books.push(made.id)
    assert done is not None
    assert done.state is PushState.STORED
    assert (done.received, done.kept, rows(parts)) == (68, 48, 48)
    assert len(parts.books.events(kind="push.stored", about=made.id)) == 1
    assert list(parts.vault.names()) == []
    assert done.log_index is not None


def test_a_stream_is_counted_where_its_rows_are_there_already(tmp_path: Path) -> None:
    """The re-run finds its rows in the table; what was wrong in the file is told all the same."""
    home = tmp_path / "var"
    parts = world.hub_in(home)
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [taps(7, 2)])
    assert die_at("books.finish_push:before", home) == -signal.SIGKILL
    worker.drain(replace(parts, clock=lambda: made.accepted_at + timedelta(days=1)))
    done = parts.books.push(made.id)
    assert done is not None
    assert (done.received, done.valid, done.rejected, done.kept) == (9, 7, 2, 7)
    assert sum(done.reasons.values()) == len(parts.books.rejections(made.id)) == 2


@pytest.mark.parametrize(
    "step",
    ["tables.rewrite:after", "tables.purge:before", "tables.purge:after",
     "books.together:before", "books.compact:before"],
)  # fmt: skip
def test_killed_at_any_step_a_withdrawal_completes(step: str, tmp_path: Path) -> None:
    home = tmp_path / "var"
    parts = world.hub_with_places(home)
    world.agree(parts, *PEOPLE)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE))
    digest = digest_of(parts, "coachco2", PEOPLE[0])
    made = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    assert die_at(step, home) == -signal.SIGKILL
    at = made.requested_at
    worker.drain(replace(parts, clock=lambda: at.replace(year=at.year + 1)))
    done = parts.books.withdrawal(made.id)
    assert done is not None
    assert done.completed_at is not None
    assert rows(parts) == 48
    assert len(parts.books.events(kind="withdrawal.completed", about=made.id)) == 1

"""What tests run in processes of their own: `python workers.py <what> <address> <arguments>`."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event as sql
from sqlalchemy import select

from hub.errors import Unavailable
from hub.events import Kind
from hub.storage.books import Books
from hub.storage.books.schema import metadata
from tests.storage.books import made

LOST = 7
TTL = timedelta(seconds=1)
BATCH = 100


def clock() -> datetime:
    return datetime.now(UTC)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def create(url: str, start: str) -> None:
    """Open the books at the moment a file appears, in two threads."""
    failed: list[BaseException] = []

    def once(_: int) -> None:
        wait_for(start)
        try:
            books = Books.open(url)
            books.check()
            books.close()
        except Unavailable as error:
            failed.append(error)

    together(once, 2)
    sys.exit(len(failed))


def drain(url: str, diary: str, jobs_to_live: str) -> None:
    """Do all jobs there are, in four threads; die on taking the n-th, if ever.

    The diary gets a line for each job done, before it is struck off.
    """
    books = Books.open(url)
    taken = itertools.count(1)

    def work(number: int) -> None:
        while job := books.lease_job(f"{os.getpid()}-{number}", made.NOW, made.HOUR):
            if next(taken) == int(jobs_to_live):
                os.kill(os.getpid(), signal.SIGKILL)
            with Path(diary).open("a") as lines:
                lines.write(f"{job.about}\n")
            books.finish_job(job.id)

    together(work, 4)
    books.close()


def hold(url: str, ready: str) -> None:
    """Hold the lease "log" until told to go on; exit with `LOST` where it is lost by then."""
    books = Books.open(url)
    try:
        with books.holding("log", "a", clock, TTL, timedelta(0)) as held:
            Path(ready).touch()
            wait_for(f"{ready}.go")
            held.check()
    except Unavailable as error:
        sys.exit(LOST if error.code == "lease-lost" else 1)


def give(url: str, ready: str) -> None:
    """Import batches of grants until killed."""
    books = Books.open(url)
    for number in itertools.count():
        batch = [made.grant(f"{os.getpid()}-{number}-{n}", f"{number} {n}") for n in range(BATCH)]
        books.give(batch, event=made.event(Kind.CONSENT_IMPORTED))
        Path(ready).touch()


def crash(url: str, told: str) -> None:
    """Do each act until it succeeds, killed before its first statement, its second…, its commit.

    Writes a line for each attempt: the act, whether it was killed, whether anything changed.
    """
    withdrawal = made.withdrawal("w1", "ada")
    acts: dict[str, Callable[[Books], Any]] = {
        "accept_push": lambda b: b.accept_push(made.push(), event=made.event()),
        "finish_push": lambda b: b.finish_push(
            made.stored(), [made.row(1, "ada"), made.row(2)], event=made.event()
        ),
        "give": lambda b: b.give([made.grant("g1", "ada")], event=made.event()),
        "withdraw": lambda b: b.withdraw(withdrawal, event=made.event()),
        "complete_withdrawals": lambda b: b.complete_withdrawals(
            [replace(withdrawal, subject=made.digest("mark"))], event=made.event()
        ),
        "drop_set_aside": lambda b: b.drop_set_aside(push="p1", event=made.event()),
        "intend_release": lambda b: b.intend_release("digest-1", {}, event=made.event()),
        "publish_release": lambda b: b.publish_release(made.release(), event=made.event()),
    }
    before = state(url)
    with Path(told).open("w") as lines:
        for name, act in acts.items():
            for step in itertools.count(1):
                killed = killed_at(url, act, step)
                after = state(url)
                lines.write(json.dumps([name, step, killed, after != before]) + "\n")
                before = after
                if not killed:
                    break


def killed_at(url: str, act: Callable[[Books], Any], step: int) -> bool:
    """Do an act in a child that is killed before its n-th write or commit; False if it got by.

    A child that got by is killed too, right after the act returned.
    """
    child = os.fork()
    if child == 0:
        books = Books.open(url)
        steps = itertools.count(1)

        def die(*_: object) -> None:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sql.listen(books._writer, "before_cursor_execute", die)
        sql.listen(books._writer, "commit", die)
        act(books)
        Path(f"{books._engine.url.database}.{step}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    got_by = Path(f"{url.removeprefix('sqlite:///')}.{step}")
    if got_by.exists():
        got_by.unlink()
        return False
    return True


def state(url: str) -> str:
    """A digest of everything in the books."""
    books = Books.open(url)
    try:
        with books._engine.connect() as connection:
            rows = [connection.execute(select(t)).all() for t in metadata.sorted_tables]
    finally:
        books.close()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def together(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    workers: dict[str, Callable[..., None]] = {
        work.__name__: work for work in (create, drain, hold, give, crash)
    }
    workers[sys.argv[1]](*sys.argv[2:])

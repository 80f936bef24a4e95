"""The worker: takes jobs under a lease, one at a time in each of two lanes, until told to stop.

What partners wait for has a lane of its own. Were it done in turn with what people have asked for,
a partner could tell from how long its push takes that somebody withdrew just then.

A job that ends is marked by its own verb, in the transaction of its result. A job that fails for
want of a part waits and is tried again; so is one that meets a fault of ours, because nothing that
was acknowledged may be lost. A worker that dies is followed by another when its lease runs out.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from hub import (
    backup,
    birthdays,
    corrections,
    participation,
    pull,
    push,
    quarantine,
    requests,
    retention,
    uploads,
    withdraw,
)
from hub.audit.publish import next_moment
from hub.audit.tiles import CHECKPOINT
from hub.errors import HubError, Unavailable, fault
from hub.parts import Parts
from hub.records import Job
from hub.storage.books import STOP

log = logging.getLogger("hub.worker")

Verb = Callable[[Parts, str], object]
FILES: Final[Mapping[str, Verb]] = {
    "push": push.process,
    "upload": uploads.assemble,
    "pull": pull.attempt,
}
"""What partners wait for."""
PEOPLE: Final[Mapping[str, Verb]] = {
    "withdrawal": withdraw.complete,
    STOP: participation.settle,
    "expiry": birthdays.erase,
    "correction": corrections.settle,
}
"""What people have asked for, and time brings."""
LANES: Final = (FILES, PEOPLE)
LONGEST_SLEEP: Final = 1.0
IDLE: Final = 0.2
SECOND: Final = timedelta(seconds=1)
SCHEDULE: Final = timedelta(minutes=1)
SWEEP: Final = timedelta(minutes=10)
DAY: Final = timedelta(days=1)
DEATHS: Final = 3
"""Attempts after which a push whose time is over is not begun again: it may kill each worker."""
LONGEST_WAIT: Final = timedelta(minutes=5)


def run(parts: Parts, stop: threading.Event) -> None:
    """Work until `stop` is set; the jobs under way are finished first."""
    publishing = threading.Thread(
        target=publish, args=(parts, stop), name="publication", daemon=True
    )
    with settled():
        publishing.start()
        with ThreadPoolExecutor(1, "people") as pool:
            people = pool.submit(keep_at, parts, stop, PEOPLE, {})
            keep_at(parts, stop, FILES)
        people.result()  # what ended it ends this process too: another is started


@contextmanager
def settled() -> Iterator[None]:
    """Spare what is loaded by now the garbage collector's walks: it stays until the end.

    A walk over every module takes a tenth of a second and more, in the midst of any job. At the end
    the collector has it back: DuckDB lists whatever is left then as leaked, at every stop.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def keep_at(
    parts: Parts,
    stop: threading.Event,
    lane: Mapping[str, Verb],
    due: dict[str, datetime] | None = None,
) -> None:
    """Do the jobs of a lane until told to stop, and the chores where `due` is given.

    Chores may have to wait for a table, so they are no business of the lane of files.
    """
    try:
        while not stop.is_set():
            try:
                if due is not None:
                    chores(parts, due)
                worked = step(parts, [lane])
            except Unavailable as error:
                log.warning("a part is unavailable: %s", error.code)
                worked = False
            if not worked:
                stop.wait(IDLE)
    finally:
        stop.set()  # one lane does not go on without the other


def chores(parts: Parts, due: dict[str, datetime]) -> None:
    """Do what is to be done from time to time, where `due` says so; it is told when again.

    One that has to wait, for a table another worker is writing, keeps no job waiting.
    """
    now = parts.clock()
    for name, (every, do) in CHORES.items():
        if now < due.get(name, now):
            continue
        due[name] = now + min(every, LONGEST_WAIT)
        try:
            do(parts, now)
        except Unavailable as error:
            log.warning("%s waits: %s", name, error.code)
        else:
            due[name] = now + every


def publish(parts: Parts, stop: threading.Event) -> None:
    """Bring the public log up to date at the moments of its schedule, until told to stop.

    On a thread of its own: a moment that waited for a long job would tell that there was one.
    """
    period = timedelta(seconds=parts.settings.checkpoint_seconds)
    first = parts.publisher.public.read(CHECKPOINT) is None
    due = parts.clock() if first else next_moment(parts.clock(), period)
    while not stop.is_set():
        now = parts.clock()
        if now < due:
            due = min(due, next_moment(now, period))  # the clock may have been set back
            stop.wait(min((due - now).total_seconds(), LONGEST_SLEEP))
            continue
        try:
            parts.publish()
        except HubError as error:
            log.warning("the public log waits: %s", error.code)
        due = next_moment(parts.clock(), period)


def tidy(parts: Parts, now: datetime) -> None:
    """Destroy what nobody waits for any more: orphans of crashes, rows set aside for long."""
    push.sweep(parts, now)
    uploads.expire(parts, now)
    quarantine.expire(parts, now)
    birthdays.sweep(parts, now)
    requests.expire(parts)
    parts.books.forget_expired(now)


def keep(
    parts: Parts, now: datetime, progress: Callable[[str], None] = lambda _step: None
) -> list[retention.Due]:
    """End what has been kept for as long as it may be, sealed files excepted: jobs hold those.

    Returns what went, of all that was due.
    """
    found = retention.due(parts)
    backup.expire(parts)
    quarantine.expire(parts, now)
    retention.run(parts, progress)
    left = retention.due(parts)
    return [one for one in found if one not in left]


def keep_up(parts: Parts, now: datetime) -> None:
    """Take in what people have said.

    Were it left to the next push, its partner could see by its duration that somebody had just
    withdrawn.
    """
    parts.books.keep_up(now)


CHORES: Final[Mapping[str, tuple[timedelta, Callable[[Parts, datetime], object]]]] = {
    "standing": (SECOND, keep_up),
    "sweeping": (SWEEP, tidy),
    "retention": (DAY, keep),
    "pulls": (SCHEDULE, pull.schedule),
}


def step(parts: Parts, lanes: Sequence[Mapping[str, Verb]] = LANES) -> bool:
    """Do one job of these lanes, or let the log catch up. Returns whether a job was done."""
    for lane in lanes:
        job = parts.books.lease_job(parts.owner, parts.clock(), parts.lease, lane)
        if job is not None:
            _do(parts, job, lane[job.kind])
            return True
    if parts.books.pending_events(1):
        parts.sequence()
    return False


def _named(job: Job) -> str:
    """A job as the process log may name it: no digest of a code, and no days of a correction."""
    return f"{job.kind} {job.id if job.kind == STOP else job.about.partition('.')[0]}"


def _do(parts: Parts, job: Job, verb: Verb) -> None:
    with _heartbeat(parts, job):
        try:
            if job.kind == "push" and job.attempts > DEATHS and push.expire(parts, job.about):
                return
            verb(parts, job.about)
        except HubError as error:
            log.warning("job %s waits: %s", _named(job), error.code)
            _again(parts, job)
        except Exception as error:  # noqa: BLE001 - an edge: an acknowledged push is never dropped
            log.error("job %s met a fault: %s", _named(job), fault(error))  # noqa: TRY400
            _again(parts, job)
        else:
            parts.books.finish_job(job.id)


def drain(parts: Parts) -> int:
    """Work until no job is ready. Returns how many were done."""
    done = 0
    while step(parts):
        done += 1
    return done


def _again(parts: Parts, job: Job) -> None:
    # Only now: a hub that was off for long still does what it acknowledged, if it can be done.
    if job.kind == "push" and push.expire(parts, job.about):
        return
    wait = min(timedelta(seconds=2.0 ** min(job.attempts, 16)), LONGEST_WAIT)
    parts.books.retry_job(job.id, parts.clock() + wait)


@contextmanager
def _heartbeat(parts: Parts, job: Job) -> Iterator[None]:
    """Keep the job's lease alive while it is worked on."""

    def beat() -> None:
        parts.books.renew_job(job.id, parts.owner, parts.clock(), parts.lease)

    with repeated(beat, parts.lease.total_seconds() / 3, f"lease-{job.id}"):
        yield


@contextmanager
def repeated(act: Callable[[], object], seconds: float, name: str) -> Iterator[None]:
    """Do something every so many seconds, on a thread of this name, while other work is done."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

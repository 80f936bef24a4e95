"""Leases by name: one writer per table and one for the log, over threads, processes and hosts."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update

from hub.errors import Conflict, HubError, Unavailable
from hub.storage.books.desk import Desk
from hub.storage.books.schema import leases

FIRST_PAUSE: Final = 0.002
PAUSE: Final = 0.05
"""Seconds between two attempts to get a lease: each longer than the one before, up to this."""


class Leases(Desk):
    """Who alone may do something now. Nobody holds a lease twice, not even its owner."""

    def __init__(self, engine: Engine, randomness: Callable[[int], bytes]) -> None:
        super().__init__(engine, randomness)
        self._queues: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def lease(self, name: str, owner: str, now: datetime, ttl: timedelta) -> bool:
        """Take a lease until `now + ttl`; False where someone holds it, be it `owner`."""
        held = select(leases.c.name).where(leases.c.name == name, leases.c.until > now)
        with self._read() as connection:
            if connection.execute(held).first() is not None:
                return False  # those who wait take no write lock
        try:
            with self._share() as connection:
                expired = (leases.c.name == name) & (leases.c.until <= now)
                connection.execute(delete(leases).where(expired))
                connection.execute(insert(leases).values(name=name, owner=owner, until=now + ttl))
        except Conflict:
            return False  # someone was quicker
        return True

    def renew(self, name: str, owner: str, now: datetime, ttl: timedelta) -> bool:
        """Hold a lease longer; False where it passed to someone else."""
        with self._share() as connection:
            done = connection.execute(
                update(leases)
                .where(leases.c.name == name, leases.c.owner == owner)
                .values(until=now + ttl)
            )
            return done.rowcount == 1

    def release_lease(self, name: str, owner: str) -> bool:
        """Give a lease back; False where `owner` no longer has it."""
        mine = (leases.c.name == name) & (leases.c.owner == owner)
        with self._share() as connection:
            return connection.execute(delete(leases).where(mine)).rowcount == 1

    @contextmanager
    def holding(
        self,
        name: str,
        owner: str,
        clock: Callable[[], datetime],
        ttl: timedelta,
        wait: timedelta,
    ) -> Iterator[Held]:
        """Hold a lease for a block, renewed behind its back.

        Raises `Unavailable` where it is not to be had within `wait` (`lease-busy`), and at the
        end where it was lost meanwhile (`lease-lost`): the block's work is then to be done again.
        """
        holder = self._holder(owner)
        for _ in _attempts(name, wait):
            if self.lease(name, holder, clock(), ttl):
                break
        with self._keeping(name, holder, clock, ttl) as held:
            yield held

    def one_for_all(
        self,
        name: str,
        owner: str,
        clock: Callable[[], datetime],
        ttl: timedelta,
        wait: timedelta,
        work: Callable[[], object],
        done: Callable[[], bool],
    ) -> None:
        """Have `work` done under a lease: by us, or by whoever holds it where that is enough.

        Who waits for the lease asks `done` as well: what its holder does, it does for all who
        wait, and they need no turns of their own. Threads of one process queue up without asking
        the books. Raises as `holding` does.
        """
        queue = self._queues[name]
        at_once = queue.acquire(blocking=False)
        if not at_once and not queue.acquire(timeout=wait.total_seconds()):
            raise _busy(name)
        try:
            holder = self._holder(owner)
            for attempt in _attempts(name, wait):
                if (attempt or not at_once) and done():
                    return
                if self.lease(name, holder, clock(), ttl):
                    break
            with self._keeping(name, holder, clock, ttl):
                work()
        finally:
            queue.release()

    def _holder(self, owner: str) -> str:
        # Two threads of one process share an owner's name and must still exclude each other.
        return f"{owner}#{self._randomness(8).hex()}"

    @contextmanager
    def _keeping(
        self, name: str, holder: str, clock: Callable[[], datetime], ttl: timedelta
    ) -> Iterator[Held]:
        """A lease that was got, until the end of a block."""
        held = Held(name, lambda: self.renew(name, holder, clock(), ttl), ttl)
        try:
            yield held
        except BaseException:
            held.stop()
            self.release_lease(name, holder)
            raise
        held.stop()
        if not self.release_lease(name, holder):
            raise _lost(name)


def _attempts(name: str, wait: timedelta) -> Iterator[int]:
    """Number the attempts to get a lease, pausing between them. Raises `Unavailable` at the end."""
    deadline = time.monotonic() + wait.total_seconds()
    pause = FIRST_PAUSE
    for attempt in itertools.count():
        yield attempt
        if time.monotonic() >= deadline:
            raise _busy(name)
        time.sleep(pause)
        pause = min(pause * 1.5, PAUSE)


class Held:
    """A lease in hand. Ask `check` right before an act that nobody else may do meanwhile.

    The row in the books is the only truth: its holder's name is used once, so as long as it
    stands there nobody else had the lease, however long this process was suspended.
    """

    def __init__(self, name: str, renew: Callable[[], bool], ttl: timedelta) -> None:
        self._name = name
        self._renew = renew
        self._pause = ttl.total_seconds() / 3
        self._stopped = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)
        self._renewer.start()

    def check(self) -> None:
        """Renew now. Raises `Unavailable` where the lease is lost or the books do not answer."""
        if not self._renew():
            raise _lost(self._name)

    def stop(self) -> None:
        """Stop renewing."""
        self._stopped.set()
        self._renewer.join()

    def _keep(self) -> None:
        while not self._stopped.wait(self._pause):
            try:
                if not self._renew():
                    return  # `check` will say so, at the latest at the end of the block
            except HubError:
                continue  # the books may be back before the lease runs out


def _busy(name: str) -> Unavailable:
    return Unavailable(
        "lease-busy",
        fr=f"Un autre processus détient « {name} » ; réessayez plus tard.",
        en=f"Another process holds “{name}”; try again later.",
        who="operator",
        where=name,
    )


def _lost(name: str) -> Unavailable:
    return Unavailable(
        "lease-lost",
        fr=f"Le bail « {name} » a été perdu en cours de travail ; le travail sera repris.",
        en=f"The lease “{name}” was lost during the work; the work will be done again.",
        who="operator",
        where=name,
    )

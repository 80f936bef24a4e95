"""Leases by name: one writer per table and one for the log, over threads, processes and hosts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update

from hub.errors import Conflict, HubError, Unavailable
from hub.storage.books.desk import Desk
from hub.storage.books.schema import leases

PAUSE: Final = 0.05
"""Seconds between two attempts to get a lease."""


class Leases(Desk):
    """Who alone may do something now. Nobody holds a lease twice, not even its owner."""

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

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back; nothing where `owner` no longer has it."""
        mine = (leases.c.name == name) & (leases.c.owner == owner)
        with self._share() as connection:
            connection.execute(delete(leases).where(mine))

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
        # Two threads of one process share an owner's name and must still exclude each other.
        holder = f"{owner}#{self._randomness(8).hex()}"
        deadline = time.monotonic() + wait.total_seconds()
        while not self.lease(name, holder, clock(), ttl):
            if time.monotonic() >= deadline:
                raise _busy(name)
            time.sleep(PAUSE)
        held = Held(name, lambda: self.renew(name, holder, clock(), ttl), ttl)
        try:
            yield held
            held.check()
        finally:
            held.stop()
            self.release_lease(name, holder)


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

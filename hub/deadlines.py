"""A deadline for the whole of a call to another process, whatever it does.

Clients count time per read: a server that sends a byte at a time holds them for ever. So the call
runs on a thread of its own; when the deadline passes nobody waits for that thread any more. There
are only so many at a time, so that a server which holds them all gets no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

AT_ONCE: Final = 32
T = TypeVar("T")


class Deadline(Generic[T]):
    """Calls that end within `seconds`. Safe to share between threads."""

    def __init__(
        self,
        seconds: float,
        errors: tuple[type[Exception], ...],
        at_once: int = AT_ONCE,
        turn: float | None = None,
    ) -> None:
        """`errors` are those a call may raise; any other is a fault, and told by its thread.

        `turn` is how long one may wait for its turn, as long as for the call if it is not said.
        """
        self._seconds = seconds
        self._turn = seconds if turn is None else turn
        self._errors = errors
        self._slots = threading.BoundedSemaphore(at_once)

    def call(self, name: str, act: Callable[[], T]) -> T:
        """What `act` returns or raises of `errors`; `TimeoutError` where neither comes in time."""
        ends = time.monotonic() + self._seconds
        if not self._slots.acquire(timeout=self._turn):
            raise TimeoutError
        returned: list[T] = []
        raised: list[Exception] = []

        def run() -> None:
            try:
                returned.append(act())
            except self._errors as error:
                raised.append(error)
            finally:
                self._slots.release()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        thread.join(max(0.0, ends - time.monotonic()))
        if raised:
            raise raised[0]
        if not returned:
            raise TimeoutError
        return returned[0]

"""Waiting at a terminal: bars that say how far the work is, and doing what nobody else does.

Bars stand on the error stream, on a terminal only, and are gone at the end: what a command prints
is the same with and without them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from hub.cli import edge
from hub.errors import Unavailable

if TYPE_CHECKING:
    from hub.parts import Parts

VERIFYING: Final = "Vérification / verifying"
TOLD_EVERY: Final = 0.5
"""Seconds from one look at how far the work is to the next."""


class _Logged(Protocol):
    """What is finished when it has its place in the log."""

    @property
    def log_index(self) -> int | None: ...


Record = TypeVar("Record", bound=_Logged)


def in_bytes() -> Progress:
    """Bars of files."""
    return _bars(DownloadColumn(binary_units=True))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar over things of one kind: tell it how many are done, and how many there are if known."""
    with _bars(MofNCompleteColumn()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, size: progress.update(task, completed=done, total=size)


@contextmanager
def stepping(steps: Mapping[str, str], of: str = "") -> Iterator[Callable[[str], None]]:
    """A bar over steps, given in their order with their words: tell it each one that begins."""
    places = {name: place for place, name in enumerate(steps)}
    with _bars(MofNCompleteColumn()) as progress:
        task = progress.add_task(of, total=len(steps))

        def begun(name: str) -> None:
            told = " · ".join(filter(None, (of, steps[name])))
            progress.update(task, description=told, completed=places[name])

        yield begun


def finished(
    parts: Parts, ask: Callable[[], Record], under_way: Callable[[Record], bool]
) -> Record:
    """Work, or wait for a worker that does, until a record is done and in the log.

    It is asked for beside the work too, so that whoever asks can move a bar.
    """
    from hub import worker  # every verb: what only counts does without

    def look() -> None:
        with suppress(Unavailable):  # the work itself will meet the same trouble and say so
            ask()

    with worker.repeated(look, TOLD_EVERY, "progress"):
        while under_way(ask()):
            if not worker.step(parts):
                time.sleep(0.05)
        if ask().log_index is None:
            parts.sequence()
    return ask()


def _bars(count: ProgressColumn) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        console=edge.err,
        disable=not edge.err.is_terminal,
        transient=True,
    )

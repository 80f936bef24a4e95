"""`hub work`: a worker beside a `hub serve`, on its machine or another."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated

import typer

from hub import worker
from hub.cli import edge


def work(
    parent: Annotated[int, typer.Option(help="Stop when this process is gone; 0: never.")] = 0,
) -> None:
    """Work on jobs until told to stop, or until the process that started this one is gone."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())

    def watch() -> None:
        # Told, not asked at the start: the parent may be gone before this process can ask.
        while not stop.wait(1):
            if os.getppid() != parent:
                stop.set()

    if parent:
        threading.Thread(target=watch, name="orphan", daemon=True).start()
    with edge.opened() as parts:
        worker.run(parts, stop)

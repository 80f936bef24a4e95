"""Processes for tests to start, and to kill: forks of one that has all loaded and used nothing.

To start Python and load the hub takes two seconds; to fork, some 30 ms. A process of tests has one
server of forks, so what it loads is said here, once.
"""

from __future__ import annotations

import multiprocessing
from typing import Final

from hub.cli import app

CONTEXT: Final = multiprocessing.get_context("forkserver")
COMMANDS: Final = sorted({place.partition(":")[0] for place, _ in app.COMMANDS.values()})
CONTEXT.set_forkserver_preload(
    [
        "hub.main",
        *(f"hub.cli.{name}" for name in COMMANDS),
        "hub.application",
        "tests.flows.world",
        "tests.storage.making",
    ]
)

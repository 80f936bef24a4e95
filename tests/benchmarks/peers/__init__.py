"""Peers in an environment of their own, locked as ours is: they want other versions than we do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.benchmarks.runner import Timed

HERE: Final = Path(__file__).parent
HOME: Final = Path(__file__).parents[3] / "build" / "peers"
LOCK: Final = HERE / "requirements.lock"


class Missing(Exception):
    """The peers' environment could not be made; its message says why, for whoever ran this."""


def environment() -> Path:
    """The peers' Python, installed from the lock where it is not there yet. Raises `Missing`."""
    python, mark = HOME / "bin" / "python", HOME / "requirements.lock"
    if mark.exists() and mark.read_bytes() == LOCK.read_bytes():
        return python
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(HOME)],
        [
            str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "-r", str(LOCK),
        ],
    )  # fmt: skip
    for step in steps:
        if subprocess.run(step, check=False).returncode:
            raise Missing(f"the peers of {LOCK.name} cannot be installed; pip says why above")
    mark.write_bytes(LOCK.read_bytes())
    return python


def timed(script: str, *arguments: Path) -> Timed:
    """Run one of the scripts beside this file; it prints the seconds it took, without starting."""
    command = [str(environment()), str(HERE / script), *map(str, arguments)]
    silent = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=silent)
    return Timed(float(done.stdout.split()[-1]))

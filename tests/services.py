"""The real services, where `deploy/services` has started them.

A test that needs one is skipped where it does not answer, and fails where SERVICES=required.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

STATE = Path(__file__).parents[1] / "build" / "services"


def found(name: str) -> Mapping[str, str] | None:
    """What `deploy/services` says of a service; None where it is not there or does not answer."""
    try:
        lines = (STATE / name / "address").read_text("utf-8").splitlines()
        told = dict(line.split("=", 1) for line in lines)
        first = next(iter(told.values()))
        at = urlsplit(first if "//" in first else f"//{first}")
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=5):
            return told
    except OSError:
        return None


def missing(message: str) -> NoReturn:
    """Skip the test, or fail it where services are required."""
    if os.environ.get("SERVICES") == "required":
        pytest.fail(message)
    pytest.skip(message)


def needed(name: str) -> Mapping[str, str]:
    """The same as `found`; without it the test is skipped, or fails."""
    told = found(name)
    if told is None:
        missing(f"{name} does not run; `make services` starts it")
    return told

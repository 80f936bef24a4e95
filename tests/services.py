"""The real services, where `deploy/services` has started them.

A test that needs one is skipped where it does not answer, and fails where SERVICES=required.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
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


def needed(name: str) -> Mapping[str, str]:
    """The same; without it the test is skipped, or fails where services are required."""
    told = found(name)
    if told is None:
        message = f"{name} does not run; `make services` starts it"
        if os.environ.get("SERVICES") == "required":
            pytest.fail(message)
        pytest.skip(message)
    return told

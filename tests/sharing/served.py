"""A hub and the official client, each a process of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from hub import recipients
from hub.records import Role
from tests.flows import world
from tests.flows.served import Served

PYTHON: Final = Path(__file__).parents[2] / "build" / "sharing-venv" / "bin" / "python"
ASKED: Final = recipients.Asked("cd37", Role.COLLECTIVITY)


class Client:
    """The official client with one profile."""

    def __init__(self, profile: Path) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-W", "ignore", Path(__file__).with_name("client.py"), profile],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def send(self, **command: Any) -> Any:
        """Say one thing, hear one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def do(self, what: str, **command: Any) -> Any:
        """The answer, where there must be one."""
        heard = self.send(do=what, **command)
        assert "answer" in heard, heard
        return heard["answer"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Sharing(Served):
    """A hub that admits recipients, served under an address it knows."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._environment["HUB_PUBLIC_URL"] = self.url
        self.parts = world.hub_in(home, public_url=self.url)
        self._folder = home.parent

    def admitted(
        self, *, oauth: bool = False, ago: timedelta = timedelta(), **changed: Any
    ) -> tuple[str, Client]:
        """A recipient's id, and the client with its profile."""
        now = self.parts.clock() - ago
        at = replace(self.parts, clock=lambda: now)
        client, profile = recipients.add(at, ASKED, oauth=oauth)
        file = self._folder / f"{client.id}.share"
        file.write_text(json.dumps(profile | changed))
        return client.id, Client(file)

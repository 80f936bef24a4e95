"""A real hub on a real port: `hub serve` as a process that can be killed and started again."""

import os
import random
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil

from tests.flows.command import ROOT, Started


def free_port() -> int:
    """A port that is free, and below those the system gives to outgoing connections: another's
    connection on it would keep a server that was killed from starting again."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a process of a hub is told."""
    return {
        **os.environ, "HUB_HOME": str(home), "HUB_LEASE_SECONDS": "2", "PYTHONPATH": str(ROOT),
        **more,
    }  # fmt: skip


class Served:
    """`hub serve` over a home, with so many workers beside it; the same port after each start."""

    def __init__(self, home: Path, beside: int = 1, **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment(home, **more)
        self._words = ["serve", "--port", str(self.port), "--workers", str(beside)]
        self.process: subprocess.Popen[bytes] | Started | None = None

    def __enter__(self) -> "Served":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            workers = self.workers()
            self.process.kill()
            self.process.wait()
            for worker in workers:
                with_none(worker)

    def start(self) -> None:
        self.process = self._started()
        while True:
            assert self.process.poll() is None, "the server did not start"
            try:
                if httpx2.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                time.sleep(0.1)

    def _started(self) -> subprocess.Popen[bytes] | Started:
        return Started(self._words, self._environment)

    def kill(self) -> None:
        """`kill -9` of the web process; its worker notices and stops."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Tell it to stop, wait until it has, and give its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait()

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def token(self, client: str, secret: str) -> dict[str, str]:
        """A bearer header."""
        answer = httpx2.post(
            f"{self.url}/oauth/token", data={"grant_type": "client_credentials"},
            auth=(client, secret), timeout=30,
        )  # fmt: skip
        return {"authorization": f"Bearer {answer.json()['access_token']}"}


class Typed(Served):
    """Started as an operator types it, by an interpreter of its own: slower than a fork."""

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "hub.cli", *self._words],
            cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def with_none(worker: psutil.Process) -> None:
    """End one of our own workers, if it is there still."""
    try:
        worker.kill()
        worker.wait(10)
    except psutil.NoSuchProcess:
        return

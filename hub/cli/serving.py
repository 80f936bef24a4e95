"""`hub serve`, and the processes of a hub: the web process, and the workers beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Annotated, Final

import typer
import uvicorn

from hub.application import application
from hub.cli import edge
from hub.errors import Rejected
from hub.main import compose
from hub.settings import Settings

SUPERVISE: Final = 0.5
GRACE: Final = 45
"""Seconds that requests under way are given when told to stop; systemd and compose give us 60."""


class Serving:
    """A web process that can only seal, and worker processes that are restarted if they die."""

    def __init__(self, host: str, port: int, workers: int = 1) -> None:
        self._parts = compose(Settings(), opens=False)
        self._workers = workers
        self._app = application(self._parts)
        config = uvicorn.Config(
            self._app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="web", daemon=True)
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._host = host
        self.url = f"http://{host}:{port}"

    def __enter__(self) -> Serving:
        self._thread.start()
        self._supervisor.start()
        while not self._server.started:
            if not self._thread.is_alive():
                self._stop.set()
                raise Rejected(
                    "address-in-use",
                    fr=f"Le serveur n’a pas pu ouvrir {self.url} : l’adresse est sans doute prise.",
                    en=f"The server could not open {self.url}: the address is probably taken.",
                    who="operator",
                )
            self._stop.wait(0.05)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://{self._host}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._supervisor.join()
        self._app.state.stopping.set()
        self._server.should_exit = True
        self._thread.join()

    def wait(self) -> None:
        """Until Ctrl-C or a termination signal."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        try:
            while not self._stop.wait(SUPERVISE) and self._thread.is_alive():
                pass
        except KeyboardInterrupt:
            edge.err.print("Arrêt. Stopping.")

    def _supervise(self) -> None:
        children: list[subprocess.Popen[bytes]] = []
        while not self._stop.wait(SUPERVISE if children else 0):
            children = [child for child in children if child.poll() is None]
            children += [_worker() for _ in range(self._workers - len(children))]
            if not self._workers:
                return
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


def _worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "hub.cli", "work", "--parent", str(os.getpid())]
    )


def serve(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8000,
    workers: Annotated[
        int, typer.Option(min=0, help="Workers beside it; 0: `hub work` alone.")
    ] = 1,
) -> None:
    """Serve the interface and the pages, with a worker beside them."""
    with Serving(host, port, workers) as serving:
        edge.out.print(f"Hub : {serving.url}", markup=False)
        serving.wait()

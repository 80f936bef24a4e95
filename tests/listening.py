"""An application on a real port of loopback, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


@contextmanager
def listening(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Its address, while it listens."""
    # The default of uvicorn's websockets support imports a deprecated module; pages have none.
    config = uvicorn.Config(app, port=port, log_level="error", ws="none", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < until, "the server took too long"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(10)

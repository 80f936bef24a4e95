"""Real services of a test's own, on ports of their own: it may kill them, the shared ones not."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import psycopg

from hub.storage.s3 import Address, Bucket
from tests.faulty import Faulty
from tests.flows.served import free_port
from tests.policy.cases import opa, serving
from tests.services import STATE, missing, needed

ROOT: Final = Path(__file__).parents[1]
KEYS: Final = ("own-hub", "own-secret-of-sixteen")
PATIENCE: Final = 60.0


class Service:
    """A process that listens at `port`, started by `command`; killed without a word."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[int], object] | None = None,
    ) -> None:
        self._command, self.port = list(command), port
        self._ready = ready or listens
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again where it ends before it listens: what was before may still be going."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    self._command, env=self._environment, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            with suppress(OSError, psycopg.OperationalError):
                self._ready(self.port)
                return
            time.sleep(0.05)
        raise AssertionError(f"{self._command[0]} does not start")

    def kill(self) -> None:
        """`kill -9`, of the process and of those it has started."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self._process.pid)
            for one in [whole, *whole.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
        self._process.wait()


def listens(port: int) -> None:
    """Raises `OSError` where nobody does."""
    socket.create_connection(("127.0.0.1", port), 1).close()


def is_well(port: int) -> None:
    """Raises `OSError` where an OPA server does not say so."""
    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()


def lets_in(port: int) -> None:
    """Raises where the cluster listens and is still recovering."""
    psycopg.connect(f"postgresql://hub_owner@127.0.0.1:{port}/postgres").close()


class Plug(Faulty):
    """A way to a service that is killed where the way is cut, and started again where mended."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.address)
        self.kills = 0
        self._service = service

    def cut(self) -> None:
        """Kill the service; whoever waits for an answer gets none."""
        with self.turn:
            self._service.kill()
            self.kills += 1
            super().cut()

    def mend(self) -> None:
        """Start it again, with what it had made durable."""
        with self.turn:
            self._service.start()
            super().mend()


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Started, and gone afterwards."""
    try:
        service.start()
        yield service
    finally:
        service.kill()


@contextmanager
def postgres() -> Iterator[Service]:
    """A cluster with one superuser, `hub_owner`, and no password: it listens to this machine."""
    programs = Path(needed("postgres")["HUB_TEST_POSTGRES_BIN"])
    # As root it refuses to run; and whom it runs as may not enter pytest's folders.
    user = next((one.pw_name for one in pwd.getpwall() if one.pw_name == "postgres"), "nobody")
    who = ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]
    who = who if os.getuid() == 0 else []
    data = Path(tempfile.mkdtemp(prefix="own-postgres-"))
    try:
        if who:
            shutil.chown(data, user)
        subprocess.run(
            [*who, programs / "initdb", "-D", data, "-U", "hub_owner", "--auth=trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True, cwd="/", stdout=subprocess.DEVNULL,
        )  # fmt: skip
        port = free_port()
        asked = {
            "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "shared_buffers": "16MB", "timezone": "UTC",
        }  # fmt: skip
        words = [word for name, value in asked.items() for word in ("-c", f"{name}={value}")]
        command = [*who, str(programs / "postgres"), "-D", str(data), *words]
        with running(Service(command, port, ready=lets_in)) as it:
            yield it
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _program(name: str) -> str:
    path = STATE.parent / "bin" / name
    if not path.exists():
        missing(f"{name} is not there; `make services` builds it")
    return str(path)


@contextmanager
def minio(folder: Path, **more: str) -> Iterator[Service]:
    """A MinIO over a folder; `more` of its settings."""
    port, (user, password) = free_port(), KEYS
    folder.mkdir()
    command = [
        _program("minio"),
        "server",
        "--quiet",
        "--address",
        f"127.0.0.1:{port}",
        str(folder),
    ]
    settings = {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password, "MINIO_BROWSER": "off"}
    with running(Service(command, port, settings | more)) as it:
        yield it


@contextmanager
def versitygw(folder: Path, users: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A versitygw over a folder. `users`: access keys of others than the owner, and secrets."""
    port, (user, password) = free_port(), KEYS
    for name in ("data", "attributes", "users"):
        (folder / name).mkdir(parents=True)
    accounts = {
        key: {"access": key, "secret": secret, "role": "user", "userID": 0, "groupID": 0}
        for key, secret in (users or {}).items()
    }
    (folder / "users" / "users.json").write_text(json.dumps({"accessAccounts": accounts}))
    command = [
        _program("versitygw"), "--port", f"127.0.0.1:{port}", "--quiet",
        "--iam-dir", str(folder / "users"),
        "posix", "--sidecar", str(folder / "attributes"), str(folder / "data"),
    ]  # fmt: skip
    with running(
        Service(command, port, {"ROOT_ACCESS_KEY": user, "ROOT_SECRET_KEY": password})
    ) as it:
        yield it


def address(service: Service, bucket: str = "hub") -> Address:
    """A bucket of the owner's on one of the two, made if need be."""
    made = Address(f"http://{service.address}", bucket, *KEYS)
    client = Bucket(made).client
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket)
    return made


@contextmanager
def policy(folder: Path) -> Iterator[Service]:
    """An OPA server that decides by the policies of this clone."""
    program = opa()
    if program is None:
        missing("opa is not there; `make services` builds it")
    subprocess.run(
        [sys.executable, ROOT / "deploy" / "bundle.py", "--opa", program, folder],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    port = free_port()
    with running(Service(serving(program, folder, port), port, ready=is_well)) as it:
        yield it

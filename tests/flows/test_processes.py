"""Several processes over one hub: any of them may be stopped, or killed, and nothing is lost."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from hub import push
from hub.audit import receipts
from hub.cli.operate import add_partner
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.records import PushState
from hub.settings import Settings
from tests.flows import real, world
from tests.flows.command import ROOT
from tests.flows.served import Served, Typed, environment
from tests.flows.test_many_pushes import Client, rows
from tests.services import needed

NAMES: Final = ("transdev/validations", "orange/presence")
EACH: Final = 4
TAPS: Final = "/v1/partners/transdev/datasets/validations/pushes"


@contextmanager
def working(home: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`hub work` as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "work"], cwd=ROOT, env=environment(home, **more),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Balanced:
    """Two web processes behind one address, as a reverse proxy has them: each request in turn."""

    def __init__(self, *webs: Served) -> None:
        self._turns = itertools.cycle(webs)

    @property
    def url(self) -> str:
        return next(self._turns).url

    def token(self, client: str, secret: str) -> dict[str, str]:
        return next(self._turns).token(client, secret)


def hub_with_secrets(home: Path, **settings: Any) -> tuple[Parts, dict[str, tuple[str, str]]]:
    parts = compose(Settings(home=home, lease_seconds=2, **settings), opens=True)
    clients = {name: add_partner(parts, name.partition("/")[0]) for name in NAMES}
    return parts, {name: (client.id, secret) for name, (client, secret) in clients.items()}


def test_two_web_processes_and_two_workers_of_which_one_each_is_killed(tmp_path: Path) -> None:
    needed("postgres")
    home, settings = tmp_path / "var", real.settings_on(real.SERVERS[0])
    told = real.environment(settings)
    parts, clients = hub_with_secrets(home, **settings)
    with ExitStack() as stack:
        first, second = (stack.enter_context(Served(home, 0, **told)) for _ in range(2))
        proxy = Balanced(first, second)
        partners = {name: Client(proxy, name, *clients[name]) for name in NAMES}
        before = [partners[name].push(number)["id"] for name in NAMES for number in range(2)]
        assert {p.state for p in parts.books.pushes()} == {PushState.ACCEPTED}
        for name in NAMES:
            tables = [f"{name}/{table}" for table in parts.datasets[name].tables]
            assert not any(parts.tables.versions(table) for table in tables), "a worker's matter"

        doomed = stack.enter_context(working(home, **told))
        stays = stack.enter_context(working(home, **told))

        def pushes(name: str) -> list[str]:
            return [partners[name].push(number)["id"] for number in range(2, EACH)]

        with ThreadPoolExecutor(len(NAMES)) as pool:
            later = [pool.submit(pushes, name) for name in NAMES]
            first.kill()
            await_(lambda: len(parts.books.pending_pushes()) < len(before))
            doomed.kill()
            first.start()
            stack.enter_context(working(home, **told))
            ids = [*before, *(each for one in later for each in one.result())]
        assert len(set(ids)) == len(NAMES) * EACH
        owner = {p.id: f"{p.partner}/{p.dataset}" for p in parts.books.pushes(limit=100)}
        done = [partners[owner[each]].finished(each) for each in ids]
        stays.send_signal(signal.SIGTERM)
        assert [stays.wait(), first.stop(), second.stop()] == [0, 0, 0]
    for state, note in done:
        assert state["state"] == "stored"
        assert receipts.verify(note, parts.log.keys)["received"] == state["received"]
    for name in NAMES:
        tables = [f"{name}/{table}" for table in parts.datasets[name].tables]
        kept = [p.kept or 0 for p in parts.books.pushes(limit=100) if owner[p.id] == name]
        assert sum(rows(parts, table) for table in tables) == sum(kept) > 0
    assert parts.books.promised() == set()
    assert reconcile(parts).problems == []
    parts.books.close()


def await_(done: Any) -> None:
    while not done():
        time.sleep(0.05)


def test_a_worker_told_to_stop_finishes_its_job(tmp_path: Path) -> None:
    parts, _ = hub_with_secrets(tmp_path)
    with working(tmp_path) as worker:
        # It is inside its job for as long as we hold what the job needs.
        with parts.holding_tables("transdev/validations"):
            made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["A"])])
            await_(lambda: parts.books.progress(made.id))
            other, _ = push.accept(parts, OPERATOR, "orange", "presence", [b""])
            worker.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(0.5)
            still = parts.books.push(made.id)
            assert still is not None
            assert still.state is PushState.ACCEPTED
        assert worker.wait() == 0
    done = parts.books.push(made.id)
    assert done is not None
    assert (done.state, done.kept) == (PushState.STORED, 5)
    assert parts.books.promised() == {("push", other.id)}, "the next job is another worker's"
    parts.books.close()


def test_a_web_process_told_to_stop_finishes_what_is_coming_in(tmp_path: Path) -> None:
    parts, clients = hub_with_secrets(tmp_path)
    content = world.taps(["A"])
    with Typed(tmp_path, 0) as web:
        headers = web.token(*clients["transdev/validations"])

        def slowly() -> Iterator[bytes]:
            yield content[:100]
            await_(lambda: web_has_begun(web))
            assert web.process is not None
            web.process.terminate()
            time.sleep(1)
            yield content[100:]

        answer = httpx2.post(web.url + TAPS, content=slowly(), headers=headers, timeout=60)
        assert answer.status_code == 202
        assert web.process is not None
        assert web.process.wait() == 0
    assert [p.id for p in parts.books.pushes()] == [answer.json()["id"]]
    parts.books.close()


def web_has_begun(web: Served) -> bool:
    """The process has taken the connection, and so the first bytes of what comes in it."""
    return httpx2.get(f"{web.url}/healthz", timeout=5).status_code == 200


def test_who_listens_to_a_process_that_stops_is_let_go(tmp_path: Path) -> None:
    parts, clients = hub_with_secrets(tmp_path)
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["A"])])
    with Typed(tmp_path, 0) as web:
        headers = web.token(*clients["transdev/validations"])
        events = f"{web.url}/v1/pushes/{made.id}/events"
        with httpx2.stream("GET", events, headers=headers, timeout=60) as heard:
            lines = heard.iter_lines()
            assert next(lines).startswith("retry:")
            assert web.process is not None
            web.process.terminate()
            assert "event: progress" in list(lines), "the stream is ended, not broken off"
        assert web.process.wait() == 0
    parts.books.close()

"""Four partners push at once while server and worker are killed at random: all of it agrees.

40 pushes by default, 1,000 with THOROUGH=all. A client does what a sensible client does: the same
file with the same key until it is acknowledged, then it waits for the receipt.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pyarrow.parquet as pq

from hub.audit import receipts
from hub.cli.operate import add_partner
from hub.parts import Parts
from hub.reconcile import reconcile
from tests.flows import world
from tests.flows.served import Served
from tests.flows.test_quarantine import taps
from tests.thorough import EVERYTHING

PUSHES = 1000 if EVERYTHING else 40
PATIENCE = 1800 if EVERYTHING else 240
BETWEEN_KILLS = 60 if EVERYTHING else 16
"""Events at most from one kill to the next. By what was done, not by the clock: killed as often as
it starts, a worker on a slow machine gets nowhere."""


def validations(number: int) -> bytes:
    """A few good rows, and a bad one now and then."""
    return taps(3 + number % 5, number % 3)


def presence(number: int) -> bytes:
    rows = [f"Zone {number};2026-01-12;0{hour}:00:00;Etrangers;{100 + number}" for hour in range(4)]
    return "\n".join([PRESENCE, *rows, ""]).encode()


PRESENCE = "Zone;Date;Heures;Type;Volume"


def trips(number: int) -> bytes:
    return world.trips([f"acc-{number}"], days=3)


def lycees(number: int) -> bytes:
    return world.lycees() + b"\n" * number


FILES: dict[str, Callable[[int], bytes]] = {
    "transdev/validations": validations,
    "coachco2/trips": trips,
    "region/lycees": lycees,
    "orange/presence": presence,
}


class Server(Protocol):
    """Where a client finds the hub, the same process or another each time."""

    @property
    def url(self) -> str: ...

    def token(self, client: str, secret: str) -> dict[str, str]: ...


class Client:
    """One partner's patient client."""

    def __init__(self, served: Server, name: str, client: str, secret: str) -> None:
        self._served, self._name = served, name
        self._auth = (client, secret)
        self._headers: dict[str, str] = {}

    def push(self, number: int) -> dict[str, Any]:
        partner, dataset = self._name.split("/")
        sent = self._again(
            "POST",
            f"/v1/partners/{partner}/datasets/{dataset}/pushes",
            content=FILES[self._name](number),
            more={"idempotency-key": f"k{number}"},
        )
        made: dict[str, Any] = sent.json()
        return made

    def finished(self, push_id: str) -> tuple[dict[str, Any], bytes]:
        while True:
            state: dict[str, Any] = self._again("GET", f"/v1/pushes/{push_id}").json()
            if state["stage"] == "done":
                return state, self._again("GET", f"/v1/pushes/{push_id}/receipt").content
            time.sleep(0.3)

    def _again(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        more: dict[str, str] | None = None,
    ) -> httpx2.Response:
        until = time.monotonic() + PATIENCE
        said = ""
        while time.monotonic() < until:
            try:
                if not self._headers:
                    self._headers = self._served.token(*self._auth)
                answer = httpx2.request(
                    method,
                    self._served.url + path,
                    content=content,
                    headers=self._headers | (more or {}),
                    timeout=60,
                )
                if answer.is_success:
                    return answer
                said = answer.text
                if answer.status_code == 401:  # a token's time is over before a thousand pushes are
                    self._headers = {}
                else:
                    assert answer.status_code in {429, 500, 503}, said
            except (httpx2.HTTPError, KeyError, ValueError) as error:
                said = type(error).__name__
            time.sleep(0.2)
        raise AssertionError(f"{method} {path} had no answer in time: {said}")


def killing(parts: Parts, served: Served, stop: threading.Event, kills: Counter[str]) -> None:
    """Kill a worker or the server now and then; start the server again."""
    dice = random.Random(20261122)
    next_one = 0
    while not stop.wait(dice.uniform(0.0, 0.5)):
        if parts.books.event_count() < next_one:
            continue
        next_one = parts.books.event_count() + dice.randint(1, BETWEEN_KILLS)
        if dice.random() < 0.6:
            for worker in served.workers():
                try:
                    os.kill(worker.pid, signal.SIGKILL)
                    kills["worker"] += 1
                except ProcessLookupError:
                    continue
        else:
            served.kill()
            kills["server"] += 1
            served.start()


def rows(parts: Parts, table: str) -> int:
    return sum(pq.read_metadata(f).num_rows for f in parts.tables.snapshot([table]).files[table])


def test_receipts_tables_and_log_agree_after_random_kills(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    home = tmp_path / "var"
    parts = world.founded(home)
    secrets = {name: add_partner(parts, name.split("/")[0]) for name in FILES}
    world.pushed(parts, "region/enrolments", world.enrolments())
    world.pushed(parts, "region/lycees", world.lycees())
    # Half of the people agreed: kept counts show it, receipts do not.
    each = PUSHES // len(FILES)
    world.agree(parts, *(f"acc-{n}" for n in range(0, each, 2)))
    kills: Counter[str] = Counter()
    done: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
    with Served(home, HUB_WAITING_PER_PARTNER="1000") as served:
        stop = threading.Event()
        killer = threading.Thread(target=killing, args=(parts, served, stop, kills))
        killer.start()

        def partner(name: str) -> list[tuple[dict[str, Any], bytes]]:
            made, secret = secrets[name]
            client = Client(served, name, made.id, secret)
            ids = [client.push(number)["id"] for number in range(each)]
            assert len(set(ids)) == each
            return [client.finished(push_id) for push_id in ids]

        try:
            with ThreadPoolExecutor(len(FILES)) as pool:
                done = dict(zip(FILES, pool.map(partner, FILES), strict=True))
        finally:
            stop.set()
            killer.join()
    for name, count in kills.items():
        record_property(f"{name}s killed", count)
    assert kills["worker"] > 0
    assert kills["server"] > 0

    keys = parts.log.keys
    for name, results in done.items():
        for number, (state, note) in enumerate(results):
            assert state["state"] == "stored", state
            assert state["received"] == state["valid"] + state["rejected"]
            facts = receipts.verify(note, keys)
            assert facts["id"] == state["id"]
            assert (facts["received"], facts["rejected"]) == (state["received"], state["rejected"])
            made = parts.books.push(state["id"])
            assert made is not None
            assert made.log_index == state["log_index"]
            if name == "transdev/validations":
                assert (state["valid"], state["rejected"]) == (3 + number % 5, number % 3)
                assert made.kept == made.valid
    for name in ("transdev/validations", "coachco2/trips", "orange/presence"):
        kept = [parts.books.push(state["id"]).kept or 0 for state, _ in done[name]]  # type: ignore[union-attr]
        tables = [f"{name}/{table}" for table in parts.datasets[name].tables]
        assert sum(rows(parts, table) for table in tables) == sum(kept) > 0
    assert rows(parts, "region/lycees/lycees") == 1
    parts.sequence()
    assert reconcile(parts).problems == []
    assert parts.books.promised() == set()
    stored = parts.books.events(kind="push.stored", limit=10_000)
    assert len(stored) == PUSHES + 2

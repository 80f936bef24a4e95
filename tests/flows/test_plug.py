"""The OPA server loses its plug during load: nothing is allowed from then on, and the log tells.

A real OPA server of its own, and a real hub process that asks it, loaded by threads.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from hub.events import Kind
from hub.policy.gate import ENGINE_FAILED
from tests import own
from tests.flows import world
from tests.flows.served import Served
from tests.sharing import editions

SECONDS: Final = 1.0
"""Of load before the plug is pulled, and after."""
Answer = tuple[float, str, int]


def test_pulling_the_plug_denies_everything_and_is_told(tmp_path: Path) -> None:
    home = tmp_path / "var"
    parts = world.hub_in(home)
    release = editions.publish(parts, 1, rows=3)
    parts.sequence()
    data, seen = f"/v1/releases/{release.id}/data?format=parquet", list[Answer]()
    over = threading.Event()
    with (
        own.policy(tmp_path / "opa") as opa,
        Served(home, HUB_POLICY_URL=f"http://{opa.address}") as hub,
    ):

        def load(path: str) -> None:
            with httpx2.Client(base_url=hub.url, timeout=30) as client:
                while not over.is_set():
                    begun = time.monotonic()
                    seen.append((begun, path, client.get(path).status_code))

        paths = [data, "/v1/releases", data, f"/v1/releases/{release.id}/manifest"]
        threads = [threading.Thread(target=load, args=(path,)) for path in paths]
        for one in threads:
            one.start()
        time.sleep(SECONDS)
        opa.kill()
        pulled = time.monotonic()
        time.sleep(SECONDS)
        over.set()
        for one in threads:
            one.join(60)
        ready = httpx2.get(f"{hub.url}/readyz", timeout=30).status_code
    assert {code for begun, _, code in seen if begun < pulled - 0.5} == {200}
    after = {(path, code) for begun, path, code in seen if begun > pulled}
    assert after == {(path, 503) for path in paths}
    assert ready == 503
    told = [msgspec.json.decode(one.body) for one in parts.books.events(kind=Kind.ACCESS_DENIED)]
    reasons = {reason for one in told for p in one["facts"]["policy"] for reason in p["reasons"]}
    assert reasons == {ENGINE_FAILED}
    parts.books.close()

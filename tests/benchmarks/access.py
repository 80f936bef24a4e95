"""Governed access: a decision, a release as JSON, a catalogue of a thousand datasets."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from hub.catalog import Catalogue
from hub.policy.gate import EmbeddedGate, PolicyGate, ServerGate
from tests import own
from tests.benchmarks.peers import Missing
from tests.benchmarks.runner import Row, Timed, limited, paired
from tests.flows import world
from tests.flows.served import Served
from tests.policy.cases import VECTORS, opa
from tests.sharing import editions

ASKED: Final = 4_000
REQUESTS: Final = 6_000
ROWS: Final = 200
DATASETS: Final = 1_000
ROOT: Final = Path(__file__).parents[2]


def _questions(number: int) -> list[tuple[str, Any]]:
    """Every signed-off question in turn: what one decision is asked, with its one agreement."""
    every = [(rule, case["question"]) for rule, cases in VECTORS.items() for case in cases.values()]
    return list(itertools.islice(itertools.cycle(every), number))


def _times(gate: PolicyGate, number: int) -> list[float]:
    """Seconds of each decision, in order of size."""
    found = []
    for rule, question in _questions(number):
        begun = time.perf_counter()
        gate.decide(rule, question)
        found.append(time.perf_counter() - begun)
    return sorted(found)


def decision_median(_: Path) -> Row:
    """Half of the decisions take less."""
    gate = EmbeddedGate()
    name = "a decision in process over the vectors, median"
    return limited(name, lambda: Timed(statistics.median(_times(gate, ASKED))), 150e-6)


def decision_slowest(_: Path) -> Row:
    """99 in 100 decisions take less."""
    gate = EmbeddedGate()
    name = "a decision in process over the vectors, 99 in 100"
    return limited(name, lambda: Timed(_times(gate, ASKED)[ASKED * 99 // 100]), 500e-6)


def decision_beside_opa(folder: Path) -> Row:
    """The same questions put to an OPA server of our own, over HTTP."""
    if opa() is None:
        raise Missing("no `opa`: run `make services`")
    with own.policy(folder / "opa") as served:
        ours, server = EmbeddedGate(), ServerGate(f"http://{served.address}")
        for rule, question in _questions(len(VECTORS) * 10):
            if server.decide(rule, question) != ours.decide(rule, question):
                raise ValueError("the two engines answer differently")
        return paired(
            "600 policy decisions in process",
            "OPA server over HTTP, same vectors",
            lambda: _times(ours, 600),
            lambda: _times(server, 600),
            rounds=3,
        )


def release_as_json(folder: Path) -> Row:
    """1,500 requests of a 200-row release beside one second, asked by another process."""
    home = folder / "json" / "var"
    parts = world.hub_in(home)
    release = editions.publish(parts, 1, rows=ROWS, kinds=("json", "parquet"))
    parts.sequence()
    path = f"/v1/releases/{release.id}/data?format=json"
    with Served(home) as served:

        def load() -> Timed:
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.load", str(served.port), path,
                 str(REQUESTS), "16"], check=True, capture_output=True, text=True, cwd=ROOT,
            )  # fmt: skip
            return Timed(json.loads(done.stdout)["seconds"] * 1_500 / REQUESTS)

        row = limited("1,500 × a 200-row release as JSON, one worker", load, 1.0)
    parts.books.close()
    return row


def catalogue(folder: Path) -> Row:
    """The whole catalogue after something changed: listed, decided and written anew."""
    parts = world.hub_in(folder / "catalogue" / "var")
    for number in range(DATASETS):
        editions.publish(parts, 1, rows=1, period=f"{1000 + number}-{1001 + number}")

    def made() -> int:
        return len(Catalogue(parts).listing().jsonld)

    row = limited("a catalogue of 1,000 datasets as JSON-LD, made anew", made, 0.1)
    parts.books.close()
    return row

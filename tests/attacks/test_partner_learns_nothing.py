"""A partner tries to learn from its pushes whether one pupil agreed, or objected.

Two worlds differ in one answer of one person; everything the partner can see in either must be
the same, byte for byte but for ids, times and keys. In the other world somebody whose rows are in
no file gives that answer, so that the worlds hold as many answers. The work done is compared by
its calls, not by a clock: of parts, in their order within each thread, and how often it waited for
the disk. With THOROUGH=all a clock is tried as well, the processor's: it goes on under load.
"""

import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hub import progress, push, withdraw, worker
from hub.application import application
from hub.audit import receipts
from hub.cli.operate import add_partner
from hub.consents import digest_of
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.records import Push, Withdrawal
from hub.settings import Settings
from tests.flows import world
from tests.flows.test_http import bearer
from tests.thorough import EVERYTHING

PUPIL, OTHER = "pupil-0001", "other-0001"
_NAMES = re.compile(r"\d{8}T\d{6}-[0-9a-f]{16}|\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)?")
_VOLATILE = {"date", "authorization"}


def same(text: str) -> str:
    """A text without what differs between any two runs: ids and times."""
    return _NAMES.sub("#", text)


@dataclass
class Seen:
    """What a partner saw, in order, and what was done meanwhile."""

    answers: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    beside: Counter[str] = field(default_factory=Counter)
    """What other threads did meanwhile: reading ahead. In which order is the machine's affair."""
    waits: int = 0
    """Files and folders made durable by the tables and the vault."""

    def take(self, label: str, answer: Any) -> Any:
        headers = {k: v for k, v in answer.headers.items() if k not in _VOLATILE}
        self.answers.append(same(f"{label} {answer.status_code} {headers} {answer.text}"))
        return answer


def watch(parts: Parts, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note each call of a part that takes time, from outside it."""
    for part in (parts.books, parts.vault, parts.tables):
        kind, inside = type(part), threading.local()
        for name in dir(kind):
            function = getattr(kind, name)
            if name.startswith("_") or not callable(function):
                continue

            def noted(
                *given: Any, _of: Callable[..., Any] = function, _name: str = name,
                _inside: threading.local = inside, **named: Any,
            ) -> Any:  # fmt: skip
                depth = getattr(_inside, "depth", 0)
                if not depth and _name not in {"renew_job", "renew"}:  # by a clock, not a row
                    if threading.current_thread() is threading.main_thread():
                        seen.calls.append(_name)
                    else:
                        seen.beside[_name] += 1
                _inside.depth = depth + 1
                try:
                    return _of(*given, **named)
                finally:
                    _inside.depth = depth

            monkeypatch.setattr(kind, name, noted)
    fsync = os.fsync

    def waited(descriptor: int) -> None:
        seen.waits += 1
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", waited)


def try_it(
    parts: Parts, client: TestClient, headers: dict[str, str], address: str, body: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> Seen:  # fmt: skip
    """Push a file and look at everything there is to look at."""
    seen = Seen()
    keyed = headers | {"idempotency-key": "k"}
    location = seen.take("push", client.post(address, content=body, headers=keyed)).headers[
        "location"
    ]
    seen.take("waiting", client.get(location, headers=headers))
    with monkeypatch.context() as patched:
        patched.setattr(progress, "EVERY", progress.EVERY * 0)
        advance = type(parts.books).advance

        def told(self: Any, push_id: str, stage: str, percentage: int) -> None:
            advance(self, push_id, stage, percentage)
            seen.answers.append(f"progress {stage} {percentage}")

        patched.setattr(type(parts.books), "advance", told)
        watch(parts, seen, patched)
        seen.answers.append(f"jobs {worker.drain(parts)}")
    parts.publish()
    for name in ("", "/events", "/rejected", "/receipt"):
        answer = client.get(f"{location}{name}", headers=headers)
        if name in {"", "/rejected"}:
            seen.take(name, answer)
        elif name == "/receipt":
            facts = receipts.verify(answer.content, [parts.log.signer.verifier])
            # Not its digests: each world has its own keys and salts.
            seen.answers.append(same(json.dumps(dict(facts), sort_keys=True)))
            seen.answers.append(f"{len(answer.content.splitlines())} lines of receipt")
        else:
            data = [text for text in answer.text.splitlines() if not text.startswith("id:")]
            seen.answers.append(same("\n".join(data)))
    seen.take("list", client.get("/v1/pushes", headers=headers))
    seen.take("again", client.post(address, content=body, headers=keyed))
    seen.take("conflict", client.post(address, content=body + b" ", headers=keyed))
    seen.take("unknown", client.get("/v1/pushes/20260101T000000-0000000000000000", headers=headers))
    since = parts.clock().replace(year=2000)
    seen.answers.append(str(parts.books.load(address.split("/")[3], since)))
    tight = parts.settings.model_copy(update={"push_bytes_a_day": len(body) + 10})
    held = TestClient(application(replace(parts, settings=tight)), raise_server_exceptions=False)
    tus = {"tus-resumable": "1.0.0", "upload-length": "11"}
    seen.take("quota", held.post(address, headers=headers | tus))
    checkpoint = client.get("/audit/checkpoint").text.splitlines()
    seen.answers.append(f"log {checkpoint[:2]}")
    public = parts.settings.home / "public" / "audit"
    seen.answers.append(str(sorted(str(p.relative_to(public)) for p in public.rglob("*"))))
    return seen


def made(home: Path, *partners: str) -> tuple[Parts, TestClient]:
    parts = compose(Settings(home=home, lease_seconds=30), opens=True)
    for partner in partners:
        add_partner(parts, partner)
    return parts, TestClient(application(parts), raise_server_exceptions=False)


def compare(one: Seen, two: Seen, *, alone: bool = True) -> None:
    assert one.answers == two.answers
    if alone:  # each world has its own keys: several people are in as many files by chance only
        assert one.waits == two.waits > 0
    assert one.calls == two.calls
    assert one.beside == two.beside
    assert "finish_push" in one.calls, "the work was watched"


@pytest.mark.parametrize("alone", [True, False], ids=["one-person", "among-others"])
def test_of_trips_whether_a_pupil_agreed(
    tmp_path: Path, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [PUPIL] if alone else [PUPIL, "friend-001", "friend-002"]
    bad = json.dumps({"cozyMetadata": {"sourceAccount": PUPIL}, "series": []}).encode()
    body = world.trips(accounts, days=4) + bad + b"\n"

    def tried(answer_of: str) -> tuple[Seen, int]:
        parts, client = made(tmp_path / answer_of, "region")
        headers = bearer(client, parts, "coachco2")
        world.reference_data(parts)
        world.agree(parts, answer_of, "friend-001")
        address = "/v1/partners/coachco2/datasets/trips/pushes"
        seen = try_it(parts, client, headers, address, body, monkeypatch)
        return seen, max(p.kept or 0 for p in parts.books.pushes(partner="coachco2"))

    (one, kept), (two, less) = tried(PUPIL), tried(OTHER)
    assert kept > less, "the worlds differ where the partner does not see"
    compare(one, two, alone=alone)


def test_of_taps_whether_a_pupil_objected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = world.taps([PUPIL], days=3) + world.taps([PUPIL], days=4).splitlines()[-1].replace(
        b",Enter,", b",Jump,"
    )

    def tried(answer_of: str) -> tuple[Seen, int]:
        parts, client = made(tmp_path / answer_of)
        headers = bearer(client, parts, "transdev")
        digest = digest_of(parts, "transdev", answer_of)
        withdraw.withdraw(parts, OPERATOR, "transdev", digest, via="form")
        worker.drain(parts)
        address = "/v1/partners/transdev/datasets/validations/pushes"
        seen = try_it(parts, client, headers, address, body, monkeypatch)
        return seen, max(p.kept or 0 for p in parts.books.pushes())

    (one, less), (two, kept) = tried(PUPIL), tried(OTHER)
    assert (less, kept) == (0, 3)
    compare(one, two)


def test_of_objections_whether_a_card_had_objected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(answer_of: str) -> Seen:
        parts, client = made(tmp_path / answer_of)
        headers = bearer(client, parts, "transdev")
        digest = digest_of(parts, "transdev", answer_of)
        withdraw.withdraw(parts, OPERATOR, "transdev", digest, via="form")
        worker.drain(parts)
        address = "/v1/partners/transdev/datasets/objections/pushes"
        body = f"reference\n{PUPIL}\n".encode()
        return try_it(parts, client, headers, address, body, monkeypatch)

    compare(tried(PUPIL), tried(OTHER))


def test_a_push_does_not_wait_for_the_erasure_of_a_pupil(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the erasure takes: here, until the push is done."""
    parts, _ = made(tmp_path, "transdev", "region")
    push.accept(parts, OPERATOR, "transdev", "validations", [world.taps([PUPIL])])
    worker.drain(parts)
    pushed, erasing, stop = threading.Event(), threading.Event(), threading.Event()
    rewrite = type(parts.tables).rewrite

    def slow(*given: Any) -> int:
        erasing.set()
        assert pushed.wait(PATIENCE), "the push waits for the erasure"
        return rewrite(*given)

    monkeypatch.setattr(type(parts.tables), "rewrite", slow)
    gone = withdraw.withdraw(
        parts, OPERATOR, "transdev", digest_of(parts, "transdev", PUPIL), via="form"
    )
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(worker.run, parts, stop)
        try:
            assert erasing.wait(PATIENCE)
            body = f"reference\n{OTHER}\n".encode()
            asked, _ = push.accept(parts, OPERATOR, "transdev", "objections", [body])
            until(lambda: _logged(parts.books.push(asked.id)))
            pushed.set()
            until(lambda: _logged(parts.books.withdrawal(gone.id)))
        finally:
            pushed.set()
            stop.set()
        working.result()


PATIENCE = 60.0
"""Seconds; nothing takes as long, unless it never comes."""


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def _logged(made: Push | Withdrawal | None) -> bool:
    finished = made.finished_at if isinstance(made, Push) else made and made.completed_at
    return made is not None and finished is not None and made.log_index is not None


PAIRS = 100
WIDE = 0.15
"""How far from a half: three and a half standard deviations where the clock tells nothing."""


@pytest.mark.skipif(not EVERYTHING, reason="THOROUGH=all: some minutes")
def test_how_long_a_tap_takes_does_not_tell_whether_its_card_objected(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """How often a tap of one who objected takes longer than one of another: as often as not."""
    parts, _ = made(tmp_path, "transdev")
    withdraw.withdraw(parts, OPERATOR, "transdev", digest_of(parts, "transdev", PUPIL), via="form")
    worker.drain(parts)

    def taken(card: str) -> tuple[float, int | None]:
        body = world.taps([card], days=1)
        pushed, _ = push.accept(parts, OPERATOR, "transdev", "validations", [body])
        since = time.process_time()
        worker.drain(parts)
        done = parts.books.push(pushed.id)
        assert done is not None
        return time.process_time() - since, done.kept

    dice = random.Random(4)
    times: dict[str, list[float]] = {PUPIL: [], OTHER: []}
    for number in range(PAIRS + 3):
        for card in dice.sample([PUPIL, OTHER], 2):
            time_, kept = taken(card)
            assert kept == (card == OTHER)
            if number >= 3:  # the first ones load libraries
                times[card].append(time_)
    longer = sum(a > b for a in times[PUPIL] for b in times[OTHER]) / PAIRS**2
    record_property("share of pairs where the objector's took longer", round(longer, 3))
    assert abs(longer - 0.5) < WIDE

"""The front door beyond the plain push: progress, refused rows, limits, declared types."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from fastapi.testclient import TestClient

from hub import progress, push, pushdesk, worker
from hub.api import partners
from hub.application import application
from hub.audit import receipts
from hub.cli.operate import add_partner
from hub.parts import OPERATOR, Parts, utc_now
from tests.flows import world
from tests.flows.served import Typed
from tests.flows.test_http import PUSHES, bearer, is_problem
from tests.flows.test_quarantine import taps
from tests.thorough import EVERYTHING


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.founded(tmp_path / "var")


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), raise_server_exceptions=False)


@pytest.fixture
def headers(client: TestClient, parts: Parts) -> dict[str, str]:
    return bearer(client, parts, "transdev")


def test_progress_is_told_from_waiting_to_done(
    client: TestClient, parts: Parts, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    location = client.post(PUSHES, content=taps(50, 1), headers=headers).headers["location"]
    state = client.get(location, headers=headers).json()
    assert (state["stage"], state["percentage"]) == ("waiting", 0)
    seen: list[tuple[str, int]] = []
    advance = type(parts.books).advance

    def advanced(self: object, push_id: str, stage: str, percentage: int) -> None:
        advance(self, push_id, stage, percentage)  # type: ignore[arg-type]
        state = client.get(location, headers=headers).json()
        seen.append((state["stage"], state["percentage"]))

    monkeypatch.setattr(type(parts.books), "advance", advanced)
    monkeypatch.setattr(progress, "EVERY", progress.EVERY * 0)
    worker.drain(parts)
    assert seen[0] == ("opening", 0)
    assert ("reading", 90) in seen
    assert seen[-1] == ("recording", 90)
    assert [p for _, p in seen] == sorted(p for _, p in seen)
    state = client.get(location, headers=headers).json()
    assert (state["stage"], state["percentage"]) == ("done", 100)
    assert parts.books.progress(location.rsplit("/", 1)[1]) is None


def test_progress_is_written_once_a_second_at_most(parts: Parts) -> None:
    now = [parts.clock()]
    teller = progress.Progress(replace(parts, clock=lambda: now[0]), "p")
    teller.within("reading", 1)
    teller.within("reading", 2)
    assert parts.books.progress("p") == ("reading", 1)
    now[0] += progress.EVERY
    teller.within("reading", 3)
    assert parts.books.progress("p") == ("reading", 3)


def told(stream: str) -> list[tuple[str, dict[str, Any]]]:
    """Id and state of each event of a stream."""
    blocks = [block.splitlines() for block in stream.split("\n\n") if "event: progress" in block]
    return [
        (name.removeprefix("id: "), json.loads(data.removeprefix("data: ")))
        for name, _, data in blocks
    ]


def test_events_tell_the_state_and_end_with_it(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    location = client.post(PUSHES, content=taps(5, 0), headers=headers).headers["location"]
    worker.drain(parts)
    answer = client.get(f"{location}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: ")
    ((_, state),) = told(answer.text)
    assert state == client.get(location, headers=headers).json()
    assert (state["stage"], state["percentage"]) == ("done", 100)
    stranger = bearer(client, parts, "orange")
    assert is_problem(client.get(f"{location}/events", headers=stranger), 404)
    assert is_problem(client.get(f"{location}/rejected", headers=stranger), 404)


def test_events_come_as_it_goes_and_a_listener_may_come_back(
    client: TestClient, parts: Parts, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done by the looks themselves, one step before each: no clock is waited for."""
    monkeypatch.setattr(partners, "LOOK", 0.001)
    location = client.post(PUSHES, content=taps(50, 1), headers=headers).headers["location"]
    push_id = location.rsplit("/", 1)[1]
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: parts.books.advance(push_id, "reading", 45),
        lambda: None,
        lambda: worker.drain(parts),
    ]
    real = pushdesk.state

    def looked(*asked: Any) -> dict[str, Any]:
        if steps:
            steps.pop(0)()
        return real(*asked)

    monkeypatch.setattr(pushdesk, "state", looked)
    heard = told(client.get(f"{location}/events", headers=headers).text)
    stages = [(state["stage"], state["percentage"]) for _, state in heard]
    assert stages == [("waiting", 0), ("reading", 45), ("done", 100)]
    # Whoever was cut off after the second event hears the rest, and nothing twice.
    for kept, rest in ((heard[1][0], heard[2:]), ("", heard[2:]), ("unknown", heard[2:])):
        again = client.get(f"{location}/events", headers=headers | {"last-event-id": kept})
        assert told(again.text) == rest
    last = client.get(f"{location}/events", headers=headers | {"last-event-id": heard[2][0]})
    assert (last.status_code, last.text) == (204, "")


def test_refused_rows_are_told_by_position_and_reason(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    location = client.post(PUSHES, content=taps(2, 1), headers=headers).headers["location"]
    worker.drain(parts)
    told = client.get(f"{location}/rejected", headers=headers).json()
    assert told["rows"] == [{"position": 4, "code": "unknown_value", "column": "fare_action"}]
    (found,) = told["findings"]
    assert (found["code"], found["column"], found["lines"], found["count"], found["pattern"]) == (
        "unknown_value", "fare_action", [[4, 4]], 1, "AAAAA",
    )  # fmt: skip
    assert set(found["words"]) == {"fr", "en"}
    state = client.get(location, headers=headers).json()
    assert state["findings"] == told["findings"]
    receipt = client.get(f"{location}/receipt", headers=headers).content
    assert receipts.verify(receipt, [parts.log.signer.verifier])["findings"] == told["findings"]


@pytest.mark.parametrize(
    ("declared", "body", "found"),
    [
        ("application/gzip", b"a,b\n1,2\n", "text"),
        ("text/csv", b'{"a": 1}', "json"),
        ("text/csv", gzip.compress(b"a,b\n", mtime=0), "gzip"),
        ("application/json", b"a,b\n", "text"),
        ("application/zip", b"a,b\n", "text"),
        ("text/csv", b"\x7fELF\0\0", "binary"),
        ("multipart/form-data; boundary=x", b"--x\r\n", "text"),
    ],
)
def test_a_body_that_is_not_what_it_claims_is_refused(
    declared: str,
    body: bytes,
    found: str,
    client: TestClient,
    parts: Parts,
    headers: dict[str, str],
) -> None:
    answer = client.post(PUSHES, content=body, headers=headers | {"content-type": declared})
    assert is_problem(answer, 415)
    assert (answer.json()["code"], answer.json()["found"]) == ("content-type-mismatch", found)
    assert list(parts.vault.names()) == []


@pytest.mark.parametrize(
    ("declared", "encoding", "body"),
    [
        ("text/csv", "", taps(2, 0)),
        ("text/csv; charset=utf-8", "gzip", gzip.compress(taps(2, 0))),
        ("application/gzip", "", gzip.compress(taps(2, 0))),
        ("application/octet-stream", "", taps(2, 0)),
    ],
)
def test_a_body_that_is_what_it_claims_is_read(
    declared: str,
    encoding: str,
    body: bytes,
    client: TestClient,
    parts: Parts,
    headers: dict[str, str],
) -> None:
    more = {"content-type": declared} | ({"content-encoding": encoding} if encoding else {})
    location = client.post(PUSHES, content=body, headers=headers | more).headers["location"]
    worker.drain(parts)
    assert client.get(location, headers=headers).json()["valid"] == 2


def test_a_bomb_is_refused_by_name(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    bomb = gzip.compress(taps(1, 0) + b"0" * (48 << 20))
    location = client.post(PUSHES, content=bomb, headers=headers).headers["location"]
    worker.drain(parts)
    state = client.get(location, headers=headers).json()
    assert (state["state"], state["problem"]["code"]) == ("refused", "expands_too_much")


def zipped(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return sink.getvalue()


def test_archives_are_bounded_whatever_they_say(client: TestClient, parts: Parts) -> None:
    """Two kilobytes that unpack to hundreds, an archive in an archive, a way out of the folder."""
    headers = bearer(client, parts, "region")
    address = "/v1/partners/region/datasets/gtfs/pushes"
    outcomes = {}
    for name, body in (
        ("bomb", zipped("stops.txt", b"0" * (300 << 20))),
        ("nested", zipped("feed.zip", zipped("stops.txt", b"0" * 1_000_000))),
        ("escape", zipped("../../stops.txt", b"stop_id\n")),
    ):
        assert len(body) < 1 << 20
        sent = client.post(
            address, content=body, headers=headers | {"content-type": "application/zip"}
        )
        assert sent.status_code == 202
        worker.drain(parts)
        state = client.get(sent.headers["location"], headers=headers).json()
        outcomes[name] = (state["state"], state["problem"]["code"])
    assert outcomes == {
        "bomb": ("refused", "expands_too_much"),
        "nested": ("refused", "missing_table"),
        "escape": ("refused", "unsafe_archive"),
    }


def test_a_key_gives_the_same_push_and_receipt_before_and_after_it_is_processed(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    keyed = headers | {"idempotency-key": "once"}
    first = client.post(PUSHES, content=taps(3, 1), headers=keyed)
    early = client.post(PUSHES, content=taps(3, 1), headers=keyed)
    worker.drain(parts)
    late = client.post(PUSHES, content=taps(3, 1), headers=keyed)
    assert (first.status_code, early.status_code, late.status_code) == (202, 200, 200)
    locations = {answer.headers["location"] for answer in (first, early, late)}
    assert len(locations) == 1
    receipt = client.get(f"{locations.pop()}/receipt", headers=headers).content
    assert receipts.verify(receipt, parts.log.keys)["received"] == 4
    assert is_problem(client.post(PUSHES, content=taps(3, 2), headers=keyed), 409)
    # The key is the partner's own; without one, the same bytes are another push.
    other = client.post(PUSHES, content=taps(3, 1), headers=headers)
    assert other.status_code == 202
    assert other.headers["location"] != first.headers["location"]
    assert len(list(parts.vault.names())) == 1


def limited(parts: Parts, **limits: int) -> TestClient:
    settings = parts.settings.model_copy(update=limits)
    return TestClient(application(replace(parts, settings=settings)), raise_server_exceptions=False)


def test_too_large_a_body_is_refused(parts: Parts, headers: dict[str, str]) -> None:
    client = limited(parts, push_bytes=1000)
    announced = client.post(PUSHES, content=b"x" * 1001, headers=headers)
    streamed = client.post(PUSHES, content=iter([b"x" * 600, b"x" * 600]), headers=headers)
    upload = client.post(
        PUSHES, headers=headers | {"tus-resumable": "1.0.0", "upload-length": "1001"}
    )
    for answer in (announced, streamed, upload):
        assert is_problem(answer, 413)
        assert answer.json()["max_bytes"] == 1000
    assert list(parts.vault.names()) == []
    assert client.post(PUSHES, content=b"x" * 1000, headers=headers).status_code == 202


def test_too_many_waiting_pushes_are_held_off(parts: Parts, headers: dict[str, str]) -> None:
    client = limited(parts, waiting_per_partner=2)
    for n in range(2):
        assert client.post(PUSHES, content=taps(1 + n, 0), headers=headers).status_code == 202
    held = client.post(PUSHES, content=taps(3, 0), headers=headers)
    assert is_problem(held, 429)
    assert (held.json()["code"], held.headers["retry-after"]) == ("too-many-waiting", "60")
    others = bearer(client, parts, "orange")
    presence = "/v1/partners/orange/datasets/presence/pushes"
    assert client.post(presence, content=b"x", headers=others).status_code == 202
    worker.drain(parts)
    assert client.post(PUSHES, content=taps(3, 0), headers=headers).status_code == 202
    assert is_problem(limited(parts, waiting=1).post(PUSHES, content=b"x", headers=headers), 429)


def test_a_day_has_so_many_bytes(parts: Parts, headers: dict[str, str]) -> None:
    client = limited(parts, push_bytes_a_day=1000)
    assert client.post(PUSHES, content=b"x" * 600, headers=headers).status_code == 202
    assert is_problem(client.post(PUSHES, content=b"y" * 401, headers=headers), 413)
    held = client.post(PUSHES, headers=headers | {"tus-resumable": "1.0.0", "upload-length": "401"})
    assert is_problem(held, 429)
    assert held.json()["bytes_left"] == 400
    assert client.post(PUSHES, content=b"z" * 400, headers=headers).status_code == 202
    last = client.post(PUSHES, content=b"z", headers=headers)
    assert is_problem(last, 429)
    assert last.headers["retry-after"] == "3600"
    settings = parts.settings.model_copy(update={"push_bytes_a_day": 1000})
    later = utc_now() + timedelta(days=1, minutes=1)
    tomorrow = replace(parts, settings=settings, clock=lambda: later)
    assert push.admission(tomorrow, OPERATOR, "transdev", "validations") == 1000


@pytest.mark.parametrize("way", ["once", "pieces"])
def test_the_web_process_stays_small_while_a_big_file_is_pushed(
    way: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    size = (5 << 30) if EVERYTHING else (256 << 20)
    piece = 64 << 20
    home = tmp_path / "var"
    parts = world.founded(home)
    made, secret = add_partner(parts, "transdev")
    peak = 0
    with Typed(home) as served:
        assert served.process is not None
        web = psutil.Process(served.process.pid)
        headers = served.token(made.id, secret)

        chunk = random.Random(1).randbytes(1 << 20)

        def body(size: int) -> Iterator[bytes]:
            nonlocal peak
            for _ in range(size >> 20):
                yield chunk
                peak = max(peak, web.memory_info().rss)

        if way == "once":
            address = served.url + PUSHES
            sent = httpx2.post(address, content=body(size), headers=headers, timeout=900)
            assert sent.status_code == 202
            assert sent.json()["file_bytes"] == size
        else:
            headers["tus-resumable"] = "1.0.0"
            length = {"upload-length": str(size)}
            begun = httpx2.post(served.url + PUSHES, headers=headers | length)
            at = served.url + begun.headers["location"]
            headers["content-type"] = "application/offset+octet-stream"
            for offset in range(0, size, piece):
                here = headers | {"upload-offset": str(offset)}
                sent = httpx2.patch(at, content=body(piece), headers=here, timeout=900)
                assert sent.headers["upload-offset"] == str(offset + piece)
    record_property("peak memory of the web process, MB", peak >> 20)
    assert peak < 400 << 20

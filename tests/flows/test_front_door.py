"""The front door beyond the plain push: progress, refused rows, limits, what a body claims to be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hub import progress, worker
from hub.main import application, compose
from hub.parts import Parts
from hub.settings import Settings
from tests.flows import world
from tests.flows.test_http import PUSHES, bearer, is_problem
from tests.flows.test_quarantine import taps


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return compose(Settings(home=tmp_path / "var", lease_seconds=2), opens=True)


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

    def told(self: object, push_id: str, stage: str, percentage: int) -> None:
        advance(self, push_id, stage, percentage)  # type: ignore[arg-type]
        state = client.get(location, headers=headers).json()
        seen.append((state["stage"], state["percentage"]))

    monkeypatch.setattr(type(parts.books), "advance", told)
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
    told = progress.Progress(replace(parts, clock=lambda: now[0]), "p")
    told.within("reading", 1)
    told.within("reading", 2)
    assert parts.books.progress("p") == ("reading", 1)
    now[0] += progress.EVERY
    told.within("reading", 3)
    assert parts.books.progress("p") == ("reading", 3)


def test_events_tell_the_state_and_end_with_it(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    location = client.post(PUSHES, content=taps(5, 0), headers=headers).headers["location"]
    worker.drain(parts)
    answer = client.get(f"{location}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    event, data, *_ = answer.text.splitlines()
    assert event == "event: progress"
    assert json.loads(data.removeprefix("data: ")) == client.get(location, headers=headers).json()
    stranger = bearer(client, parts, "orange")
    assert is_problem(client.get(f"{location}/events", headers=stranger), 404)
    assert is_problem(client.get(f"{location}/rejected", headers=stranger), 404)


def test_refused_rows_are_told_by_position_and_reason(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    location = client.post(PUSHES, content=taps(2, 1), headers=headers).headers["location"]
    worker.drain(parts)
    (row,) = client.get(f"{location}/rejected", headers=headers).json()
    assert (row["position"], row["code"], row["column"]) == (4, "unknown_value", "fare_action")
    assert set(row) == {"position", "code", "column", "fr", "en"}

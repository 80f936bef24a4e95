"""Every part fails once: the answer names it, no door opens, nothing acknowledged is lost."""

import errno
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hub import push, worker
from hub.application import application
from hub.audit.journal import JournaledStore
from hub.cli.operate import add_partner
from hub.errors import Rejected, Unavailable
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.policy.gate import DenyAll
from hub.records import PushState
from hub.settings import DEFAULT_TERRITORY, Settings
from hub.storage.books import jobs
from hub.storage.tables import DeltaTables
from tests.flows import world

PUSHES = "/v1/partners/transdev/datasets/validations/pushes"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.founded(tmp_path / "var")


def door(parts: Parts) -> tuple[TestClient, dict[str, str]]:
    """A client of the interface with Transdev's token."""
    made, secret = add_partner(parts, "transdev")
    client = TestClient(application(parts), raise_server_exceptions=False)
    answer = client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.id, secret)
    )
    return client, {"authorization": f"Bearer {answer.json()['access_token']}"}


def test_books_that_do_not_answer(parts: Parts) -> None:
    client, headers = door(parts)
    parts.books.close()
    for file in parts.settings.home.glob("books.sqlite*"):
        file.unlink()
    (parts.settings.home / "books.sqlite").write_bytes(b"not a database" * 100)
    assert client.get("/healthz").status_code == 200
    for answer in (
        client.get("/readyz"),
        client.post(PUSHES, content=world.taps(["A"]), headers=headers),
        client.get("/v1/releases"),
        client.get("/v1/pushes", headers=headers),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.json()["who"] == "operator"
        assert "retry-after" in answer.headers
    assert list(parts.vault.names()) == []


def test_a_policy_engine_that_does_not_answer(parts: Parts) -> None:
    _, headers = door(parts)
    shut = TestClient(application(replace(parts, policy=DenyAll())))
    assert shut.get("/readyz").status_code == 503
    assert shut.post(PUSHES, content=world.taps(["A"]), headers=headers).status_code == 403
    assert shut.get("/v1/releases").json() == []
    assert shut.get("/v1/audit/events", headers=headers).status_code == 403
    assert list(parts.vault.names()) == []


def test_a_disk_that_is_full_at_the_front_door(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, headers = door(parts)
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if "vault" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    def full_too(source: object, target: object, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(Path, "rename", full)
    monkeypatch.setattr("os.replace", full_too)
    monkeypatch.setattr("os.rename", full_too)
    monkeypatch.setattr("os.link", full_too)
    answer = client.post(PUSHES, content=world.taps(["A"]), headers=headers)
    monkeypatch.undo()
    assert answer.status_code == 503
    assert answer.json()["code"] == "storage-full"
    assert parts.books.pushes() == []
    assert list(parts.vault.names()) == []


def test_tables_that_fail_make_the_push_wait(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    add_partner(parts, "transdev")
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["A"])])

    def fail(*_: object, **__: object) -> object:
        raise Unavailable("storage-full", fr="plein", en="full", who="operator")

    monkeypatch.setattr(DeltaTables, "append", fail)
    assert worker.step(parts) is True
    monkeypatch.undo()
    waiting = parts.books.push(made.id)
    assert waiting is not None
    assert waiting.state is PushState.ACCEPTED
    assert list(parts.vault.names()) == [push.sealed_name(made.id)]
    later = parts.clock() + timedelta(minutes=10)
    worker.drain(replace(parts, clock=lambda: later))
    done = parts.books.push(made.id)
    assert done is not None
    assert (done.state, done.kept) == (PushState.STORED, 5)


def test_a_log_that_cannot_be_written_delays_the_receipt_only(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_partner(parts, "transdev")
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["A"])])

    def fail(*_: object) -> None:
        raise Unavailable("log-storage", fr="plein", en="full", who="operator")

    monkeypatch.setattr(JournaledStore, "advance", fail)
    worker.step(parts)
    stored = parts.books.push(made.id)
    assert stored is not None
    assert (stored.state, stored.log_index) == (PushState.STORED, None)
    monkeypatch.undo()
    worker.drain(parts)
    receipted = parts.books.push(made.id)
    assert receipted is not None
    assert push.receipt(parts, receipted)


def test_a_stream_cut_on_the_way_leaves_nothing(parts: Parts) -> None:
    add_partner(parts, "transdev")

    def cut() -> Iterator[bytes]:
        yield world.taps(["A"])
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        push.accept(parts, OPERATOR, "transdev", "validations", cut())
    assert parts.books.pushes() == []
    assert list(parts.vault.names()) == []


@contextmanager
def named(code: str) -> Iterator[None]:
    with pytest.raises((Rejected, Unavailable)) as caught:
        yield
    assert caught.value.code == code


def test_a_home_or_territory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with named("home-unavailable"):
        compose(Settings(home=file / "var"), opens=True)
    with named("territory-unreadable"):
        compose(Settings(home=tmp_path / "a", territory=tmp_path / "none.toml"), opens=True)
    file.write_text("id = 3")
    with named("territory-invalid"):
        compose(Settings(home=tmp_path / "b", territory=file), opens=True)
    # A record of consent could not say who answers for it.
    file.write_text(
        DEFAULT_TERRITORY.read_text().replace('name = "CoachCO2"\naddress', 'name = "X"\naddress')
    )
    with named("territory-invalid"):
        compose(Settings(home=tmp_path / "c", territory=file), opens=True)


def test_every_kind_of_job_is_done_in_one_lane() -> None:
    kinds = [jobs.PUSH, jobs.UPLOAD, jobs.PULL, jobs.WITHDRAWAL, jobs.STOP, jobs.EXPIRY]
    assert sorted([*worker.FILES, *worker.PEOPLE]) == sorted([*kinds, jobs.CORRECTION])


def test_a_lane_that_breaks_ends_the_other(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends, and another is started; alone, it would look as if it worked."""

    def breaks(*_: object) -> None:
        raise OSError("broken")

    monkeypatch.setattr(worker, "chores", breaks)
    with pytest.raises(OSError, match="broken"):
        worker.run(parts, threading.Event())


def test_a_worker_spares_what_is_loaded_the_collectors_walks(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    monkeypatch.setattr(worker, "keep_at", lambda *_: frozen.append(gc.get_freeze_count()))
    stop = threading.Event()
    stop.set()
    worker.run(parts, stop)
    assert all(count > 10_000 for count in frozen)
    assert len(frozen) == len(worker.LANES)
    assert gc.get_freeze_count() == 0, "what nobody collects at the end, DuckDB reports as leaked"

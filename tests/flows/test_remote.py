"""`hub push --server`: a partner's client that outlives cuts, a dead server and its own end."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hub.audit import receipts
from hub.cli import remote
from hub.cli.operate import add_partner
from hub.cli.remote import Remote
from hub.errors import Busy, Conflict, Denied, Rejected, Unavailable
from hub.parts import Parts
from tests.flows import command, world
from tests.flows.served import Served

BIG = world.taps([f"{'card' * 40}-{n}" for n in range(1_500)])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    home = tmp_path_factory.mktemp("hub") / "var"
    return world.founded(home)


@pytest.fixture(scope="module")
def credentials(parts: Parts) -> tuple[str, str]:
    made, secret = add_partner(parts, "transdev")
    return made.id, secret


@pytest.fixture(scope="module")
def served(parts: Parts, credentials: tuple[str, str]) -> Iterator[Served]:
    with Served(parts.settings.home) as one:
        yield one


@pytest.fixture
def client(
    served: Served, credentials: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Remote]:
    """A client that takes this module's files for large ones."""
    monkeypatch.setattr(remote, "LARGE", 1 << 18)
    monkeypatch.setattr(remote, "PIECE", 1 << 18)
    monkeypatch.setattr(remote, "CHUNK", 1 << 16)
    with Remote(served.url, *credentials, state=tmp_path / "state") as one:
        yield one


def file_of(data: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "taps.csv"
    path.write_bytes(data)
    return path


def test_a_large_file_outlives_a_dead_server_and_its_own_client(
    client: Remote, served: Served, parts: Parts, tmp_path: Path
) -> None:
    file = file_of(BIG, tmp_path)
    assert len(BIG) > 5 << 18
    seen: list[int] = []
    killed: list[int] = []

    def kills_the_server(there: int) -> None:
        seen.append(there)
        if there > 2 << 18 and not killed:
            killed.append(there)
            served.kill()
            served.start()

    def dies(there: int) -> None:
        kills_the_server(there)
        if there > 4 << 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.push("transdev", "validations", file, sent=dies)
    (kept,) = client.state.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    seen.clear()
    client._http.close()
    stages: list[str] = []
    again = Remote(served.url, client.client, client.secret, state=client.state)
    with again:
        shown = again.push("transdev", "validations", file, sent=seen.append,
                           say=lambda state: stages.append(state["stage"]))  # fmt: skip
        note = again.receipt(shown["id"])
        # The same file is the same push, however it is sent.
        assert again.push("transdev", "validations", file)["id"] == shown["id"]
    assert seen[0] >= 3 << 18  # goes on, not again from the start
    assert seen[-1] == len(BIG)
    assert stages[-1] == "done"
    assert (shown["state"], shown["received"], shown["rejected"]) == ("stored", 7_500, 0)
    assert shown["file_sha256"] == hashlib.sha256(BIG).hexdigest()
    assert list(client.state.iterdir()) == []
    facts = receipts.verify(note, parts.log.keys)
    assert facts["file_sha256"] == shown["file_sha256"]


def test_a_file_that_changes_on_the_way_is_told(client: Remote, tmp_path: Path) -> None:
    file = file_of(BIG[: 2 << 18], tmp_path)

    def changes(there: int) -> None:
        if there == 1 << 18:
            with file.open("r+b") as stream:
                stream.seek(3 << 17)
                stream.write(b"X")

    with pytest.raises(Conflict) as met:
        client.push("transdev", "validations", file, key="changes", sent=changes)
    assert met.value.code == "file-changed"


def test_the_hub_s_refusals_are_told_by_family(client: Remote, tmp_path: Path) -> None:
    file = file_of(world.taps(["A"]), tmp_path)
    with pytest.raises(Denied) as met:
        client.push("orange", "presence", file)
    assert met.value.code == "denied-by-policy"
    with pytest.raises(Rejected):
        client.push("transdev", "nothing", file)
    with Remote(client.server, client.client, "wrong") as wrong, pytest.raises(Denied) as refused:
        wrong.push("transdev", "validations", file)
    assert refused.value.code == "credentials-refused"


class Answers:
    """A hub that answers as it is told, and a clock that only waiting moves."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.tokens = 0

    def client(self, tmp_path: Path) -> Remote:
        made = Remote("http://hub.example", "c", "s", state=tmp_path, clock=lambda: self.now,
                      pause=self.wait)  # fmt: skip
        made._http.close()
        made._http = httpx2.Client(
            base_url=made.server, transport=httpx2.MockTransport(self.answer)
        )
        return made

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        if request.url.path == "/oauth/token":
            self.tokens += 1
            return httpx2.Response(200, json={"access_token": "t"})
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        return said


def done(file: Path) -> dict[str, Any]:
    return {"id": "p", "state": "stored", "log_index": 1, "stage": "done", "percentage": 100,
            "file_sha256": remote.digest_of(file)}  # fmt: skip


def test_what_passes_is_waited_for(tmp_path: Path) -> None:
    file = file_of(world.taps(["A"]), tmp_path)
    busy = httpx2.Response(429, headers={"retry-after": "60"}, json={"code": "too-many-waiting"})
    answers = Answers(
        httpx2.ConnectError("no"), httpx2.Response(503), busy, httpx2.Response(401),
        httpx2.Response(202, json={"id": "p"}), httpx2.Response(200, json=done(file)),
    )  # fmt: skip
    assert answers.client(tmp_path).push("transdev", "validations", file)["id"] == "p"
    assert answers.now >= 60
    assert answers.tokens == 2


@pytest.mark.parametrize(
    ("said", "family"),
    [
        (httpx2.ConnectError("no"), Unavailable),
        (httpx2.Response(503), Unavailable),
        (httpx2.Response(429, headers={"retry-after": "3600"}, json={"code": "quota"}), Busy),
        (httpx2.Response(401), Rejected),
        (httpx2.Response(409, json={"code": "idempotency-key-reused"}), Conflict),
    ],
)
def test_what_does_not_pass_is_said(
    said: httpx2.Response | Exception, family: type[Exception], tmp_path: Path
) -> None:
    file = file_of(world.taps(["A"]), tmp_path)
    answers = Answers(said)
    with pytest.raises(family):
        answers.client(tmp_path).push("transdev", "validations", file)
    assert answers.now < remote.PATIENCE + 2 * remote.LONGEST_PAUSE


def test_the_command_prints_the_receipt(
    served: Served, credentials: tuple[str, str], tmp_path: Path
) -> None:
    file, note = file_of(world.taps(["A", "B"]), tmp_path), tmp_path / "receipt.txt"
    client, secret = credentials
    environment = {"HUB_HOME": str(tmp_path / "none"), "HUB_CLIENT_ID": client,
                   "HUB_CLIENT_SECRET": secret, "XDG_STATE_HOME": str(tmp_path)}  # fmt: skip
    words = ["push", str(file), "--partner", "transdev", "--dataset", "validations",
             "--server", served.url, "--receipt", str(note)]  # fmt: skip

    def run(*more: str) -> str:
        done = command.run([*words, *more], environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = json.loads(run("--json"))
    assert (shown["state"], shown["received"], shown["valid"]) == ("stored", 10, 10)
    printed = run()
    assert note.read_text() in printed
    assert not (tmp_path / "none").exists()

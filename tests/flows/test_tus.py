"""tus 1.0, spoken by a strict client of our own, and by tuspy, which nobody here wrote.

Ours takes nothing on trust: every answer's status, version and offset is asserted.
"""

import base64
import hashlib
import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from tusclient.client import TusClient

from hub import push, uploads, worker
from hub.application import application
from hub.cli.operate import add_partner
from hub.parts import Parts
from hub.reconcile import reconcile
from tests.flows import world
from tests.flows.served import Served
from tests.flows.test_http import PUSHES, bearer, is_problem

TUS = {"tus-resumable": "1.0.0"}
BYTES = {"content-type": "application/offset+octet-stream"}


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.founded(tmp_path / "var")


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), raise_server_exceptions=False)


@pytest.fixture
def headers(client: TestClient, parts: Parts) -> dict[str, str]:
    return bearer(client, parts, "transdev") | TUS


def create(client: TestClient, headers: dict[str, str], length: int) -> str:
    made = client.post(PUSHES, headers=headers | {"upload-length": str(length)})
    assert (made.status_code, made.headers["tus-resumable"]) == (201, "1.0.0")
    return made.headers["location"]


def patch(
    client: TestClient, headers: dict[str, str], at: str, offset: int, data: bytes, **more: str
) -> httpx2.Response:
    sent = headers | BYTES | {"upload-offset": str(offset)} | more
    return client.patch(at, content=data, headers=sent)


def state_of(client: TestClient, headers: dict[str, str], at: str) -> dict[str, object]:
    state: dict[str, object] = client.get(
        f"/v1/pushes/{at.rsplit('/', 1)[1]}", headers=headers
    ).json()
    return state


def test_a_file_in_pieces_becomes_a_push_of_the_same_number(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    data = world.taps(["A", "B"])
    at = create(client, headers, len(data))
    assert state_of(client, headers, at)["stage"] == "receiving"
    offset = 0
    for size in (1, 400, len(data)):
        piece = data[offset : offset + size]
        answer = patch(client, headers, at, offset, piece)
        assert answer.status_code == 204
        offset += len(piece)
        assert answer.headers["upload-offset"] == str(offset)
        head = client.head(at, headers=headers)
        assert (head.status_code, head.headers["upload-offset"]) == (200, str(offset))
        assert head.headers["upload-length"] == str(len(data))
        assert head.headers["cache-control"] == "no-store"
    assert state_of(client, headers, at)["stage"] == "assembling"
    parts.sequence()
    assert reconcile(parts).problems == []
    worker.drain(parts)
    state = state_of(client, headers, at)
    assert (state["state"], state["received"]) == ("stored", 10)
    assert state["id"] == at.rsplit("/", 1)[1]
    assert state["file_sha256"] == hashlib.sha256(data).hexdigest()
    assert list(parts.vault.names()) == []
    assert parts.books.segments() == []
    assert reconcile(parts).problems == []


def test_nothing_of_an_upload_lies_on_disk_in_the_clear(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    at = create(client, headers, 10_000)
    patch(client, headers, at, 0, b"a-person-at-a-place," * 100)
    files = [f for f in parts.settings.home.rglob("*") if f.is_file()]
    assert any("uploads" in f.parts for f in files)
    assert not [f for f in files if b"a-person-at-a-place" in f.read_bytes()]


def test_a_wrong_offset_is_answered_with_the_right_one(
    client: TestClient, headers: dict[str, str]
) -> None:
    at = create(client, headers, 100)
    assert patch(client, headers, at, 0, b"x" * 10).status_code == 204
    for wrong in (0, 9, 11):
        answer = patch(client, headers, at, wrong, b"y")
        assert (answer.status_code, answer.headers["upload-offset"]) == (409, "10")
    assert is_problem(patch(client, headers, at, 10, b"z" * 91), 413)


def test_the_protocol_is_strict(client: TestClient, parts: Parts, headers: dict[str, str]) -> None:
    spoken = client.options(PUSHES)
    assert spoken.status_code == 204
    assert spoken.headers["tus-extension"] == "creation,termination,checksum"
    at = create(client, headers, 5)
    other = headers | {"tus-resumable": "0.2.2"}
    for answer in (client.head(at, headers=other), patch(client, other, at, 0, b"x"),
                   client.delete(at, headers=other)):  # fmt: skip
        assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
    plain = headers | {"upload-offset": "0", "content-type": "text/csv"}
    assert client.patch(at, content=b"x", headers=plain).status_code == 415
    assert is_problem(client.post(PUSHES, headers=headers | {"upload-length": "-1"}), 422)
    assert is_problem(client.post(PUSHES, headers=headers), 422)
    stranger = bearer(client, parts, "orange") | TUS
    assert client.head(at, headers=stranger).status_code == 404
    assert client.head(at, headers=TUS).status_code == 401
    assert is_problem(client.post(PUSHES, headers=stranger | {"upload-length": "3"}), 403)


def test_a_checksum_that_does_not_match_keeps_nothing(
    client: TestClient, headers: dict[str, str]
) -> None:
    at = create(client, headers, 3)
    sums = {
        data: base64.b64encode(hashlib.sha256(data).digest()).decode() for data in (b"abc", b"abd")
    }
    wrong = patch(client, headers, at, 0, b"abc", **{"upload-checksum": f"sha256 {sums[b'abd']}"})
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (460, "0")
    odd = patch(client, headers, at, 0, b"abc", **{"upload-checksum": "crc32 AAAA"})
    assert is_problem(odd, 422)
    right = patch(client, headers, at, 0, b"abc", **{"upload-checksum": f"sha256 {sums[b'abc']}"})
    assert (right.status_code, right.headers["upload-offset"]) == (204, "3")


def declaring(kind: str) -> dict[str, str]:
    return {"upload-metadata": f"name eA==,filetype {base64.b64encode(kind.encode()).decode()}"}


@pytest.mark.parametrize("first", [3, 512])
@pytest.mark.parametrize(
    ("kind", "found"),
    [("text/csv", "text"), ("application/gzip", "gzip"), ("application/json", "json"),
     ("text/csv", "gzip"), ("application/zip", "text"), ("application/pdf", "text"), ("", "json")],
)  # fmt: skip
def test_bytes_are_held_to_the_type_declared_for_them(
    client: TestClient, parts: Parts, headers: dict[str, str], kind: str, found: str, first: int
) -> None:
    """At once where the first request tells, else when the file is whole."""
    data = {"text": b"a,b\n", "gzip": b"\x1f\x8b\x08\x00", "json": b'[{"a"'}[found] * 1000
    sent = headers | {"upload-length": str(len(data))} | declaring(kind)
    at = client.post(PUSHES, headers=sent).headers["location"]
    begun = patch(client, headers, at, 0, data[:first])
    wrong = kind in {"application/zip", "application/pdf"} or (kind, found) == ("text/csv", "gzip")
    if wrong and first >= 512:
        assert is_problem(begun, 415)
        assert (begun.json()["code"], begun.json()["found"]) == ("content-type-mismatch", found)
        assert client.head(at, headers=headers).headers["upload-offset"] == "0"
        assert list(parts.vault.names()) == []
        return
    assert begun.status_code == 204
    assert patch(client, headers, at, first, data[first:]).status_code == 204
    worker.drain(parts)
    problem = state_of(client, headers, at)["problem"]
    assert isinstance(problem, dict)  # none of them is a file of taps
    assert (problem["code"] == "content-type-mismatch") is wrong
    assert list(parts.vault.names()) == []


def test_a_type_nobody_can_read_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    sent = headers | {"upload-length": "3", "upload-metadata": "filetype ~~~"}
    assert is_problem(client.post(PUSHES, headers=sent), 422)


def test_an_upload_can_be_abandoned_until_it_is_whole(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    at = create(client, headers, 10)
    patch(client, headers, at, 0, b"12345")
    assert client.delete(at, headers=headers).status_code == 204
    assert client.head(at, headers=headers).status_code == 404
    assert list(parts.vault.names()) == []
    at = create(client, headers, 2)
    patch(client, headers, at, 0, b"12")
    assert is_problem(client.delete(at, headers=headers), 409)


def test_uploads_that_take_too_long_are_forgotten(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    at = create(client, headers, 10)
    patch(client, headers, at, 0, b"12345")
    now = parts.clock()
    assert uploads.expire(parts, now + uploads.LIFETIME - timedelta(minutes=1)) == 0
    assert push.sweep(parts, now + timedelta(hours=2)) == 0  # its pieces are wanted
    assert uploads.expire(parts, now + uploads.LIFETIME + timedelta(minutes=1)) == 1
    assert list(parts.vault.names()) == []


def test_a_reused_key_is_told_when_the_file_is_whole(
    client: TestClient, parts: Parts, headers: dict[str, str]
) -> None:
    keyed = headers | {"idempotency-key": "k"}
    ids = []
    for data in (b"one", b"one", b"two"):
        at = create(client, keyed, 3)
        patch(client, keyed, at, 0, data)
        worker.drain(parts)
        ids.append(state_of(client, headers, at))
    first, again, other = ids
    assert again["id"] == first["id"]
    assert other["state"] == "refused"
    assert other["problem"]["code"] == "idempotency-key-reused"  # type: ignore[index]


def test_a_worker_that_dies_assembling_is_followed_by_another(
    client: TestClient, parts: Parts, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = world.taps(["A"])
    for step in ("accept_push", "end_upload"):
        at = create(client, headers, len(data))
        patch(client, headers, at, 0, data)
        original = getattr(type(parts.books), step)

        def dies(self: object, *args: object, _do=original, **kwargs: object) -> None:  # type: ignore[no-untyped-def]
            _do(self, *args, **kwargs)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(type(parts.books), step, dies)
            with pytest.raises(KeyboardInterrupt):
                uploads.assemble(parts, at.rsplit("/", 1)[1])
        worker.drain(parts)
        state = state_of(client, headers, at)
        assert (state["state"], state["received"]) == ("stored", 5)
    push.sweep(parts, parts.clock() + timedelta(hours=2))
    assert list(parts.vault.names()) == []


def test_an_upload_survives_kill_9_of_the_server(tmp_path: Path) -> None:
    home = tmp_path / "var"
    parts = world.founded(home)
    made, secret = add_partner(parts, "transdev")
    data = world.taps([f"{'card' * 40}-{n}" for n in range(12_000)])
    assert len(data) > 5 * uploads.PIECE
    with Served(home) as served:
        headers = served.token(made.id, secret) | TUS
        created = httpx2.post(
            served.url + PUSHES, headers=headers | {"upload-length": str(len(data))}
        )
        assert created.status_code == 201
        at = served.url + created.headers["location"]
        offset, kills, chunk = 0, 0, 256 * 1024
        while offset < len(data):
            killer = threading.Thread(target=served.kill)

            def body(
                start: int = offset, fatal: bool = kills < 3, killer: threading.Thread = killer
            ) -> Iterator[bytes]:
                for begin in range(start, len(data), chunk):
                    yield data[begin : begin + chunk]
                    if fatal and begin - start > uploads.PIECE:
                        killer.start()
                        killer.join()

            sent = headers | BYTES | {"upload-offset": str(offset)}
            try:
                answer = httpx2.patch(at, content=body(), headers=sent, timeout=60)
                assert answer.status_code == 204
            except httpx2.HTTPError:
                kills += 1
                served.start()
            head = httpx2.head(at, headers=headers, timeout=60)
            assert head.status_code == 200
            assert int(head.headers["upload-offset"]) >= offset
            offset = int(head.headers["upload-offset"])
        assert kills == 3
        push_id = at.rsplit("/", 1)[1]
        while (found := parts.books.push(push_id)) is None or found.log_index is None:
            time.sleep(0.2)
    assert found.file_sha256 == hashlib.sha256(data).hexdigest()
    assert (found.received, found.valid) == (60_000, 60_000)


def test_tuspy_resumes_an_upload_cut_by_kill_9(tmp_path: Path) -> None:
    home = tmp_path / "var"
    parts = world.founded(home)
    made, secret = add_partner(parts, "transdev")
    data = world.taps([f"{'card' * 40}-{n}" for n in range(12_000)])
    file = tmp_path / "validations.csv"
    file.write_bytes(data)
    assert len(data) > 5 * uploads.PIECE
    with Served(home) as served:
        kills: list[threading.Thread] = []

        def kill_past(start: int) -> None:
            """Kill the server when it has sealed a piece of this request; more is under way."""
            while not (begun := parts.books.uploads()) or begun[0].offset <= start:
                time.sleep(0.002)
            served.kill()
            served.start()

        class Watched(io.FileIO):
            """The file; reading the first two requests of it sends a killer after each."""

            def read(self, size: int | None = -1) -> bytes:
                if len(kills) < 2 and size is not None and size > 0:
                    kills.append(threading.Thread(target=kill_past, args=(self.tell(),)))
                    kills[-1].start()
                return super().read(size)

        client = TusClient(served.url + PUSHES, headers=served.token(made.id, secret))
        with Watched(file) as stream:
            upload = client.uploader(
                file_stream=stream, chunk_size=2 * uploads.PIECE, retries=100, retry_delay=1
            )
            upload.upload()
        for kill in kills:
            kill.join()
        assert len(kills) == 2
        assert upload.offset == len(data)
        push_id = str(upload.url).rsplit("/", 1)[1]
        while (found := parts.books.push(push_id)) is None or found.log_index is None:
            time.sleep(0.2)
    assert found.file_sha256 == hashlib.sha256(data).hexdigest()
    assert (found.received, found.valid) == (60_000, 60_000)

"""C2SP `add-checkpoint`: what the specification asks of a witness, case by case."""

import base64
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from hub.audit import merkle, notes, submissions, witness
from hub.audit.log import Log
from hub.audit.notes import Checkpoint, Witness
from hub.audit.store import MemoryStore
from hub.audit.submissions import Answer
from hub.cli.witness import application
from tests.audit.helpers import NOW, grown, record, signer

KEY = signer().verifier
ANNE = Witness("partner.test/witness", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


def request(old: int, proof: list[bytes], note: bytes) -> bytes:
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof)]
    return "\n".join([*lines, "", ""]).encode() + note


class Log2:
    """A log that grew from 5 to 12 entries, and a witness."""

    def __init__(self) -> None:
        self.log, outbox = grown(MemoryStore(), 5)
        self.five = self.log.checkpoint()
        record(outbox, 7)
        self.log.sequence(NOW)
        self.twelve = self.log.checkpoint()
        self.proof = self.log.consistency(5)
        self.state = MemoryStore()

    def add(self, body: bytes) -> Answer:
        return submissions.add_checkpoint(self.state, [KEY], ANNE, body, NOW)


def cosigned(answer: Answer, note: bytes) -> None:
    assert answer.status == 200, answer.body
    whole = f"{notes.text_of(note)}\n{answer.body.decode()}".encode()
    [(at, _)] = notes.verify(whole, [ANNE.verifier]).cosigned(ANNE.verifier)
    assert at == NOW


def test_a_log_that_grows_is_cosigned_and_remembered() -> None:
    made = Log2()
    cosigned(made.add(request(0, [], made.five)), made.five)
    cosigned(made.add(request(5, [], made.five)), made.five)  # the same again
    cosigned(made.add(request(5, made.proof, made.twelve)), made.twelve)
    last = witness.remembered(made.state, [KEY])
    assert last is not None
    assert last.size == 12
    # The witness that goes and looks has the same memory.
    assert witness.cosign(made.log.store, made.state, [KEY], ANNE, NOW)


def test_an_old_size_that_is_not_the_last_is_answered_with_the_last() -> None:
    made = Log2()
    assert made.add(request(5, made.proof, made.twelve)) == Answer(409, b"0\n", submissions.SIZE)
    made.add(request(0, [], made.twelve))
    for old, note in ((0, made.twelve), (5, made.twelve), (0, made.five), (5, made.five)):
        assert made.add(request(old, [], note)) == Answer(409, b"12\n", "text/x.tlog.size")


def test_a_fork_of_the_same_size_is_a_conflict() -> None:
    made = Log2()
    made.add(request(0, [], made.twelve))
    fork = Checkpoint(KEY.name, 12, bytes(32))
    answer = made.add(request(12, [], notes.sign(fork.text(), signer())))
    assert (answer.status, answer.body) == (409, b"12\n")


@pytest.mark.parametrize("wrong", ["none", "short", "long", "changed", "to itself"])
def test_a_proof_that_does_not_hold_is_unprocessable(wrong: str) -> None:
    made = Log2()
    made.add(request(0, [], made.five))
    before = dict(made.state.files)
    proof = {
        "none": [],
        "short": made.proof[:-1],
        "long": [*made.proof, bytes(32)],
        "changed": [merkle.leaf_hash(b""), *made.proof[1:]],
        "to itself": made.proof,
    }[wrong]
    old, note = (5, made.five) if wrong == "to itself" else (5, made.twelve)
    assert made.add(request(old, proof, note)).status == 422
    assert made.state.files == before


def test_nothing_proves_the_empty_tree() -> None:
    made = Log2()
    assert made.add(request(0, made.proof, made.five)).status == 422
    wrong = Checkpoint(KEY.name, 0, bytes(32))
    assert made.add(request(0, [], notes.sign(wrong.text(), signer()))).status == 422
    empty = notes.sign(Checkpoint(KEY.name, 0, merkle.EMPTY_ROOT).text(), signer())
    cosigned(made.add(request(0, [], empty)), empty)
    cosigned(made.add(request(0, [], made.five)), made.five)


def test_a_log_it_does_not_know_and_a_key_it_does_not_know() -> None:
    made = Log2()
    stranger, _ = grown(MemoryStore(), 0)
    text = Checkpoint("other.test/log", 5, bytes(32)).text()
    assert made.add(request(0, [], notes.sign(text, signer("other.test/log")))).status == 404
    forged = Checkpoint(KEY.name, 5, bytes(32)).text()
    assert made.add(request(0, [], notes.sign(forged, signer(seed=2)))).status == 403
    assert made.add(request(0, [], made.five.replace(b"\n5\n", b"\n6\n"))).status == 403
    assert made.state.files == {}
    assert isinstance(stranger, Log)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 0\n\n",
        b"old -1\n\n%s",
        b"old 00\n\n%s",
        b"old\n\n%s",
        b"new 0\n\n%s",
        b"old 0\nnot base64\n\n%s",
        b"old 0\nAAAA\n\n%s",
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n%s",
        b"\xff\n\n%s",
        b"old 13\n\n%s",
    ],
)
def test_what_cannot_be_read_is_a_bad_request(body: bytes) -> None:
    made = Log2()
    whole = body.replace(b"%s", made.twelve)
    assert made.add(whole).status == 400
    assert made.state.files == {}


def test_over_http_one_at_a_time(tmp_path: Path) -> None:
    made = Log2()
    client = TestClient(application(tmp_path, ANNE, [KEY]))
    answer = client.post("/add-checkpoint", content=request(0, [], made.five))
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("— partner.test/witness ")
    stale = client.post("/add-checkpoint", content=request(0, [], made.twelve))
    assert (stale.status_code, stale.text) == (409, "5\n")
    assert stale.headers["content-type"] == "text/x.tlog.size"
    answers: list[int] = []

    def ask() -> None:
        body = request(5, made.proof, made.twelve)
        answers.append(client.post("/add-checkpoint", content=body).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert client.post("/add-checkpoint", content=b"x" * 70_000).status_code == 413
    assert client.get("/add-checkpoint").status_code == 405

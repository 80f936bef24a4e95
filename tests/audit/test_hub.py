"""The log in a whole hub: receipts that prove themselves, a rotation, a witness over HTTP."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from hub import consents, push, withdraw, worker
from hub.application import application
from hub.audit import erasure, notes, receipts, witness
from hub.audit.notes import VerifierKey, Witness
from hub.audit.store import MemoryStore
from hub.audit.verify import verify
from hub.cli.app import app
from hub.errors import Conflict, HubError, NotFound, Rejected, Unavailable
from hub.events import AuditEvent, Kind
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.settings import Settings
from tests.audit.helpers import NOW
from tests.flows import world
from tests.listening import listening

ANNE = Witness("partner.test", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


class Served:
    """The public log as a client of the HTTP interface reads it."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def read(self, name: str) -> bytes | None:
        answer = self.client.get(f"/audit/{name}")
        return answer.content if answer.status_code == 200 else None


def partners(parts: Parts) -> None:
    from hub.cli.operate import add_partner

    for partner in ("region", "coachco2"):
        add_partner(parts, partner)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = compose(Settings(home=tmp_path / "home", witnesses=f" {ANNE.verifier},"), opens=True)
    partners(made)
    return made


def test_receipts_prove_themselves_across_a_rotation(parts: Parts) -> None:
    lycees = world.pushed(parts, "region/lycees", world.lycees())
    world.agree(parts, "acc-1")
    parts.sequence()
    digest = consents.digest_of(parts, "coachco2", "acc-1")
    [grant] = parts.books.grants_of(digest)
    before = [push.receipt(parts, lycees), consents.receipt(parts, grant)]
    parts.rotate_log_key()
    gone = withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli")
    worker.drain(parts)
    done = parts.books.withdrawal(gone.id)
    assert done is not None
    ended = parts.books.grant(grant.id)
    assert ended is not None
    for receipt in (*before, push.receipt(parts, lycees), withdraw.receipt(parts, done)):
        found = receipts.verified(receipt, parts.log.keys)
        assert found.checkpoint is not None, found.facts["kind"]
    assert receipts.verified(consents.receipt(parts, ended), parts.log.keys).checkpoint is None
    assert [key.until is None for key in parts.log.keys] == [True, False]
    assert len(parts.keyring.log_keys()) == 1
    assert [e.index for e in parts.books.events(kind="key.rotated")] == [parts.log.keys[1].until]
    assert verify(parts.log.store, parts.log.keys[1], parts.books.events(limit=1000)).ok


def test_a_receipt_of_books_that_were_changed_is_not_issued(parts: Parts) -> None:
    done = world.pushed(parts, "region/lycees", world.lycees())
    with pytest.raises(Conflict, match="no longer say what the log took in"):
        push.receipt(parts, replace(done, received=2))
    with pytest.raises(NotFound):
        push.receipt(parts, replace(done, log_index=None))


def test_the_command_of_a_witness_at_an_address(parts: Parts, tmp_path: Path) -> None:
    def hub(*words: str) -> dict[str, str]:
        answer = CliRunner().invoke(app, ["witness", *words, "--json"])
        if isinstance(answer.exception, HubError):
            raise answer.exception
        return dict(json.loads(answer.stdout))

    state = ("--state", str(tmp_path / "witness"))
    key = VerifierKey.parse(hub("init", *state, "--name", "bob.test")["witness"])
    parts.publish()
    with listening(application(parts)) as address:
        cosign = ("cosign", *state, "--key", str(parts.log.keys[0]), "--url", f"{address}/audit")
        with pytest.raises(Rejected, match="HUB_WITNESSES"):
            hub(*cosign)
        parts.publisher.witnesses = (key,)
        note = hub(*cosign)["note"].encode()
        with pytest.raises(Unavailable, match="no checkpoint at this address"):
            hub(*cosign[:-1], f"{address}/v1")
    assert parts.publisher.checkpoint() == note
    assert key in notes.verify(note, [key]).signed_by


def test_a_witness_over_http(parts: Parts) -> None:
    client = TestClient(application(parts), raise_server_exceptions=False)
    assert client.get("/audit/checkpoint").status_code == 503
    parts.publish()
    served, state = Served(client), MemoryStore()
    keys = parts.log.keys
    note = witness.cosign(served, state, keys, ANNE, NOW)
    assert client.post("/audit/cosignatures", content=note).status_code == 204
    assert client.post("/audit/cosignatures", content=note[:-5]).status_code == 422
    assert client.post("/audit/cosignatures", content=b"x" * 70_000).status_code == 413
    public = client.get("/audit/checkpoint").content
    assert notes.verify(public, [ANNE.verifier]).signed_by == (ANNE.verifier,)
    parts.rotate_log_key()
    assert client.get("/audit/checkpoint").content == public  # until the next moment
    parts.publish()
    newer = witness.cosign(served, state, keys, ANNE, NOW)
    assert client.post("/audit/cosignatures", content=newer).status_code == 204
    assert client.post("/audit/cosignatures", content=note).status_code == 409
    assert served.read("keys") == parts.log.store.read("keys")
    report = verify(parts.publisher.public, keys, witnesses=[ANNE.verifier])
    assert report.problems == ()


def test_the_worker_publishes_at_moments_of_the_clock_only(parts: Parts) -> None:
    published, stop, at = [], threading.Event(), [NOW + timedelta(seconds=20)]

    class Clock(threading.Event):
        """Time passes where the worker waits for it."""

        def wait(self, timeout: float | None = None) -> bool:
            at[0] += timedelta(seconds=timeout or 0)
            if at[0] > NOW + timedelta(seconds=200):
                self.set()
            return self.is_set()

    class Publishing:
        public = parts.publisher.public

        def publish(self) -> None:
            published.append(at[0])
            parts.publisher.publish()

    stop = Clock()
    worker.publish(
        replace(parts, clock=lambda: at[0], publisher=Publishing()),  # type: ignore[arg-type]
        stop,
    )
    assert published[0] == NOW + timedelta(seconds=20)  # nothing was public yet
    assert published[1:] == [NOW + timedelta(minutes=n) for n in (1, 2, 3)]


def test_only_an_event_can_erase_an_event(parts: Parts) -> None:
    parts.sequence()
    old = parts.books.readable_events(parts.clock() + timedelta(days=1), 3)
    places = erasure.ranges(event.index for event in old if event.index is not None)
    said = AuditEvent(Kind.EVENT_ERASED, "hub", "log", parts.clock(), {"erased": places})
    parts.books.erase_events([event.sequence for event in old], event=said)
    parts.sequence()
    assert reconcile(parts).problems == []
    later = parts.books.readable_events(parts.clock() + timedelta(days=1), 100)
    assert str(Kind.EVENT_ERASED).encode() not in b"".join(event.body for event in later)
    silent = AuditEvent(Kind.EVENT_ERASED, "hub", "log", parts.clock(), {"other": [[3, 3]]})
    parts.books.erase_events([later[0].sequence], event=silent)
    parts.sequence()
    [problem] = reconcile(parts).problems
    assert problem.what == "index 3: emptied up to 3, and no event says it was erased"


def test_imported_consents_prove_themselves_and_their_events_stay_small(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consents, "AT_ONCE", 4)
    file = tmp_path / "answers.csv"
    rows = [
        f"acc-{n};school-mobility;pupil;2008-01;2026-01-05T10:00:00+00:00;given" for n in range(9)
    ]
    file.write_text("\n".join([";".join(consents.COLUMNS), *rows]) + "\n")
    said = consents.import_file(parts, OPERATOR, "coachco2", file)
    assert said["given"] == 9, said
    parts.sequence()
    told = parts.books.events(kind=Kind.CONSENT_IMPORTED)
    assert [msgspec.json.decode(event.body)["facts"]["grants"] for event in told] == [4, 4, 1]
    for n in range(9):
        [grant] = parts.books.grants_of(consents.digest_of(parts, "coachco2", f"acc-{n}"))
        receipt = receipts.verified(consents.receipt(parts, grant), parts.log.keys)
        assert receipt.checkpoint is not None
        assert receipt.facts["id"] == grant.id
    assert reconcile(parts).problems == []


def test_an_import_that_fails_half_way_leaves_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(consents, "AT_ONCE", 2)
    ids = iter(["a", "b", "c", "a"])
    monkeypatch.setattr(Parts, "new_id", lambda _parts, _now: next(ids))
    file = tmp_path / "answers.csv"
    rows = [
        f"acc-{n};school-mobility;pupil;2008-01;2026-01-05T10:00:00+00:00;given" for n in range(4)
    ]
    file.write_text("\n".join([";".join(consents.COLUMNS), *rows]) + "\n")
    with pytest.raises(Conflict):
        consents.import_file(parts, OPERATOR, "coachco2", file)
    assert parts.books.events(kind=Kind.CONSENT_IMPORTED) == []
    assert parts.books.grants_of(consents.digest_of(parts, "coachco2", "acc-0")) == []

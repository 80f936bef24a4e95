"""`hub witness`, `hub audit verify`, `hub receipt verify` at a stranger's: no hub, no network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub.audit import proofs, receipts
from hub.audit.entries import opening_of
from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Signer
from hub.audit.publish import Publisher
from hub.audit.store import FolderStore
from hub.cli.app import app
from hub.errors import Conflict, HubError, Rejected
from tests.audit.helpers import NOW, record, signer

KEY = str(signer().verifier)


def hub(*words: str) -> tuple[int, Any]:
    answer = CliRunner().invoke(app, [*words, "--json"])
    if isinstance(answer.exception, HubError):
        raise answer.exception
    return answer.exit_code, json.loads(answer.stdout)


@pytest.fixture
def log(tmp_path: Path) -> tuple[Log, MemoryOutbox, list[Signer]]:
    books, ring = MemoryOutbox(), [signer()]
    made = Log(FolderStore(tmp_path / "log"), lambda: list(ring), books)
    record(books, 300)
    made.sequence(NOW)
    return made, books, ring


def test_a_witness_from_its_key_to_a_refusal(
    tmp_path: Path, log: tuple[Log, MemoryOutbox, list[Signer]]
) -> None:
    made, books, _ = log
    state, tiles = str(tmp_path / "witness"), str(tmp_path / "log")
    _, about = hub("witness", "init", "--state", state, "--name", "partner.test")
    assert (tmp_path / "witness" / "witness.key").stat().st_mode & 0o077 == 0
    with pytest.raises(Conflict, match="a witness key already"):
        hub("witness", "init", "--state", state, "--name", "partner.test")
    words = ("witness", "cosign", "--state", state, "--key", KEY, "--tiles", tiles)
    _, signed = hub(*words)
    publisher = Publisher(made, FolderStore(tmp_path / "public"))
    publisher.witnesses = (made.signer.verifier.parse(about["witness"]),)
    publisher.publish()
    publisher.accept(signed["note"].encode())
    verify = ("audit", "verify", "--key", KEY, "--tiles", str(tmp_path / "public"))
    assert hub(*verify, "--witness", about["witness"])[0] == 0
    code, report = hub(*verify, "--witness", KEY)
    assert code == 3
    assert report["problems"] == ["checkpoint.witnessed: hub.test/log did not cosign it"]
    events = [replace(event, index=None) for event in books.events]
    events[7] = replace(events[7], body=b"rewritten")
    forged = MemoryOutbox()
    forged.events = events
    Log(FolderStore(tmp_path / "forged"), signer(), forged).sequence(NOW)
    with pytest.raises(Conflict, match="from index 7 on"):
        hub(*words[:-1], str(tmp_path / "forged"))


def test_what_a_client_remembers(
    tmp_path: Path, log: tuple[Log, MemoryOutbox, list[Signer]]
) -> None:
    made, books, _ = log
    kept = tmp_path / "kept"
    verify = ("audit", "verify", "--key", KEY, "--tiles", str(tmp_path / "log"))
    assert hub(*verify, "--remember", str(kept))[1]["size"] == 300
    assert kept.read_bytes() == made.checkpoint()
    record(books, 400)
    made.sequence(NOW)
    code, report = hub(*verify, "--since", str(kept), "--remember", str(kept))
    assert (code, report["size"]) == (0, 700)
    shorter = tmp_path / "shorter"
    other = MemoryOutbox()
    record(other, 650)
    Log(FolderStore(shorter), signer(), other).sequence(NOW)
    code, report = hub(*verify[:-1], str(shorter), "--since", str(kept), "--remember", str(kept))
    assert (code, report["problems"]) == (
        3, ["checkpoint: has 650 entries; there were 700 before"]
    )  # fmt: skip
    assert kept.read_bytes() == made.checkpoint()  # not what failed
    with pytest.raises(Rejected, match="cannot be read"):
        hub(*verify, "--since", str(tmp_path / "nothing"))


def test_a_receipt_at_its_holder_s(
    tmp_path: Path, log: tuple[Log, MemoryOutbox, list[Signer]]
) -> None:
    made, books, ring = log
    digest = receipts.digest("push", {"received": 12})
    books.add(b'{"facts":{"kept":3,"receipt":"%s"}}' % digest.encode(), b"s" * 32)
    made.sequence(NOW)
    proof = proofs.make(made, 300, opening_of(books.events[300]))
    receipt = tmp_path / "receipt"
    receipt.write_bytes(receipts.issue("push", {"received": 12}, made.signer, proof))
    root = made.head().root.hex()
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(made.checkpoint())
    ring.insert(0, signer(seed=2))
    made.sequence(NOW)
    heir = str(signer(seed=2).verifier)
    for words, until in (
        (("--key", KEY), None),
        (("--checkpoint", str(checkpoint)), None),
        (("--key", heir, "--keys", str(tmp_path / "log" / "keys")), 301),
    ):
        code, told = hub("receipt", "verify", str(receipt), *words)
        assert code == 0
        assert (told["received"], told["key_until"]) == (12, until)
        assert told["proved_under"] == {"size": 301, "root": root}
    with pytest.raises(Rejected, match="no key we know"):
        hub("receipt", "verify", str(receipt), "--key", heir)


def test_a_stranger_without_a_key_is_asked_for_it_and_gets_no_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "home"))
    receipt = tmp_path / "receipt"
    receipt.write_bytes(receipts.issue("push", {"received": 12}, signer()))
    for words in (
        ("audit", "verify", "--tiles", str(tmp_path)),
        ("receipt", "verify", str(receipt)),
    ):
        with pytest.raises(Rejected) as refused:
            hub(*words)
        assert refused.value.code == "key-missing"
    assert not (tmp_path / "home").exists()

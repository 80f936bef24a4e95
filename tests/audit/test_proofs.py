import pytest

from hub.audit import proofs
from hub.audit.entries import entry_of
from hub.audit.store import MemoryStore
from hub.errors import Rejected
from tests.audit.helpers import NOW, grown, record, signer

KEYS = [signer().verifier]


def test_a_proof_file_checks_offline_and_outlives_the_growth_of_the_log() -> None:
    log, outbox = grown(MemoryStore(), 300)
    proof = proofs.make(log, 259)
    assert proof.startswith(b"c2sp.org/tlog-proof@v1\nindex 259\n")
    record(outbox, 700)
    log.sequence(NOW)
    index, checkpoint = proofs.check(proof, entry_of(outbox.events[259]), "hub.test/log", KEYS)
    assert (index, checkpoint.size) == (259, 300)
    extra = proof.replace(b"@v1\n", b"@v1\nextra AAAA\n")
    assert proofs.check(extra, entry_of(outbox.events[259]), "hub.test/log", KEYS)[0] == 259


def test_a_log_of_one_needs_no_path() -> None:
    log, outbox = grown(MemoryStore(), 1)
    proof = proofs.make(log, 0)
    assert proofs.check(proof, entry_of(outbox.events[0]), "hub.test/log", KEYS)[0] == 0


def test_no_byte_of_a_proof_can_change() -> None:
    log, outbox = grown(MemoryStore(), 9)
    proof, entry = proofs.make(log, 4), entry_of(outbox.events[4])
    for at in range(len(proof)):
        for flip in (1, 4, 0x80):
            changed = bytearray(proof)
            changed[at] ^= flip
            with pytest.raises(Rejected):
                proofs.check(bytes(changed), entry, "hub.test/log", KEYS)
    for wrong in (b"", proof[:-1], proof[:60], entry, proof.replace(b"\n\n", b"\n", 1)):
        with pytest.raises(Rejected):
            proofs.check(wrong, entry, "hub.test/log", KEYS)


def test_a_proof_of_another_entry_log_or_key_is_refused() -> None:
    log, outbox = grown(MemoryStore(), 9)
    proof, entry = proofs.make(log, 4), entry_of(outbox.events[4])
    with pytest.raises(Rejected, match="another root"):
        proofs.check(proof, entry_of(outbox.events[5]), "hub.test/log", KEYS)
    with pytest.raises(Rejected, match="another log"):
        proofs.check(proof, entry, "other.test/log", KEYS)
    with pytest.raises(Rejected, match="no key we know"):
        proofs.check(proof, entry, "hub.test/log", [signer(seed=2).verifier])
    with pytest.raises(Rejected, match="no such proof"):
        proofs.make(log, 9)

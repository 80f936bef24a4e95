"""Rotation: a new key signs, what the former one signed goes on to hold, and no more than that."""

import pytest

from hub.audit import keys, notes, proofs
from hub.audit.entries import entry_of
from hub.audit.log import Log, MemoryOutbox
from hub.audit.notes import Checkpoint, Signer
from hub.audit.store import MemoryStore
from hub.audit.verify import verify
from hub.errors import Rejected, Unavailable
from tests.audit.helpers import NOW, FailingStore, record, signer

OLD, NEW, NEWER = signer(seed=1), signer(seed=2), signer(seed=3)


def rotated() -> tuple[MemoryStore, Log, MemoryOutbox, list[Signer]]:
    """10 entries under the first key, 5 under the second, 5 under the third."""
    store, outbox, ring = MemoryStore(), MemoryOutbox(), [OLD]
    log = Log(store, lambda: list(ring), outbox)
    for count, then in ((10, NEW), (5, NEWER), (5, None)):
        record(outbox, count)
        log.sequence(NOW)
        if then is not None:
            ring.insert(0, then)
            log.sequence(NOW)
            del ring[1:]
    return store, log, outbox, ring


def test_a_rotated_log_verifies_from_any_of_its_keys() -> None:
    store, log, outbox, _ = rotated()
    assert [(k, k.until) for k in log.keys] == [
        (NEWER.verifier, None), (NEW.verifier, 15), (OLD.verifier, 10)
    ]  # fmt: skip
    for known in (OLD, NEW, NEWER):
        report = verify(store, known.verifier, outbox.events)
        assert (report.ok, report.size) == (True, 20), report.problems
    assert not verify(store, signer(seed=9).verifier).ok


def test_a_proof_made_before_a_rotation_holds_after_it() -> None:
    store, outbox, ring = MemoryStore(), MemoryOutbox(), [OLD]
    log = Log(store, lambda: list(ring), outbox)
    record(outbox, 10)
    log.sequence(NOW)
    proof = proofs.make(log, 4)
    ring[:] = [NEW, OLD]
    log.sequence(NOW)
    known = keys.follow(store.read("keys"), [NEW.verifier])
    at, under = proofs.check(proof, entry_of(outbox.events[4]), OLD.name, known)
    assert (at, under.size) == (4, 10)
    with pytest.raises(Rejected, match="no key we know"):
        proofs.check(proof, entry_of(outbox.events[4]), OLD.name, [NEW.verifier])


def test_a_replaced_key_counts_up_to_the_size_at_which_it_stopped() -> None:
    store, _, _, _ = rotated()
    known = keys.follow(store.read("keys"), [NEWER.verifier])
    for size, holds in ((10, True), (11, False)):
        note = notes.sign(Checkpoint(OLD.name, size, bytes(32)).text(), OLD)
        if holds:
            assert notes.open_checkpoint(note, OLD.name, known).size == size
        else:
            with pytest.raises(Rejected, match="replaced before"):
                notes.open_checkpoint(note, OLD.name, known)


def test_no_byte_of_the_list_of_keys_can_change() -> None:
    store, _, _, _ = rotated()
    data = store.files["keys"]
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Rejected):
            keys.read(changed)


def test_a_key_nobody_named_as_heir_is_not_followed() -> None:
    store, _, _, _ = rotated()
    thief = signer(seed=9)
    text = f"{OLD.name}/{keys.FORMAT}\n{NEWER.verifier}\n{thief.verifier}\n20\n"
    alone = notes.sign(text, thief)
    with pytest.raises(Rejected):
        keys.read(keys.join(store.files["keys"], alone))
    forked = keys.join(store.files["keys"], keys.announce(OLD, thief, 10))
    with pytest.raises(Rejected):
        keys.follow(forked, [OLD.verifier])
    elsewhere = keys.announce(thief, signer(seed=8), 3)
    assert keys.follow(elsewhere, [OLD.verifier]) == [OLD.verifier]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_a_rotation_killed_at_any_effect_is_finished_by_the_next_run(
    fail_at: int, after: bool
) -> None:
    store, outbox, ring = MemoryStore(), MemoryOutbox(), [OLD]
    record(outbox, 10)
    Log(store, lambda: list(ring), outbox).sequence(NOW)
    ring.insert(0, NEW)
    failing = Log(FailingStore(store, fail_at, after), lambda: list(ring), outbox)
    record(outbox, 3)
    with pytest.raises(Unavailable):
        failing.sequence(NOW)
    log = Log(store, lambda: list(ring), outbox)
    log.sequence(NOW)
    del ring[1:]
    assert len(keys.read(store.files["keys"])) == 1
    report = verify(store, OLD.verifier, outbox.events)
    assert (report.ok, report.size) == (True, 13), report.problems
    assert notes.verify(log.checkpoint(), [NEW.verifier]).signed_by == (NEW.verifier,)


@pytest.mark.parametrize("other_rotates", [True, False])
def test_who_is_overtaken_announces_no_key(other_rotates: bool) -> None:
    """Suspended before it writes: the other's list of keys and its head stay as they are."""
    outbox, ring = MemoryOutbox(), [OLD]

    class Suspended(MemoryStore):
        def announce(self, keys: bytes, over: bytes | None, under: bytes | None) -> bool:
            record(outbox, 2)
            quick = MemoryStore()
            quick.files = self.files
            Log(quick, lambda: [NEW, OLD] if other_rotates else [OLD], outbox).sequence(NOW)
            return super().announce(keys, over, under)

    store = Suspended()
    log = Log(store, lambda: list(ring), outbox)
    record(outbox, 10)
    log.sequence(NOW)
    ring.insert(0, NEWER)
    with pytest.raises(Unavailable, match="meanwhile"):
        log.sequence(NOW)
    followers = [one.new for one in keys.read(store.files.get("keys", b""))]
    assert followers == ([NEW.verifier] if other_rotates else [])
    report = verify(store, OLD.verifier, outbox.events)
    assert (report.problems, report.size) == ((), 12)

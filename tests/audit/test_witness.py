"""A witness against a dishonest log: rewritten, rolled back, forked, or showing forged tiles."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.audit import notes, witness
from hub.audit.log import Log
from hub.audit.notes import VerifierKey, Witness
from hub.audit.store import MemoryStore
from hub.audit.tiles import Tree
from hub.audit.verify import verify
from hub.errors import Conflict, Rejected, Unavailable
from tests.audit.helpers import NOW, grown, record, signer

KEY = signer().verifier
ANNE = Witness("partner.test/witness", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


def sign(log: MemoryStore, state: MemoryStore) -> bytes:
    return witness.cosign(log, state, [KEY], ANNE, NOW)


def rewritten(size: int, index: int) -> MemoryStore:
    """A log of its own, valid in itself, whose entry `index` is another."""
    store = MemoryStore()
    _, outbox = grown(store, 0)
    record(outbox, size)
    outbox.events[index] = replace(outbox.events[index], body=b"rewritten")
    Log(store, signer(), outbox).sequence(NOW)
    return store


def test_a_cosignature_is_what_c2sp_says() -> None:
    text = notes.Checkpoint(KEY.name, 1, bytes(32)).text()
    line = ANNE.cosign(text, NOW)
    raw = notes._decode(line.split(" ")[2].strip())
    assert raw is not None
    assert len(raw) == 4 + 8 + 64
    assert raw[:4] == ANNE.verifier.id
    seconds = int.from_bytes(raw[4:12], "big")
    assert seconds == int(NOW.timestamp())
    message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    ANNE.key.public_key().verify(raw[12:], message)
    assert VerifierKey.parse(str(ANNE.verifier)) == ANNE.verifier
    note = f"{text}\n{line}".encode()
    [(at, _)] = notes.verify(note, [ANNE.verifier]).cosigned(ANNE.verifier)
    assert at == NOW
    with pytest.raises(Rejected):  # a witness's word alone makes no checkpoint
        notes.open_checkpoint(note, KEY.name, [KEY, ANNE.verifier])


def test_no_byte_of_a_cosignature_can_change() -> None:
    text = notes.Checkpoint(KEY.name, 1, bytes(32)).text()
    note = f"{text}\n{ANNE.cosign(text, NOW)}".encode()
    for at in range(len(note)):
        changed = note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]
        with pytest.raises(Rejected):
            notes.verify(changed, [ANNE.verifier])


@pytest.mark.parametrize("sizes", [(1, 1), (100, 200), (255, 2), (256, 600), (300, 66_000)])
def test_a_log_that_grows_is_cosigned_each_time(sizes: tuple[int, ...]) -> None:
    store, state = MemoryStore(), MemoryStore()
    log, outbox = grown(store, 0)
    for count in (0, *sizes, 0):
        record(outbox, count)
        log.sequence(NOW)
        note = sign(store, state)
        assert notes.verify(note, [ANNE.verifier]).text == notes.text_of(log.checkpoint())
        assert notes.open_checkpoint(note, KEY.name, [KEY]).size == log.size
        kept = state.read("checkpoint")
        assert kept is not None
        assert Tree(state, log.size).root() == log.head().root
    assert not any(name.startswith("tile/entries") for name in state.files)


@pytest.mark.parametrize("index", [0, 5, 255, 256, 511, 512, 599])
@pytest.mark.parametrize("size", [600, 601, 70_000])
def test_a_rewritten_history_is_refused_at_its_first_difference(size: int, index: int) -> None:
    store, state = MemoryStore(), MemoryStore()
    grown(store, 600)
    remembered = sign(store, state)
    before = dict(state.files)
    with pytest.raises(Conflict, match=f"from index {index} on") as refusal:
        sign(rewritten(size, index), state)
    assert refusal.value.code == (witness.SPLIT if size == 600 else witness.REWRITTEN)
    assert state.files == before
    assert notes.text_of(remembered) == notes.text_of(state.files["checkpoint"])


def test_a_rollback_is_refused() -> None:
    store, state, smaller = MemoryStore(), MemoryStore(), MemoryStore()
    grown(store, 100)
    sign(store, state)
    grown(smaller, 99)
    with pytest.raises(Conflict, match="it has 99 entries; there were 100 before") as refusal:
        sign(smaller, state)
    assert refusal.value.code == witness.ROLLBACK


def test_tiles_that_do_not_lead_to_the_signed_root_are_refused() -> None:
    store, state = MemoryStore(), MemoryStore()
    log, outbox = grown(store, 300)
    sign(store, state)
    record(outbox, 1000)
    log.sequence(NOW)
    good = dict(store.files)
    for name in ("tile/0/003", "tile/1/000.p/5", "tile/0/005.p/20"):
        store.files = {**good, name: bytes([good[name][0] ^ 1]) + good[name][1:]}
        with pytest.raises(Conflict) as refusal:
            sign(store, state)
        assert refusal.value.code in {witness.TILES, witness.REWRITTEN}
        store.files = {n: data for n, data in good.items() if n != name}
        with pytest.raises(Unavailable):
            sign(store, state)
    store.files = good
    sign(store, state)


def test_a_checkpoint_of_another_key_or_log_is_refused() -> None:
    store, state = MemoryStore(), MemoryStore()
    grown(store, 3)
    for known in (signer(seed=5), signer("other.test/log")):
        with pytest.raises(Rejected):
            witness.cosign(store, state, [known.verifier], ANNE, NOW)
    with pytest.raises(Unavailable):
        sign(MemoryStore(), state)
    assert state.files == {}


def test_a_key_that_follows_the_known_one_is_followed() -> None:
    store, state = MemoryStore(), MemoryStore()
    _, outbox = grown(store, 10)
    sign(store, state)
    record(outbox, 5)
    Log(store, lambda: [signer(seed=2), signer()], outbox).sequence(NOW)
    assert notes.open_checkpoint(sign(store, state), KEY.name, [signer(seed=2).verifier]).size == 15


def test_a_crash_before_it_remembers_allows_no_second_history() -> None:
    """The tiles are kept, the checkpoint is not: nothing left the witness, so nothing is owed."""

    class Dies(MemoryStore):
        def write(self, files: object) -> None:
            assert isinstance(files, dict)
            if "checkpoint" in files:
                raise Unavailable("test", fr="x", en="x", who="operator")
            super().write(files)

    store, state = MemoryStore(), Dies()
    grown(store, 600)
    with pytest.raises(Unavailable):
        sign(store, state)
    whole = MemoryStore()
    whole.files = state.files
    sign(store, whole)
    with pytest.raises(Conflict, match="from index 9 on"):
        sign(rewritten(700, 9), whole)


def test_the_client_asks_for_its_witness() -> None:
    store, state = MemoryStore(), MemoryStore()
    log, outbox = grown(store, 300)
    assert verify(store, KEY, witnesses=[ANNE.verifier]).problems == (
        "checkpoint.witnessed: missing",
    )
    store.files["checkpoint.witnessed"] = sign(store, state)
    record(outbox, 300)
    log.sequence(NOW + timedelta(minutes=1))
    assert verify(store, KEY, witnesses=[ANNE.verifier]).ok
    other = Witness("regulator.test", Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32))
    assert verify(store, KEY, witnesses=[ANNE.verifier, other.verifier]).problems == (
        "checkpoint.witnessed: regulator.test did not cosign it",
    )
    fork = rewritten(600, 12)
    fork.files["checkpoint.witnessed"] = store.files["checkpoint.witnessed"]
    assert verify(fork, KEY).ok
    assert verify(fork, KEY, witnesses=[ANNE.verifier]).problems == (
        "checkpoint: the first 300 entries are not those signed before",
    )

"""The public copy: moves at fixed moments, holds no more than they show, and never goes back."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.audit import notes, witness
from hub.audit.log import Log
from hub.audit.notes import Witness
from hub.audit.publish import Publisher, next_moment
from hub.audit.store import MemoryStore
from hub.audit.verify import verify
from hub.errors import Conflict, Rejected, Unavailable
from tests.audit.helpers import NOW, FailingStore, grown, record, signer

KEY = signer().verifier
MINUTE = timedelta(seconds=60)
ANNE, BOB = (
    Witness(name, Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32))
    for n, name in ((7, "anne.test"), (8, "bob.test"))
)


def test_moments_are_the_clock_s_not_the_process_s() -> None:
    at = datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC)
    assert next_moment(at, MINUTE) == datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
    assert next_moment(at + timedelta(seconds=58.9), MINUTE) == next_moment(at, MINUTE)
    assert next_moment(next_moment(at, MINUTE), MINUTE) == datetime(2026, 3, 2, 8, 2, tzinfo=UTC)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=5))
def test_a_copy_is_a_log_of_its_own(counts: list[int]) -> None:
    public = MemoryStore()
    log, outbox = grown(MemoryStore(), 0)
    publisher = Publisher(log, public)
    for count in counts:
        record(outbox, count)
        log.sequence(NOW)
        record(outbox, 3)  # what came in since
        publisher.publish()
        report = verify(public, KEY)
        assert (report.ok, report.size) == (True, log.size), report.problems
        log.sequence(NOW)
        assert verify(public, KEY).size == log.size - 3
    since = f".p/{log.size % 256}"
    assert not [name for name in public.files if name.endswith(since) and "/1/" not in name]


def test_nothing_happened_and_the_checkpoint_is_written_all_the_same() -> None:
    class Counting(MemoryStore):
        checkpoints = 0

        def write(self, files: object) -> None:
            assert isinstance(files, dict)
            self.checkpoints += "checkpoint" in files
            super().write(files)

    public = Counting()
    log, _ = grown(MemoryStore(), 10)
    publisher = Publisher(log, public)
    with pytest.raises(Unavailable, match="not published yet"):
        publisher.checkpoint()
    publisher.publish()
    first = publisher.checkpoint()
    publisher.publish()
    assert (publisher.checkpoint(), public.checkpoints) == (first, 2)


@pytest.mark.parametrize("after", [False, True])
def test_a_publication_cut_short_leaves_the_public_log_whole(after: bool) -> None:
    for fail_at in range(1, 12):
        public = MemoryStore()
        log, outbox = grown(MemoryStore(), 300)
        Publisher(log, public).publish()
        record(outbox, 600)
        log.sequence(NOW)
        try:
            Publisher(log, FailingStore(public, fail_at, after)).publish()
        except Unavailable:
            assert verify(public, KEY).ok
        Publisher(log, public).publish()
        assert verify(public, KEY).size == 900
    assert fail_at == 11


def test_what_is_public_never_goes_back() -> None:
    public = MemoryStore()
    log, _ = grown(MemoryStore(), 100)
    Publisher(log, public).publish()
    before = dict(public.files)
    for count in (99, 100, 101):
        other, outbox = grown(MemoryStore(), 0)
        record(outbox, count)
        outbox.events[0] = type(outbox.events[0])(1, b"another", b"salt", None)
        other = Log(other.store, signer(), outbox)
        other.sequence(NOW)
        with pytest.raises(Conflict, match="does not extend what is published"):
            Publisher(other, public).publish()
    assert public.files == before


def test_cosignatures_are_served_until_the_log_moves_on() -> None:
    public, at_anne, at_bob = MemoryStore(), MemoryStore(), MemoryStore()
    log, outbox = grown(MemoryStore(), 10)
    publisher = Publisher(log, public, [ANNE.verifier, BOB.verifier])
    publisher.publish()
    later = NOW
    for one, state in ((ANNE, at_anne), (BOB, at_bob), (ANNE, at_anne)):
        later = NOW + timedelta(hours=len(state.files))
        publisher.accept(witness.cosign(public, state, [KEY], one, later))
    everyone = [KEY, ANNE.verifier, BOB.verifier]
    cosigned = notes.verify(publisher.checkpoint(), everyone)
    assert cosigned.signed_by == tuple(everyone)
    assert [at for at, _ in cosigned.cosigned(ANNE.verifier)] == [later]  # its last word only
    publisher.publish()  # nothing happened: the cosignatures stay
    assert notes.verify(publisher.checkpoint(), everyone).signed_by == tuple(everyone)
    assert verify(public, KEY, witnesses=everyone[1:]).ok
    record(outbox, 5)
    log.sequence(NOW)
    publisher.publish()
    assert notes.verify(publisher.checkpoint(), everyone).signed_by == (KEY,)
    assert verify(public, KEY, witnesses=everyone[1:]).ok  # the last that was cosigned


def test_what_is_no_cosignature_of_ours_is_refused() -> None:
    public = MemoryStore()
    log, outbox = grown(MemoryStore(), 10)
    publisher = Publisher(log, public, [ANNE.verifier])
    publisher.publish()
    old = witness.cosign(public, MemoryStore(), [KEY], ANNE, NOW)
    stranger = witness.cosign(public, MemoryStore(), [KEY], BOB, NOW)
    fork = notes.Checkpoint(KEY.name, 10, bytes(32)).text()
    forged = notes.sign(fork, signer()) + ANNE.cosign(fork, NOW).encode()
    unsigned = f"{fork}\n{ANNE.cosign(fork, NOW)}".encode()
    record(outbox, 1)
    log.sequence(NOW)
    early = witness.cosign(log.store, MemoryStore(), [KEY], ANNE, NOW)  # not public yet
    for bad in (stranger, forged, unsigned, early, old[:-9], b"", publisher.checkpoint()):
        with pytest.raises(Rejected):
            publisher.accept(bad)
    assert "checkpoint.witnessed" not in public.files
    publisher.publish()
    publisher.accept(early)
    with pytest.raises(Conflict, match="newer checkpoint"):
        publisher.accept(old)

import math

import pytest

from hub.audit import entries, keys, notes, proofs, receipts
from hub.audit.entries import entry_of, opening_of, receipt_of
from hub.audit.log import Log, MemoryOutbox
from hub.audit.store import MemoryStore
from hub.audit.verify import verify
from hub.errors import Rejected
from hub.events import AuditEvent, Kind
from hub.records import LoggedEvent
from tests.audit.helpers import NOW, record, signer

KEY = signer().verifier
FACTS = {"id": "20260302", "received": 4800, "reasons": {"future-date": 2}, "note": "é"}


def test_a_receipt_verifies_and_gives_its_facts() -> None:
    receipt = receipts.issue("push", FACTS, signer())
    assert receipt.decode().startswith('hub.test/log/receipt/v1\n{"id":"20260302","kind":"push"')
    assert receipts.verify(receipt, [signer().verifier]) == {"kind": "push", **FACTS}


def test_a_receipt_outlives_a_key_rotation() -> None:
    receipt = receipts.issue("push", FACTS, signer(seed=1))
    keys = [signer(seed=2).verifier, signer(seed=1).verifier]
    assert receipts.verify(receipt, keys)["received"] == 4800
    with pytest.raises(Rejected):
        receipts.verify(receipt, keys[:1])


def test_no_byte_of_a_receipt_can_change() -> None:
    receipt = receipts.issue("push", {"n": 1}, signer())
    for at in range(len(receipt)):
        changed = bytearray(receipt)
        changed[at] ^= 1
        with pytest.raises(Rejected):
            receipts.verify(bytes(changed), [signer().verifier])


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"push"}\n',
        'hub.test/log/receipt/v1\n{"kind": "push"}\n',
        'hub.test/log/receipt/v1\n{"kind":"push","kind":"push"}\n',
        "hub.test/log/receipt/v1\n[]\n",
        "hub.test/log/receipt/v1\n{}\n",
        'hub.test/log/receipt/v1\n{"kind":1}\n',
        "hub.test/log/receipt/v1\n{\n",
        'hub.test/log/receipt/v1\n{"kind":"push","n":NaN}\n',
        'other.test/receipt/v1\n{"kind":"push"}\n',
        'hub.test/log/receipt/v1\n{"kind":"push"}\n\n',
        "hub.test/log/receipt/v1\n" + "[" * 5000 + "\n",
        notes.Checkpoint("hub.test/log", 0, bytes(32)).text(),
    ],
)
def test_other_notes_under_the_same_key_are_no_receipts(text: str) -> None:
    with pytest.raises(Rejected):
        receipts.verify(notes.sign(text, signer()), [signer().verifier])


def test_a_receipt_is_no_checkpoint() -> None:
    receipt = receipts.issue("push", FACTS, signer())
    with pytest.raises(Rejected):
        notes.open_checkpoint(receipt, "hub.test/log", [signer().verifier])


@pytest.mark.parametrize(
    "facts", [{"n": math.nan}, {"n": 2**60}, {"kind": "x"}, {"x": "\ud800"}, {"x": object()}]
)
def test_facts_that_json_cannot_carry(facts: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        receipts.issue("push", facts, signer())


def attested() -> tuple[bytes, LoggedEvent, Log]:
    """A receipt with its proof; its event also holds what the holder must not learn."""
    store, outbox = MemoryStore(), MemoryOutbox()
    log = Log(store, signer(), outbox)
    record(outbox, 300)
    body = b'{"facts":{"kept":17,"receipt":"%s"}}' % receipts.digest("push", FACTS).encode()
    outbox.add(body, b"s" * 32)
    record(outbox, 40)
    log.sequence(NOW)
    event = outbox.events[300]
    proof = proofs.make(log, 300, opening_of(event))
    facts = {**FACTS, "log_index": 300}
    return receipts.issue("push", facts, signer(), proof), event, log


def test_a_receipt_shows_that_its_facts_were_logged_and_nothing_else() -> None:
    receipt, event, log = attested()
    found = receipts.verified(receipt, [signer().verifier])
    assert (found.facts["received"], found.facts["log_index"]) == (4800, 300)
    assert found.checkpoint == log.head()
    assert receipts.verify(receipt, [signer().verifier]) == found.facts
    assert b"kept" not in receipt
    assert event.salt not in receipt
    # Whoever may read the event comes to the same entry, and finds the receipt in it.
    assert receipt_of(event) == bytes.fromhex(receipts.digest("push", FACTS))
    assert proofs.check(proofs.make(log, 300), entry_of(event), log.signer.name, log.keys)


def test_no_byte_of_a_receipt_with_a_proof_can_change() -> None:
    receipt, _, _ = attested()
    for at in range(len(receipt)):
        changed = receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1 :]
        with pytest.raises(Rejected):
            receipts.verified(changed, [signer().verifier])


@pytest.mark.parametrize("facts", [{"received": 4801}, {"log_index": 299}, {"more": 1}])
def test_facts_that_were_not_logged_do_not_pass_under_the_hub_s_own_key(
    facts: dict[str, int],
) -> None:
    _, event, log = attested()
    proof = proofs.make(log, 300, opening_of(event))
    lie = receipts.issue("push", {**FACTS, "log_index": 300, **facts}, signer(), proof)
    with pytest.raises(Rejected):
        receipts.verified(lie, [signer().verifier])
    padded = proofs.make(log, 300, opening_of(event) + b"\0")
    with pytest.raises(Rejected):
        receipts.verified(receipts.issue("push", FACTS, signer(), padded), [signer().verifier])
    other = receipts.issue("consent", {**FACTS, "log_index": 300}, signer(), proof)
    with pytest.raises(Rejected):
        receipts.verified(other, [signer().verifier])


def test_a_remembered_checkpoint_needs_no_key() -> None:
    receipt, _, log = attested()
    found = receipts.checked(receipt, log.checkpoint())
    assert (found.signer, found.facts["received"]) == (None, 4800)
    # Not even the hub's own signature is needed: the tree speaks.
    resigned = receipt.replace(receipt.split(b"\n")[3], b"\xe2\x80\x94 x AAAAAAAA", 1)
    assert receipts.checked(resigned, log.checkpoint()).facts == found.facts
    for size, root, why in (
        (341, bytes(32), "split view"), (340, bytes(32), "size 341"), (342, bytes(32), "size 341"),
    ):  # fmt: skip
        other = notes.sign(notes.Checkpoint("hub.test/log", size, root).text(), signer())
        with pytest.raises(Rejected, match=why):
            receipts.checked(receipt, other)
    elsewhere = notes.sign(notes.Checkpoint("x", 341, log.head().root).text(), signer())
    with pytest.raises(Rejected, match="another log"):
        receipts.checked(receipt, elsewhere)
    with pytest.raises(Rejected, match="no proof"):
        receipts.checked(receipts.issue("push", FACTS, signer()), log.checkpoint())


def test_a_proved_receipt_outlives_its_key_but_a_later_one_of_that_key_does_not() -> None:
    receipt, _, _ = attested()
    heir = signer(seed=2)
    known = keys.follow(keys.announce(signer(), heir, 341), [heir.verifier])
    found = receipts.verified(receipt, known)
    assert found.signer is not None
    assert found.signer.until == 341
    too_late = keys.follow(keys.announce(signer(), heir, 340), [heir.verifier])
    with pytest.raises(Rejected, match="replaced before"):
        receipts.verified(receipt, too_late)


@pytest.mark.parametrize(
    "facts", [b'{"x":{"receipt":""}}', b'{"receipt":"zz"}', b'"receipt":"', b'{"receipt":"ab"}']
)
def test_a_body_that_names_no_receipt(facts: bytes) -> None:
    event = LoggedEvent(1, b'{"facts":%s}' % facts, b"s" * 32, 0)
    assert receipt_of(event) is None
    assert entry_of(event) == opening_of(event)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_one_of_many_receipts_of_an_event_proves_itself(count: int) -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    log = Log(store, signer(), outbox)
    record(outbox, 3)
    each = [{"id": f"c{n}", "state": "given"} for n in range(count)]
    digests = [receipts.digest("consent", facts) for facts in each]
    facts = {"receipts": digests, "receipt": receipts.commitment(digests)}
    body = AuditEvent(Kind.CONSENT_IMPORTED, "coachco2", "x", NOW, facts).canonical()
    outbox.add(body, b"s" * 32)
    log.sequence(NOW)
    event = outbox.events[3]
    assert entries.receipts_of(event) == digests
    assert verify(store, KEY, outbox.events).ok
    for n, one in enumerate(each):
        extra = entries.opening_of(event) + receipts.path(digests, digests[n])
        note = receipts.issue("consent", one, signer(), proofs.make(log, 3, extra))
        assert receipts.verified(note, [KEY]).checkpoint is not None
        assert receipts.checked(note, log.checkpoint()).facts["id"] == f"c{n}"
        for at in range(len(extra)) if n in (0, count - 1) else ():  # a place at either end
            for changed in (same_but(extra, at), extra[:at], extra + b"\0" * (at + 1)):
                forged = receipts.issue("consent", one, signer(), proofs.make(log, 3, changed))
                with pytest.raises(Rejected):
                    receipts.verified(forged, [KEY])
        another = {**one, "state": "refused"}
        forged = receipts.issue("consent", another, signer(), proofs.make(log, 3, extra))
        with pytest.raises(Rejected):
            receipts.verified(forged, [KEY])
    with pytest.raises(Rejected, match="no such receipt"):
        receipts.path(digests, receipts.digest("consent", {"id": "c99"}))


def same_but(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

import math

import pytest

from hub.audit import notes, receipts
from hub.errors import Rejected
from tests.audit.helpers import signer

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

r"""What of an event enters the log: 32 bytes that say nothing without the salt.

The body is canonical JSON and stays in the books for those entitled. Erasing the salt makes the
entry meaningless for ever, while the tree stays whole.

    opening = HMAC-SHA256(salt, body)
    entry   = opening                                        where nobody gets a receipt
    entry   = HMAC-SHA256(opening, "hub/receipt/v1\n" ‖ digest)   where the body names a receipt

A body names a receipt by the SHA-256 of its facts (`facts.receipt`), or many by the root of a
tree of theirs, which stand in `facts.receipts` (see `receipts`). A holder is given the
opening: with the facts he knows it leads to the entry, and tells him nothing of the body, whose
salt he has not. Whoever may read the body computes the same entry from the other side.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

from hub.records import LoggedEvent

RECEIPT_DOMAIN: Final = b"hub/receipt/v1\n"
_NAMES_ONE: Final = b'"receipt":"'


class _Facts(msgspec.Struct):
    receipt: str = ""
    receipts: list[str] = []


class _Body(msgspec.Struct):
    facts: _Facts = msgspec.field(default_factory=_Facts)


_decoder: Final = msgspec.json.Decoder(_Body)


def entry_of(event: LoggedEvent) -> bytes:
    """The entry of an event, from its body and its salt (32 random bytes)."""
    opening, digest = opening_of(event), receipt_of(event)
    return opening if digest is None else entry_under(opening, digest)


def opening_of(event: LoggedEvent) -> bytes:
    """What the holder of the event's receipt is given to find the entry."""
    return hmac.digest(event.salt, event.body, "sha256")


def entry_under(opening: bytes, digest: bytes) -> bytes:
    """The entry of an event of which one knows only the receipt (its digest) and the opening."""
    return hmac.digest(opening, RECEIPT_DOMAIN + digest, "sha256")


def receipt_of(event: LoggedEvent) -> bytes | None:
    """The digest of the receipt an event commits to, None where there is none."""
    if _NAMES_ONE not in event.body:
        return None
    try:
        digest = bytes.fromhex(_decoder.decode(event.body).facts.receipt)
    except (msgspec.MsgspecError, ValueError):
        return None
    return digest if len(digest) == 32 else None


def receipts_of(event: LoggedEvent) -> list[str]:
    """The digests, in hex, of the receipts of an event that commits to many, in order."""
    try:
        return _decoder.decode(event.body).facts.receipts
    except msgspec.MsgspecError:
        return []

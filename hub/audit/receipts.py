"""One receipt format for everything the hub attests: pushes, consents, withdrawals, releases.

A receipt is a signed note whose text is two lines: `<origin>/receipt/v1` and canonical JSON
(RFC 8785). Anyone verifies it offline with the hub's public key. The first line differs from a
checkpoint's, so that neither can pass for the other under the same key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import rfc8785

from hub.audit import notes
from hub.errors import Rejected

FORMAT: Final = "receipt/v1"


def issue(kind: str, facts: Mapping[str, Any], signer: notes.Signer) -> bytes:
    """A signed receipt of `kind` ("push", "withdrawal"…); `facts` hold counts, digests and names.

    Raises `Rejected` for facts that JSON cannot carry exactly (NaN, an integer beyond 2^53), or
    that hold `kind` themselves.
    """
    if "kind" in facts:
        raise _invalid("the facts hold a kind of their own")
    try:
        line = rfc8785.dumps({"kind": kind, **facts}).decode()
    except ValueError as error:  # rfc8785 and lone surrogates both
        raise _invalid("its facts cannot be written as canonical JSON") from error
    return notes.sign(f"{signer.name}/{FORMAT}\n{line}\n", signer)


def verify(receipt: bytes, keys: Sequence[notes.VerifierKey]) -> Mapping[str, Any]:
    """The facts of a receipt, with its `kind`. Raises `Rejected` where it does not hold.

    `keys` are the hub's present and former keys: a receipt outlives a rotation.
    """
    note = notes.verify(receipt, keys)
    header, _, line = note.text.removesuffix("\n").partition("\n")
    if header not in {f"{key.name}/{FORMAT}" for key in note.signed_by}:
        raise _invalid("it is not a receipt of the hub that signed it")
    try:
        facts = json.loads(line)
        canonical = isinstance(facts, dict) and rfc8785.dumps(facts) == line.encode()
    except (ValueError, RecursionError) as error:
        raise _invalid("it is not JSON") from error
    if not canonical or not isinstance(facts.get("kind"), str):
        raise _invalid("it is not canonical, or names no kind")
    result: Mapping[str, Any] = facts
    return result


def _invalid(reason: str) -> Rejected:
    return Rejected(
        "receipt-invalid",
        fr=f"Ce reçu n’est pas valable ({reason}) : ne vous y fiez pas.",
        en=f"This receipt does not hold ({reason}): do not rely on it.",
        who="operator",
        facts={"reason": reason},
    )

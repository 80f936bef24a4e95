"""The receipt of where a consent's data went, verified offline: kind "contribution".

It embeds other receipts as they are, each with its own proof, and a sparse Merkle proof for each
release. Its own signature speaks for what no proof can show: that no release is left out.

1. The consent's receipt holds the secret; its commitment is what the log took in.
2. The withdrawal's receipt, where there is one, is in the log and names that commitment.
3. Each release's receipt is in the log and holds root and nonce of its declared contributors.
4. The position follows from secret and nonce, and the proof says whether it has a leaf.
5. A release that asked for the grants after the withdrawal was completed, or the consent had
   expired, must not have one. (One that asked before may be published later: that is no broken
   promise.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from consent import contributors
from consent.contributors import Proof
from hub.audit import receipts
from hub.audit.notes import VerifierKey
from hub.audit.receipts import Receipt
from hub.errors import Rejected

KIND: Final = "contribution"


def shown(proof: Proof) -> dict[str, Any]:
    """A sparse Merkle proof as JSON: hex, the path from the root downwards, "" for no leaf."""
    leaf = "" if proof.leaf is None else proof.leaf.hex()
    return {"leaf": leaf, "path": [one.hex() for one in proof.path]}


def check(facts: Mapping[str, Any], keys: Sequence[VerifierKey]) -> dict[str, Any]:
    """Verify everything a contribution receipt embeds; what follows from it.

    Raises `Rejected` where one part does not hold, or the parts are not of one consent.
    """
    try:
        return _check(facts, keys)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _invalid("a part of it is malformed, or a proof does not hold") from error


def _check(facts: Mapping[str, Any], keys: Sequence[VerifierKey]) -> dict[str, Any]:
    consent = _part(facts["consent"], "consent", keys)
    secret = bytes.fromhex(consent.facts[KIND]["secret"])
    commitment = consent.facts[KIND]["commitment"]
    if contributors.commitment(secret).hex() != commitment:
        raise _invalid("the secret is not the one the consent committed to")
    ended: datetime | None = None
    if facts["withdrawal"] is not None:
        withdrawal = _logged(facts["withdrawal"], "withdrawal", keys)
        if withdrawal["partner"] != consent.facts["partner"] or (
            commitment not in withdrawal["ended"][consent.facts["purpose"]]
        ):
            raise _invalid("the withdrawal is of another consent")
        ended = datetime.fromisoformat(withdrawal["completed_at"])
    ends = [ended] if ended else []
    if consent.facts["expires_at"] is not None:
        ends.append(datetime.fromisoformat(consent.facts["expires_at"]))
    used: dict[str, bool] = {}
    for one in facts["releases"]:
        release = _logged(one["receipt"], "release", keys)
        used[release["id"]] = _present(one, release[KIND], secret)
        asked = datetime.fromisoformat(release[KIND]["asked_at"])
        if used[release["id"]] and any(asked > end for end in ends):
            raise _invalid(f"the release {release['id']} used the data after the consent ended")
    return {
        "consent_in_log": consent.checkpoint is not None,
        "ended_at": ended.isoformat() if ended else None,
        "used_in": sorted(name for name, yes in used.items() if yes),
        "not_used_in": sorted(name for name, yes in used.items() if not yes),
    }


def _present(one: Mapping[str, Any], declared: Mapping[str, Any], secret: bytes) -> bool:
    leaf = bytes.fromhex(one["proof"]["leaf"]) if one["proof"]["leaf"] else None
    proof = Proof(leaf, tuple(bytes.fromhex(step) for step in one["proof"]["path"]))
    position = contributors.position(secret, bytes.fromhex(declared["nonce"]))
    found = contributors.present(proof, position, bytes.fromhex(declared["root"]))
    if not isinstance(one["used"], bool) or one["used"] != found:
        raise _invalid("what it says of a release is not what the proof says")
    return found


def _part(text: str, kind: str, keys: Sequence[VerifierKey]) -> Receipt:
    receipt = receipts.verified(text.encode(), keys)
    if receipt.facts["kind"] != kind:
        raise _invalid(f"it embeds another receipt in place of one of kind {kind}")
    return receipt


def _logged(text: str, kind: str, keys: Sequence[VerifierKey]) -> Mapping[str, Any]:
    receipt = _part(text, kind, keys)
    if receipt.checkpoint is None:
        raise _invalid(f"the {kind} it embeds has no proof that it is in the log")
    return receipt.facts


def _invalid(reason: str) -> Rejected:
    return Rejected(
        "receipt-invalid",
        fr=f"Ce reçu n’est pas valable ({reason}) : ne vous y fiez pas.",
        en=f"This receipt does not hold ({reason}): do not rely on it.",
        who="operator",
        facts={"reason": reason},
    )

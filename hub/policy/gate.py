"""The policy gate: every access is a question, and anything but a clear yes is a no.

What the rest of the hub needs, in one place: the protocol, the decision, and the gates.
"""

from __future__ import annotations

from hub.policy.decisions import (
    ENGINE_FAILED,
    OUT_OF_BOUNDS,
    POLICIES,
    RULES,
    Decision,
    DenyAll,
    PolicyGate,
    reason_words,
)
from hub.policy.embedded import EmbeddedGate
from hub.policy.server import ServerGate

__all__ = [
    "ENGINE_FAILED",
    "OUT_OF_BOUNDS",
    "POLICIES",
    "RULES",
    "Decision",
    "DenyAll",
    "EmbeddedGate",
    "PolicyGate",
    "ServerGate",
    "reason_words",
]

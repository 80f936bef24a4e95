"""What of an event enters the log: 32 bytes that say nothing without the salt.

The body is canonical JSON and stays in the books for those entitled. Erasing the salt makes the
entry meaningless for ever, while the tree stays whole.
"""

from __future__ import annotations

import hmac

from hub.records import LoggedEvent


def entry_of(event: LoggedEvent) -> bytes:
    """HMAC-SHA256 of the canonical body under the event's salt (32 random bytes)."""
    return hmac.digest(event.salt, event.body, "sha256")

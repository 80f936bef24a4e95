"""Opaque tokens: 256 random bits the hub hands out once and keeps only as a SHA-256 digest.

A plain digest suffices, no salt and no slow hash: there is nothing to guess in 256 bits. Looking
a digest up tells nothing by its time, since whoever measures does not know what digest they sent
towards.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

Random = Callable[[int], bytes]
"""A source of random bytes; tests pass their own."""

TOKEN_BYTES: Final = 32


def new(random: Random = secrets.token_bytes) -> str:
    """A fresh token: 43 characters of base64url."""
    return base64.urlsafe_b64encode(random(TOKEN_BYTES)).rstrip(b"=").decode()


def digest(token: str) -> bytes:
    """What is kept of a token, and what it is found by; 32 bytes, for any string."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def same(one: str, other: str) -> bool:
    """Compare two secrets without telling by time where they differ."""
    return hmac.compare_digest(digest(one), digest(other))

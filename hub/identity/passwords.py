"""Passwords and client secrets: argon2id, and the same work for whoever does not exist."""

from __future__ import annotations

import threading
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import (
    HashingError,
    InvalidHashError,
    VerificationError,
    VerifyMismatchError,
)
from argon2.low_level import error_to_str

from hub.errors import Rejected, Unavailable

MAX_BYTES: Final = 1024
"""Longer passwords are refused, so that nobody has the hub hash megabytes."""

ARGON2_DECODING_FAIL: Final = -32
"""From argon2.h: the stored hash cannot be read."""

_UNREADABLE: Final = error_to_str(ARGON2_DECODING_FAIL)
_HASHER: Final = PasswordHasher()  # RFC 9106's low-memory profile: 64 MiB, 3 passes, 4 lanes

_AT_ONCE: Final = threading.BoundedSemaphore(4)
"""Each hashing takes 64 MiB: a burst of logins must wait, not fill the memory."""


def hash(password: str) -> str:  # noqa: A001 - read as `passwords.hash`
    """The argon2id hash to keep. Raises `Rejected` for an empty or overlong password."""
    raw = _bytes(password)
    if not 0 < len(raw) <= MAX_BYTES:
        raise Rejected(
            "password-unusable",
            fr=f"Un mot de passe a de 1 à {MAX_BYTES} octets.",
            en=f"A password has 1 to {MAX_BYTES} bytes.",
            who="person",
        )
    try:
        with _AT_ONCE:
            return _HASHER.hash(raw)
    except HashingError as error:
        raise _exhausted() from error


def verify(hashed: str | None, password: str) -> bool:
    """Whether a password matches; False, after the same work, where there is no hash.

    Raises `Unavailable` where the machine cannot spare the memory: no answer is not a no.
    """
    raw = _bytes(password)
    usable = hashed is not None and 0 < len(raw) <= MAX_BYTES
    against = hashed if hashed is not None and usable else _nobody()
    try:
        with _AT_ONCE:
            _HASHER.verify(against, raw[:MAX_BYTES])
    except (VerifyMismatchError, InvalidHashError):
        return False
    except VerificationError as error:
        if str(error) == _UNREADABLE:  # a damaged hash, or the mark of a closed account
            return False
        raise _exhausted() from error
    return usable


@cache
def _nobody() -> str:
    return _HASHER.hash(b"the password of nobody")


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _exhausted() -> Unavailable:
    return Unavailable(
        "out-of-memory",
        fr="La machine manque de mémoire pour vérifier ce secret ; réessayez.",
        en="The machine lacks memory to verify this secret; try again.",
        who="operator",
    )

"""Argon2 is slow on purpose; only its own test, and the processes tests start, need that."""

from __future__ import annotations

from typing import Final

from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from hub.identity import passwords

REAL: Final = passwords._HASHER
QUICK: Final = PasswordHasher.from_parameters(CHEAPEST)


def hash_with(hasher: PasswordHasher) -> None:
    """Hash with this one from now on, whoever there is or is not."""
    passwords._HASHER = hasher  # type: ignore[misc]
    passwords._nobody.cache_clear()

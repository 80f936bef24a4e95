"""Participation codes: what a person types to refuse, withdraw, or (with the secret) look.

A code is 19 random symbols and one check symbol, in four groups of five: `ACDEF-HJKMN-PRTWX-Y2345`.
The 23 symbols leave out what is read or heard as another (0 O Q, 1 I L 7, 2 Z, 5 S, 6 G, 8 B,
U V). Each symbol carries log2(23) bits, so a code carries 85 (`BITS`), whatever is known of its
form. A secret has the same alphabet, three groups of four, 49 bits: it opens nothing without the
code, is kept as an argon2 hash, and tries at it are counted.

23 is prime: the check symbol (weights 1, 2, 3… modulo 23) tells every single wrong symbol and
every two symbols exchanged, so a typing error is told from a code nobody has, without asking.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes, hmac

from consent.errors import ConsentError
from consent.pseudonyms import KEY_BYTES

ALPHABET: Final = "ACDEFHJKMNPRTWXY2345689"
CODE_SYMBOLS: Final = 20
SECRET_SYMBOLS: Final = 12
"""Symbols of each, the check symbol included."""
PREFIX_SYMBOLS: Final = 5
"""The first group: tries at codes are counted by it, too."""

_BASE: Final = len(ALPHABET)
_VALUE: Final = {symbol: value for value, symbol in enumerate(ALPHABET)}
_GROUPS: Final = {CODE_SYMBOLS: 5, SECRET_SYMBOLS: 4}
BITS: Final = (CODE_SYMBOLS - 1) * math.log2(_BASE)
SECRET_BITS: Final = (SECRET_SYMBOLS - 1) * math.log2(_BASE)
LONGEST: Final = 60
"""Characters typed that are looked at."""

Random = Callable[[int], bytes]


def new_code(random: Random) -> str:
    """A fresh code, in groups. `random` gives that many random bytes."""
    return _made(random, CODE_SYMBOLS)


def new_secret(random: Random) -> str:
    """A fresh secret, in groups."""
    return _made(random, SECRET_SYMBOLS)


def read_code(typed: str) -> str:
    """The 20 symbols of a code as typed: blanks, hyphens and small letters do not matter.

    Raises `ConsentError` code-unreadable where the check symbol says that no such code was given.
    """
    return _read(typed, CODE_SYMBOLS)


def read_secret(typed: str) -> str:
    """The 12 symbols of a secret as typed. Raises `ConsentError` code-unreadable."""
    return _read(typed, SECRET_SYMBOLS)


def prefix(symbols: str) -> str:
    """The first group of a read code."""
    return symbols[:PREFIX_SYMBOLS]


def digest(key: bytes, symbols: str) -> bytes:
    """What is kept of a read code: HMAC-SHA-256 of its symbols, 32 bytes.

    Raises `ValueError` for a key of another length than 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key is {KEY_BYTES} bytes long")
    made = hmac.HMAC(key, hashes.SHA256())
    made.update(b"participation code\n" + symbols.encode("ascii"))
    return made.finalize()


def _made(random: Random, length: int) -> str:
    symbols = ""
    while len(symbols) < length - 1:
        # A byte beyond the last whole multiple is drawn again: no symbol is likelier.
        symbols += "".join(
            ALPHABET[byte % _BASE] for byte in random(length) if byte < 256 // _BASE * _BASE
        )
    symbols = symbols[: length - 1]
    whole = symbols + ALPHABET[_check(symbols)]
    size = _GROUPS[length]
    return "-".join(whole[start : start + size] for start in range(0, length, size))


def _check(symbols: str) -> int:
    return sum(weight * _VALUE[symbol] for weight, symbol in enumerate(symbols, 1)) % _BASE


def _read(typed: str, length: int) -> str:
    symbols = "".join(one for one in typed[:LONGEST].upper() if one not in " \t\r\n-–—.\u00a0")
    if len(symbols) != length or not all(one in _VALUE for one in symbols):
        raise ConsentError("code-unreadable")
    if _check(symbols[:-1]) != _VALUE[symbols[-1]]:
        raise ConsentError("code-unreadable")
    return symbols

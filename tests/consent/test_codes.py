"""Codes: enough of them, told from a typing error without asking anybody."""

from __future__ import annotations

import math
import secrets
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import codes
from consent.errors import ConsentError

LOOK_ALIKES = ("0OQ", "1IL7", "2Z", "5S", "6G", "8B", "UV")
TYPED = st.randoms(use_true_random=False).map(lambda r: codes.new_code(r.randbytes))


def test_a_code_is_worth_more_than_80_bits_whatever_is_known_of_its_form() -> None:
    assert math.log2(len(codes.ALPHABET)) * (codes.CODE_SYMBOLS - 1) == codes.BITS > 80
    assert 45 < codes.SECRET_BITS < codes.BITS
    # A million tries at a million codes: the bound the limiter does not even have to hold.
    assert 1e6 * 1e6 / len(codes.ALPHABET) ** (codes.CODE_SYMBOLS - 1) < 1e-13


def test_no_symbol_is_read_as_another() -> None:
    assert len(set(codes.ALPHABET)) == len(codes.ALPHABET) == 23
    for alike in LOOK_ALIKES:
        assert sum(one in codes.ALPHABET for one in alike) <= 1, alike


def test_every_symbol_is_equally_likely() -> None:
    drawn = cycle(range(256))
    made = [codes.new_code(lambda n: bytes(next(drawn) for _ in range(n))) for _ in range(2300)]
    free = "".join(one.replace("-", "")[:-1] for one in made)
    counts = {symbol: free.count(symbol) for symbol in codes.ALPHABET}
    # Without drawing again, three symbols would be 12/11 as likely as the others.
    assert max(counts.values()) / min(counts.values()) < 1.05


@given(TYPED)
def test_a_code_is_read_however_it_is_written(code: str) -> None:
    symbols = codes.read_code(code)
    assert len(symbols) == codes.CODE_SYMBOLS
    assert [len(group) for group in code.split("-")] == [5, 5, 5, 5]
    for written in (code.lower(), code.replace("-", " "), code.replace("-", ""), f" {code}\n"):
        assert codes.read_code(written) == symbols
    assert symbols.startswith(codes.prefix(symbols))


@given(TYPED, st.data())
def test_one_wrong_symbol_or_two_exchanged_are_told(code: str, data: st.DataObject) -> None:
    symbols = codes.read_code(code)
    at = data.draw(st.integers(0, len(symbols) - 1))
    other = data.draw(st.sampled_from(codes.ALPHABET.replace(symbols[at], "")))
    with pytest.raises(ConsentError, match="mistyped"):
        codes.read_code(symbols[:at] + other + symbols[at + 1 :])
    where = data.draw(st.integers(0, len(symbols) - 3))
    one, two = symbols[where], symbols[where + 1]
    if one != two:
        with pytest.raises(ConsentError):
            codes.read_code(symbols[:where] + two + one + symbols[where + 2 :])


@given(st.text(max_size=80))
def test_whatever_is_typed_is_read_or_refused_by_name(typed: str) -> None:
    for read in (codes.read_code, codes.read_secret):
        problem = ""
        try:
            assert set(read(typed)) <= set(codes.ALPHABET)
        except ConsentError as error:
            problem = error.code
        assert problem in {"", "code-unreadable"}


def test_only_a_keyed_digest_finds_a_code() -> None:
    key, other = secrets.token_bytes(32), secrets.token_bytes(32)
    symbols = codes.read_code(codes.new_code(secrets.token_bytes))
    assert codes.digest(key, symbols) == codes.digest(key, symbols)
    assert codes.digest(key, symbols) != codes.digest(other, symbols)
    assert symbols.encode() not in codes.digest(key, symbols)
    with pytest.raises(ValueError, match="32"):
        codes.digest(b"short", symbols)


def test_a_secret_is_no_code() -> None:
    secret = codes.new_secret(secrets.token_bytes)
    assert codes.read_secret(secret.lower()) == secret.replace("-", "")
    with pytest.raises(ConsentError):
        codes.read_code(secret)

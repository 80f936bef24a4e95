import hashlib

from hypothesis import given
from hypothesis import strategies as st

from hub.identity import tokens


def test_a_token_carries_its_256_bits_and_is_kept_as_a_digest() -> None:
    token = tokens.new(lambda n: bytes(range(n)))
    assert token == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert tokens.digest(token) == hashlib.sha256(token.encode()).digest()
    assert len({tokens.new() for _ in range(50)}) == 50


@given(st.text(), st.text())
def test_comparing_is_equality_of_any_strings(one: str, other: str) -> None:
    assert tokens.same(one, other) is (one == other)
    assert tokens.same(one, one)


def test_half_a_surrogate_is_a_string_too() -> None:
    assert len(tokens.digest("\ud800")) == 32

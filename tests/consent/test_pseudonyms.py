"""Digests and pseudonyms: the published vectors, injectivity, and one answer for one or many."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import ConsentError
from consent.pseudonyms import BUCKETS, buckets, digest, digests, pseudonym, pseudonyms

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)

RFC_4231 = [
    # RFC 4231, section 4: key, data, HMAC-SHA-256 (case 5 is truncated to 128 bits).
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize("case", range(len(RFC_4231)))
def test_a_copied_keyed_state_gives_the_published_vectors(case: int) -> None:
    key, data, wanted = RFC_4231[case]
    keyed = HMAC(key, hashes.SHA256())
    for _ in range(2):  # the second copy must not see what the first one read
        state = keyed.copy()
        state.update(data)
        assert state.finalize().hex()[: len(wanted)] == wanted


@given(TEXTS, TEXTS)
def test_the_chain_is_what_the_definitions_say(partner: str, reference: str) -> None:
    message = b"".join(
        struct.pack(">Q", len(part)) + part for part in (partner.encode(), reference.encode())
    )
    wanted = hmac.digest(KEY, message, hashlib.sha256)
    assert digest(KEY, partner, reference) == wanted
    assert pseudonym(OTHER, wanted) == hmac.digest(OTHER, wanted, hashlib.sha256)[:16]


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_two_pairs_never_share_a_digest(one: tuple[str, str], two: tuple[str, str]) -> None:
    assert (digest(KEY, *one) == digest(KEY, *two)) == (one == two)


@given(TEXTS, TEXTS, TEXTS)
def test_a_length_is_prefixed_so_moving_a_letter_changes_the_digest(
    left: str, letter: str, right: str
) -> None:
    # Plain concatenation would make these two people one.
    assert digest(KEY, left + letter, right) != digest(KEY, left, letter + right)


@given(st.lists(st.none() | TEXTS, max_size=30))
def test_many_at_once_are_what_each_would_be_alone(references: list[str | None]) -> None:
    made = digests(KEY, "coachco2", pa.array(references, pa.string()))
    assert made.type == pa.binary()
    assert made.to_pylist() == [
        None if reference is None else digest(KEY, "coachco2", reference)
        for reference in references
    ]
    whole = made.drop_null()
    named = pseudonyms(OTHER, whole)
    assert named.type == pa.binary()
    assert named.to_pylist() == [pseudonym(OTHER, one) for one in whole.to_pylist()]


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=40), st.integers(0, 40))
def test_buckets_are_the_leading_bits(names: list[bytes], start: int) -> None:
    for kind in (pa.binary(), pa.binary(16)):
        made = buckets(pa.array(names, kind).slice(start))
        assert made.type == pa.int16()
        assert made.to_pylist() == [name[0] * BUCKETS // 256 for name in names[start:]]


def test_another_key_partner_or_period_gives_another_name() -> None:
    one = digest(KEY, "coachco2", "p-1")
    assert len({one, digest(OTHER, "coachco2", "p-1"), digest(KEY, "transdev", "p-1")}) == 3
    assert pseudonym(KEY, one) != pseudonym(OTHER, one)


@pytest.mark.parametrize("reference", ["", "\ud800"])
def test_an_unreadable_reference_is_refused_alone_and_null_among_many(reference: str) -> None:
    with pytest.raises(ConsentError) as refused:
        digest(KEY, "coachco2", reference)
    assert refused.value.code == "reference-unreadable"
    if not reference:
        assert digests(KEY, "coachco2", pa.array([reference])).to_pylist() == [None]


def test_wrong_lengths_and_nulls_are_faults() -> None:
    name = pa.array([b"x" * 16, None], pa.binary())
    with pytest.raises(ValueError, match="key"):
        digest(b"short", "coachco2", "p-1")
    with pytest.raises(ValueError, match="digest"):
        pseudonym(KEY, b"short")
    with pytest.raises(ValueError, match="digest"):
        pseudonyms(KEY, name)
    with pytest.raises(ValueError, match="null"):
        buckets(name)
    with pytest.raises(ValueError):
        buckets(pa.array([b"short"], pa.binary()))

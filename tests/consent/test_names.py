"""A person of a push has one pseudonym in a period, whatever order people come in."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import names
from consent.names import Names
from consent.pseudonyms import BUCKETS, pseudonym, pseudonyms

KEY = bytes(range(32))
CHUNKS = st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=5)


def digest(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


def named(
    known: Names, numbers: list[int], before: int = 0, refused: frozenset[int] = frozenset()
) -> list[bytes | None]:
    """The pseudonyms of these numbers, in order; of who is refused none."""
    of = range(before, 256)
    asked = pa.record_batch(
        [
            pa.array([digest(number) for number in of], pa.binary()),
            pa.array([number not in refused for number in of]),
        ],
        names=["digest", "admitted"],
    )
    made = known.of(np.array(numbers, np.int32) - np.int32(before), before, asked)
    assert len(made.pseudonyms) == len(set(made.buckets.tolist())) <= BUCKETS
    found = [name for part in made.pseudonyms for name in part.to_pylist()]
    assert [name[0] >> 4 for name in found] == made.buckets.tolist() == sorted(made.buckets)
    assert made.refused == {digest(number)[0] >> 4 for number in refused & set(numbers)}
    by_row = dict(zip(made.order.tolist(), found, strict=True))
    # Rows of a bucket stay in the order they came in.
    assert [*by_row] == sorted(by_row, key=lambda row: (by_row[row][0] >> 4, row))
    return [by_row.get(row) for row in range(len(numbers))]


@given(CHUNKS, st.integers(0, 200))
def test_each_number_has_the_pseudonym_of_its_digest(chunks: list[list[int]], first: int) -> None:
    known = Names(KEY)
    for chunk in chunks:
        numbers = [first + number for number in chunk]
        assert named(known, numbers) == [pseudonym(KEY, digest(number)) for number in numbers]


@given(CHUNKS, st.frozensets(st.integers(0, 40)))
def test_who_is_refused_has_no_name_and_no_row(
    chunks: list[list[int]], refused: frozenset[int]
) -> None:
    known = Names(KEY)
    for chunk in chunks:
        assert named(known, chunk, refused=refused) == [
            None if number in refused else pseudonym(KEY, digest(number)) for number in chunk
        ]


def test_a_pseudonym_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def noted(key: bytes, digests: pa.Array) -> pa.Array:
        asked.extend(digests.to_pylist())
        return pseudonyms(key, digests)

    monkeypatch.setattr(names, "pseudonyms", noted)
    known = Names(KEY)
    for chunk in ([3, 3, 5], [5, 4, 3, 7], [9, 4, 7]):
        named(known, chunk, refused=frozenset({7}))
    assert sorted(asked) == sorted(digest(number) for number in (3, 4, 5, 9))


def test_numbers_known_are_bounded_and_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 3)
    known = Names(KEY)
    for before, chunk in ((0, [4, 5]), (6, [9]), (9, [11]), (0, [4, 5]), (0, [2])):
        assert named(known, chunk, before) == [pseudonym(KEY, digest(one)) for one in chunk]
        assert len(known._where) <= 6

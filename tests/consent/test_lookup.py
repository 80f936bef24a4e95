"""A look-up answers as Arrow's does, whatever is asked, and whatever shares a hash."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.lookup import UNKNOWN, Lookup

TEXTS = st.lists(
    st.text(max_size=2) | st.text("\0\1a", min_size=7, max_size=17) | st.none(), max_size=8
)


def found(known: Lookup, sought: Sequence[str | None]) -> list[int]:
    return [int(place) for place in known.places(pa.array(sought, pa.string()))]


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_a_value_is_found_at_its_first_place(
    added: list[list[str | None]], sought: list[str | None]
) -> None:
    known = Lookup(pa.array(added[0], pa.string()))
    whole = list(added[0])
    for more in added[1:]:
        new = [text for text in dict.fromkeys(more) if text not in whole]
        whole += new
        places, learned = known.learn(pa.array(more, pa.string()))
        assert learned.to_pylist() == new
        assert places.tolist() == [whole.index(text) for text in more]
    assert len(known) == len(whole)
    expected = [whole.index(text) if text in whole else UNKNOWN for text in sought]
    assert found(known, sought) == expected


@pytest.mark.parametrize("shared", [1, 2, 3])
def test_values_that_share_a_hash_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, shared: int
) -> None:
    monkeypatch.setattr(
        Lookup,
        "_hash",
        lambda self, words: words[0] % np.uint64(shared),
    )
    known = Lookup(pa.array(["a"]))
    assert found(known, ["a", "b", "c"]) == [0, UNKNOWN, UNKNOWN]
    known.learn(pa.array(["b", "a", "b"]))
    places, new = known.learn(pa.array(["c", "d", "b", "d", "e", "c"]))
    assert (places.tolist(), new.to_pylist()) == ([2, 3, 1, 3, 4, 2], ["c", "d", "e"])
    assert found(known, ["e", "x", "a", "d", "b", "c"]) == [4, UNKNOWN, 0, 3, 1, 2]


def test_bytes_are_found_too() -> None:
    names = Lookup(pa.array([b"\0a", b"\0b"], pa.binary()))
    assert list(names.places(pa.array([b"\0b", b"\0"], pa.binary()))) == [1, UNKNOWN]


@pytest.mark.parametrize("length", [5, 21, 100, 200])
def test_values_alike_for_long_are_told_apart(length: int) -> None:
    many = [f"{'x' * length}{n}" for n in range(200)]
    known = Lookup(pa.array(many[:100]))
    assert found(known, many) == [*range(100), *[UNKNOWN] * 100]


def test_hashes_made_to_lie_side_by_side_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookup, "_hash", lambda self, words: words[0] >> np.uint64(8))
    many = [str(n) for n in range(500)]
    known = Lookup(pa.array(many))
    assert found(known, ["499", "0", "1000", "250"]) == [499, 0, UNKNOWN, 250]
    places, new = known.learn(pa.array(["x", "499", "y", "x"]))
    assert (places.tolist(), new.to_pylist()) == ([500, 499, 501, 500], ["x", "y"])


def test_a_value_learned_in_a_chunk_outlives_the_next_chunks() -> None:
    known = Lookup(pa.array([], pa.string()))
    many = [f"CARD{n:08d}" for n in range(3_000)]
    for start in range(0, len(many), 700):
        some = many[start : start + 700]
        places, new = known.learn(pa.array(some + some[::-1]))
        expected = [*range(start, start + len(some))]
        assert places.tolist() == expected + expected[::-1]
        assert new.to_pylist() == some
    assert found(known, many) == [*range(len(many))]


@given(st.lists(st.binary(min_size=31, max_size=33) | st.none(), min_size=1, unique=True))
def test_keyed_values_are_found_by_their_leading_bits(values: list[bytes | None]) -> None:
    known = Lookup(pa.array(values, pa.binary()), keyed=True)
    other = bytes(24).rjust(32, b"\1")
    asked = pa.array([*values, other], pa.binary())
    places = [values.index(other) if other in values else UNKNOWN]
    assert known.places(asked).tolist() == [*range(len(values)), *places]


def test_threads_that_ask_at_once_are_told_what_each_asked() -> None:
    people = [f"person {n:09}" for n in range(60_000)]
    known = Lookup(pa.array(people))
    strangers = people[: len(people) // 2] + [f"nobody {n:09}" for n in range(30_000)]

    def asks(turn: int) -> bool:
        asked = (people, strangers)[turn % 2][turn:]
        told = known.places(pa.array(asked))
        where = {name: place for place, name in enumerate(people)}
        return [where.get(name, UNKNOWN) for name in asked] == [int(place) for place in told]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(asks, range(24)))

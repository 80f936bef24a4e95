"""What is made of a value is made once, and is the same as if it were made each time."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import remembered
from consent.remembered import Remembered

CHUNKS = st.lists(st.lists(st.text(max_size=2) | st.none(), max_size=6), max_size=6)


class Maker:
    """Answers with the length of a text, null for null, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def __call__(self, values: pa.Array) -> pa.RecordBatch:
        texts = values.to_pylist()
        self.asked += texts
        lengths = [None if text is None else len(text) for text in texts]
        return pa.record_batch([pa.array(lengths, pa.int64()), values], names=["length", "text"])


def texts(known: Remembered, chunk: list[str | None]) -> list[str | None]:
    places = pa.array(known.places(pa.array(chunk, pa.string())))
    assert known.made is not None
    lengths = known.made.column("length").take(places).to_pylist()
    assert lengths == [None if text is None else len(text) for text in chunk]
    return list(known.made.column("text").take(places).to_pylist())


@given(CHUNKS)
def test_each_value_is_asked_about_once_and_answered_in_place(
    chunks: list[list[str | None]],
) -> None:
    maker = Maker()
    known = Remembered(maker)
    for chunk in chunks:
        assert texts(known, chunk) == chunk
    assert len(maker.asked) == len(set(maker.asked))


def test_what_is_remembered_is_bounded_and_no_number_is_given_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    maker = Maker()
    known = Remembered(maker)
    numbers: dict[int, str] = {}
    for chunk in (["a", "b"], ["c", "d"], ["a", "e"], ["e"]):
        places = known.places(pa.array(chunk)).tolist()
        for text, place in zip(chunk, places, strict=True):
            assert numbers.setdefault(known.forgotten + place, text) == text
    assert maker.asked == ["a", "b", "c", "d", "a", "e"]

"""What is made of a value is made once, and is the same as if it were made each time."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import remembered
from consent.remembered import Remembered

CHUNKS = st.lists(st.lists(st.text(max_size=2) | st.none(), unique=True, max_size=6), max_size=6)


class Maker:
    """Answers with the length of a text, null for null, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def __call__(self, values: pa.Array) -> pa.RecordBatch:
        texts = values.to_pylist()
        self.asked += texts
        lengths = [None if text is None else len(text) for text in texts]
        return pa.record_batch([pa.array(lengths, pa.int64()), values], names=["length", "text"])


@given(CHUNKS)
def test_each_value_is_asked_about_once_and_answered_in_place(
    chunks: list[list[str | None]],
) -> None:
    maker = Maker()
    known = Remembered(maker)
    for chunk in chunks:
        got = known.of(pa.array(chunk, pa.string()))
        assert got.column("text").to_pylist() == chunk
        assert got.column("length").to_pylist() == [t if t is None else len(t) for t in chunk]
    assert len(maker.asked) == len(set(maker.asked))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    maker = Maker()
    known = Remembered(maker)
    for chunk in (["a", "b"], ["c", "d"], ["a", "e"], ["e"]):
        assert known.of(pa.array(chunk)).column("text").to_pylist() == chunk
    assert maker.asked == ["a", "b", "c", "d", "a", "e"]

"""What every dataset must hold: its declared examples, documented columns, both languages."""

from __future__ import annotations

import io
import itertools

import pyarrow as pa
import pytest

from connectors.contract import REASONS, Dataset, Example, Malformed, Reading
from connectors.registry import DATASETS
from tests.connectors.reading import READING, read

EXAMPLES = [(d, e) for d in DATASETS.values() for e in d.examples]
ALL = list(DATASETS.values())
PERSONAL = [d for d in ALL if d.subject]
REFUSED = [(d, e) for d, e in EXAMPLES if e.malformed]
FUTURE = [(d, e) for d, e in EXAMPLES if "date_in_future" in e.rejected]


def named(value: Dataset | Example) -> str:
    return value.key if isinstance(value, Dataset) else value.name.replace(" ", "_")


@pytest.mark.parametrize(("dataset", "example"), EXAMPLES, ids=named)
def test_an_example_comes_out_as_declared(dataset: Dataset, example: Example) -> None:
    if example.malformed:
        with pytest.raises(Malformed) as refused:
            read(dataset, example.content())
        assert refused.value.code == example.malformed
        assert example.malformed in REASONS
        return
    outcome = read(dataset, example.content())
    assert outcome.reasons == dict(example.rejected)
    assert outcome.warnings == dict(example.warned)
    assert outcome.valid == example.valid
    if example.rows is None:
        assert sum(outcome.rows.values()) == example.valid
    else:
        assert outcome.rows == dict(example.rows)


@pytest.mark.parametrize(("dataset", "example"), EXAMPLES, ids=named)
def test_reading_in_small_steps_changes_nothing(dataset: Dataset, example: Example) -> None:
    """A file over a slow line comes in crumbs."""

    class Crumbs(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7_001) if size and size > 0 else size)

    content = example.content()
    if example.malformed:
        with pytest.raises(Malformed) as refused:
            read(dataset, Crumbs(content))
        assert refused.value.code == example.malformed
    else:
        assert read(dataset, Crumbs(content)).reasons == dict(example.rejected)


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_an_example_shows_each_way_to_fail(dataset: Dataset) -> None:
    assert sum(bool(e.rejected) for e in dataset.examples) >= 8
    assert sum(bool(e.malformed) for e in dataset.examples) >= 3
    assert len({e.name for e in dataset.examples}) == len(dataset.examples)


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_every_column_is_documented_in_both_languages(dataset: Dataset) -> None:
    assert set(dataset.title) == {"fr", "en"}
    for field in itertools.chain.from_iterable(dataset.tables.values()):
        assert field.metadata[b"fr"], field.name
        assert field.metadata[b"en"], field.name


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_a_subject_is_a_column_and_never_blank(dataset: Dataset) -> None:
    for schema in dataset.tables.values():
        if dataset.subject:
            assert not schema.field(dataset.subject).nullable
        else:
            assert "subject" not in schema.names


def test_every_reason_tells_in_both_languages_what_to_do() -> None:
    for code, reason in REASONS.items():
        assert reason.code == code
        assert set(reason.words) == {"fr", "en"}
        assert all(len(words) > 30 and words.endswith(".") for words in reason.words.values())


def test_every_reason_is_made_to_happen() -> None:
    """A reason no example gives is a reason no partner can be told."""
    shown = {code for _, e in EXAMPLES for code in (*e.rejected, *e.warned, e.malformed) if code}
    # test_csv.py, test_json.py, test_partners.py, test_columnmaps.py, test_measures.py
    elsewhere = {"line_too_long", "wrong_line_ending", "date_before_school_year", "unknown_school"}
    elsewhere |= {"wrong_column_map", "mostly_rejected", "left_aside"}  # the last two are the hub's
    assert set(REASONS) - shown - elsewhere == set()


CANARY = "canari-77-secret"


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_a_refusal_never_repeats_what_the_file_says(dataset: Dataset) -> None:
    for content in (
        f"{CANARY};{CANARY}\n{CANARY};1\n",
        f'{{"{CANARY}": "{CANARY}"',
        f'[{{"{CANARY}": 1}} {CANARY}]',
        f"{CANARY}\0",
    ):
        with pytest.raises(Malformed) as refused:
            read(dataset, content.encode())
        assert CANARY not in f"{refused.value} {refused.value.__cause__!r}"


@pytest.mark.parametrize(("dataset", "example"), REFUSED, ids=named)
def test_a_refusal_is_chained_to_nothing_that_does(dataset: Dataset, example: Example) -> None:
    """A log prints causes too."""
    with pytest.raises(Malformed) as refused:
        read(dataset, example.content())
    cause = refused.value.__cause__
    assert not isinstance(cause, (UnicodeDecodeError, pa.ArrowInvalid))
    assert cause is None or "CARD" not in repr(cause)


@pytest.mark.parametrize("dataset", ALL, ids=named)
def test_a_rejected_row_prints_no_content(dataset: Dataset) -> None:
    for example in dataset.examples:
        for row in read(dataset, example.content()).rejected if example.rejected else ():
            if row.raw:
                assert repr(row.raw)[2:-1] not in repr(row)
            if row.subject:
                assert row.subject not in repr(row)


@pytest.mark.parametrize("dataset", PERSONAL, ids=named)
def test_a_rejected_row_of_a_person_keeps_its_bytes(dataset: Dataset) -> None:
    for example in dataset.examples:
        if example.rejected and not example.malformed:
            rejected = read(dataset, example.content()).rejected
            assert all(row.raw for row in rejected), example.name


@pytest.mark.parametrize(("dataset", "example"), FUTURE, ids=named)
def test_the_moment_is_the_one_passed_in(dataset: Dataset, example: Example) -> None:
    later = Reading(now=READING.now.replace(year=2100))
    assert "date_in_future" not in read(dataset, example.content(), later).reasons

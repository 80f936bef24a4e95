"""Arbitrary and mutated bytes into every reader: batches or `Malformed`, nothing else."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import REASONS, Dataset, Malformed, Reading
from connectors.partners.region.gtfs_samples import FEED, packed
from connectors.registry import DATASETS
from tests.connectors.reading import NOW, read

# Small limits, so that what is made here can go over them.
READING = Reading(now=NOW, max_record_bytes=100_000, max_expanded_bytes=30_000_000)
ALL = list(DATASETS.values())
GTFS = DATASETS["region/gtfs"]
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def survives(dataset: Dataset, content: bytes) -> None:
    code = None
    try:
        read(dataset, content, READING)
    except Malformed as refused:
        code = refused.code
    assert code is None or code in REASONS


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few cuts, insertions and changed bytes."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 12)))
        put = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from(
                    [b'"', b'""', b"\n", b"\r", b"\0", b",", b";", b"{", b"}", b"[", b"]", b"\\",
                     b"NaN", b"null", b"-1", b"1e999", b"\xff", b"\xed\xa0\x80", b'"\\ud800"',
                     b"9" * 30, b"[" * 2_000]
                ),
            )
        )  # fmt: skip
        content = content[:at] + put + content[end:]
    return content


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.key)
@QUICK
@given(st.data())
def test_arbitrary_bytes(dataset: Dataset, data: st.DataObject) -> None:
    magic = data.draw(
        st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"{", b"[{", b"\xef\xbb\xbf"])
    )
    survives(dataset, magic + data.draw(st.binary(max_size=400)))


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.key)
@QUICK
@given(st.data())
def test_mutated_examples(dataset: Dataset, data: st.DataObject) -> None:
    contents = [e.content for e in dataset.examples if "bomb" not in e.name and e.name != "deep"]
    content = data.draw(st.sampled_from(contents))()
    survives(dataset, data.draw(mutated(content)))


@QUICK
@given(st.data())
def test_mutated_tables_of_a_feed(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FEED)))
    text = data.draw(mutated(FEED[name].encode()))
    survives(GTFS, packed({**FEED, name: text}))


ROWED = [dataset for dataset in ALL if dataset.published]
CELL = st.one_of(
    st.sampled_from(
        ["", " ", "NA", "-1", "0", "1", "20", "1e999", "NaN", "Infinity", "-Infinity", "=1+1",
         "@x", "2026-03-02", "2026-02-31", "9999-99-99", "2026-03-02T07:00:00", "47.9", "1.9",
         "45234", "0450062J", "true", "é", "\U0001f600", "9" * 30, '"', '""', "a\nb", "a\rb"]
    ),
    st.text(max_size=6),
)  # fmt: skip


@pytest.mark.parametrize("dataset", ROWED, ids=lambda d: d.key)
@QUICK
@given(st.data())
def test_arbitrary_rows_under_the_published_header(dataset: Dataset, data: st.DataObject) -> None:
    """Every row is read or named: none is lost, none comes out twice."""
    names = [column.name for column in dataset.published]
    width = st.integers(len(names) - 1, len(names) + 1)
    rows = data.draw(
        st.lists(width.flatmap(lambda n: st.lists(CELL, min_size=n, max_size=n)), max_size=8)
    )
    lines = [dataset.delimiter.join(row) for row in [names, *rows]]
    survives(dataset, "\n".join([*lines, ""]).encode("utf-8", "surrogatepass"))


VALUE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6),
        st.sampled_from(["2026-03-02", "2026-03-02T07:00:00Z", "BUS", "u0d"]),
        st.builds(lambda: [1.9, 47.9]),  # a new one each time: values are put into it
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize(
    "dataset", [d for d in ALL if "application/json" in d.media_types], ids=lambda d: d.key
)
@QUICK
@given(st.data())
def test_arbitrary_values_in_the_places_of_a_document(
    dataset: Dataset, data: st.DataObject
) -> None:
    document = json.loads(_GOOD[dataset.key].splitlines()[0])
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, (dict, list)) or data.draw(st.booleans()):
                place[key] = data.draw(VALUE)
                break
            place = inner
    survives(dataset, json.dumps(document).encode())


def zipped(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members:
            archive.writestr(member, text)
    return sink.getvalue()


def link() -> bytes:
    member = zipfile.ZipInfo("stops.txt")
    member.external_attr = 0o120777 << 16
    return zipped((member, b"/etc/passwd"))


def nested() -> bytes:
    inner = zipped((zipfile.ZipInfo("stops.txt"), b"0" * 1_000_000))
    return packed({**FEED, "stops.txt": inner})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (link(), "unsafe_archive"),
        (packed({"..\\stops.txt": "x"}), "unsafe_archive"),
        (packed({"C:stops.txt": "x"}), "unsafe_archive"),
        (packed({f"{n}.txt": "" for n in range(300)}), "expands_too_much"),
        (packed({**FEED, "stops.txt": b"a" * 29_000_000 + b"\n" * 2_000_000}), "expands_too_much"),
        (packed({**FEED, "stops.txt": bytes(range(65, 75)) * 20_000}), "line_too_long"),
        (packed({**FEED, "notes.bin": b"\0" * 31_000_000}), "expands_too_much"),
    ],
    ids=["link", "backslash", "drive", "members", "size", "line", "unread-member"],
)
def test_a_hostile_archive_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(GTFS, content, READING)
    assert refused.value.code == code


def test_a_zip_in_a_zip_is_not_opened() -> None:
    with pytest.raises(Malformed):
        read(GTFS, nested(), READING)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read(GTFS, packed(FEED), READING)
    with pytest.raises(Malformed):
        read(GTFS, packed({**FEED, "stops.txt": "x\n1\n"}), READING)
    half = GTFS.read(io.BytesIO(packed(FEED)), READING)
    next(half)
    half.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


# --- every dataset, every trick ---------------------------------------------------------------

_GOOD = {dataset.key: dataset.examples[0].content() for dataset in ALL}


def _bomb(_: Dataset) -> bytes:
    return gzip.compress(b"a,b;c\n" * 8_000_000, 1)


def _blank_bomb(_: Dataset) -> bytes:
    return gzip.compress(b" " * 40_000_000, 1)


def _gzip_in_gzip(dataset: Dataset) -> bytes:
    return gzip.compress(gzip.compress(_GOOD[dataset.key]))


def _zip_of_it(dataset: Dataset) -> bytes:
    return packed({"data.csv": _GOOD[dataset.key]})


def _zip_in_gzip(dataset: Dataset) -> bytes:
    return gzip.compress(_zip_of_it(dataset))


def _traversal(dataset: Dataset) -> bytes:
    return packed({"../../etc/cron.d/x": _GOOD[dataset.key]})


def _utf16(_: Dataset) -> bytes:
    return "a;b\n".encode("utf-16")


def _nul(_: Dataset) -> bytes:
    return b"\0" * 5_000


def _deep(_: Dataset) -> bytes:
    return b"[" * 90_000


def _deep_objects(_: Dataset) -> bytes:
    return b'{"a":' * 15_000


def _one_line(_: Dataset) -> bytes:
    return b"x" * 200_000


def _quotes(_: Dataset) -> bytes:
    return b'"' * 200_001


def _page(_: Dataset) -> bytes:
    return b"<!doctype html><title>503</title>\n" * 3


def _parquet_of_nothing(_: Dataset) -> bytes:
    return b"PAR1" + b"\0" * 8 + b"PAR1"


TRICKS = (
    _bomb, _blank_bomb, _gzip_in_gzip, _zip_in_gzip, _traversal, _utf16, _nul, _deep,
    _deep_objects, _one_line, _quotes, _page, _parquet_of_nothing,
)  # fmt: skip


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.key)
@pytest.mark.parametrize("trick", TRICKS, ids=lambda t: t.__name__.strip("_"))
def test_no_trick_gets_a_row_in(dataset: Dataset, trick: Callable[[Dataset], bytes]) -> None:
    """Refused whole, by name; or where it is JSON of sorts, every document of it set aside."""
    content = trick(dataset)
    survives(dataset, content)
    with suppress(Malformed):
        outcome = read(dataset, content, READING)
        assert outcome.received == len(outcome.rejected) > 0
        assert not sum(outcome.rows.values())


ZIPS = {"region/gtfs", "region/commutes", "orange/presence"}


@pytest.mark.parametrize("dataset", [d for d in ALL if d.key not in ZIPS], ids=lambda d: d.key)
def test_an_archive_where_none_is_published_is_refused_unopened(dataset: Dataset) -> None:
    with pytest.raises(Malformed) as refused:
        read(dataset, _zip_of_it(dataset), READING)
    assert refused.value.code == "wrong_format"


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.key)
def test_a_bomb_is_let_go_before_it_fills_the_memory(dataset: Dataset) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            read(dataset, _blank_bomb(dataset), READING)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000


SWAPPED = [(d, e) for d in ALL for e in d.examples if "position_swapped" in e.rejected]


def test_every_dataset_with_positions_shows_them_swapped() -> None:
    placed = {
        d.key for d in ALL if any({"lat", "start_lat"} & set(s.names) for s in d.tables.values())
    }
    assert {d.key for d, _ in SWAPPED} == placed | {"covoiturage/journeys"}


def test_every_dataset_has_a_dozen_bad_files_with_their_reasons() -> None:
    for dataset in ALL:
        bad = [e.name for e in dataset.examples if e.rejected or e.malformed]
        assert len(bad) >= 12, (dataset.key, len(bad))


def test_a_wide_parquet_of_one_repeated_row_is_bounded() -> None:
    """Forty million equal rows pack into nearly nothing: the limit is on rows too."""
    commutes = DATASETS["region/commutes"]
    names = ("COMMUNE", "DCETUF", "AGEREV10", "IPONDI")
    cells = dict(zip(names, ("41018", "41018", "15", "1"), strict=True))
    sink = io.BytesIO()
    schema = pa.schema([(name, pa.string()) for name in names])
    rows = 200_000
    batch = pa.table({name: pa.repeat(text, rows) for name, text in cells.items()}, schema)
    with pq.ParquetWriter(sink, schema) as writer:
        for _ in range(5):
            writer.write_table(batch)
    outcome = read(commutes, sink.getvalue(), READING)
    assert outcome.table("commutes").to_pylist()[0]["records"] == 5 * rows
    with pytest.raises(Malformed) as refused:
        read(commutes, sink.getvalue(), replace(READING, max_expanded_bytes=2_000))
    assert refused.value.code == "expands_too_much"


def test_a_key_that_stands_twice_in_a_cell_is_refused() -> None:
    density = DATASETS["orange/density"]
    content = _GOOD["orange/density"].replace(b'"pplDensity"', b'"pplDensity": 3, "pplDensity"', 1)
    assert read(density, content, READING).reasons == {"duplicate_key": 1}

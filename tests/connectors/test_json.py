"""Documents out of a stream: every wrapping, every cut, and Python's own decoder as the judge."""

from __future__ import annotations

import gc
import gzip
import io
import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import jsonstream
from connectors.contract import Malformed
from connectors.jsonrows import Filling
from connectors.jsonstream import documents
from connectors.partners.coachco2.samples import section, trip
from connectors.registry import DATASETS
from tests.connectors.reading import READING, read

TRIPS = DATASETS["coachco2/trips"]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.sampled_from('a"\\{}[],:\n é'))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.sampled_from('a"\\{}[]'), max_size=4), inner, max_size=4),
    ),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.text(st.sampled_from('ab"\\{}[]'), max_size=4), VALUES, max_size=4)


class Drip(io.BytesIO):
    """Hands out `step` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self.step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size if size and size > 0 else self.step, self.step))


def split(data: bytes, step: int = 1 << 20) -> list[Any]:
    return [json.loads(document.data) for document in documents(Drip(data, step), READING)]


@settings(max_examples=200, deadline=None)
@given(st.lists(OBJECTS, max_size=5), st.sampled_from([None, 1]), st.integers(1, 40))
def test_any_array_is_split_as_a_json_decoder_splits_it(
    values: list[Any], indent: int | None, step: int
) -> None:
    assert split(json.dumps(values, indent=indent).encode(), step) == values


@settings(max_examples=100, deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=5), st.booleans(), st.integers(1, 40))
def test_any_lines_are_split_as_a_json_decoder_splits_them(
    values: list[Any], ascii_only: bool, step: int
) -> None:
    lines = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in values)
    assert split(lines.encode(), step) == values


@settings(max_examples=100, deadline=None)
@given(st.lists(OBJECTS, max_size=4), st.sampled_from(["rows", "data", "docs"]), st.integers(1, 40))
def test_any_wrapping_is_opened(values: list[Any], key: str, step: int) -> None:
    whole = {"total": 3, "meta": {"rows": 1, "n": [1, {"data": []}]}, key: values, "after": [{}]}
    assert split(json.dumps(whole).encode(), step) == values


@settings(max_examples=150, deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=3), st.data())
def test_a_cut_array_is_never_taken_for_a_whole_one(values: list[Any], data: st.DataObject) -> None:
    whole = json.dumps(values).encode()
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(Malformed) as refused:
        split(cut)
    assert refused.value.code == "truncated"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"[1, 2]", "invalid_json"),
        (b'[{"a": 1},]', "invalid_json"),
        (b'[{"a": 1}] {"b": 2}', "invalid_json"),
        (b'{"data": [{}]} {"data": [{}]}', "invalid_json"),
        (b'{"data": [{}]', "truncated"),
        (b'{"a": {\n"b": 1}\n', "truncated"),
        (b"null", "invalid_json"),
        (b"\0\0\0", "nul_byte"),
        (b"", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
    ],
)
def test_a_bad_file_is_named(content: bytes, code: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(TRIPS, content)
    assert refused.value.code == code


def test_a_document_over_the_limit_is_refused_in_every_form() -> None:
    big, small = trip(1), trip(2)
    big["title"] = "x" * 5_000
    for content in (
        json.dumps(big).encode(),
        json.dumps([small, big]).encode(),
        json.dumps(small).encode() + b"\n" + json.dumps(big).encode() + b"\n",
        json.dumps(big, indent=1).encode(),
    ):
        with pytest.raises(Malformed) as refused:
            read(TRIPS, content, replace(READING, max_record_bytes=5_000))
        assert refused.value.code == "line_too_long"


def test_positions_are_lines_in_lines_and_numbers_in_arrays() -> None:
    one, bad = json.dumps(trip(1)), json.dumps({"_id": "x"})
    lines = read(TRIPS, f"\n\n{one}\n\n{bad}\n".encode())
    assert [row.position for row in lines.rejected] == [5]
    array = read(TRIPS, f"[{one}, {bad}]".encode())
    assert [row.position for row in array.rejected] == [2]


def test_batches_stay_small_and_lose_nothing() -> None:
    content = "\n".join(json.dumps(trip(n)) for n in range(4_100)).encode()
    got = read(TRIPS, gzip.compress(content, 1))
    assert [batch.num_rows for batch in got.batches["trips"]] == [2_000, 2_000, 100]
    assert [row["trip"] for row in got.table("trips").to_pylist()][-1] == "trip-4099"


def test_several_gzip_members_are_one_file() -> None:
    parts = [json.dumps(trip(n)).encode() + b"\n" for n in range(3)]
    assert read(TRIPS, b"".join(map(gzip.compress, parts)) + b"\0" * 512).valid == 3


@pytest.mark.parametrize("limit", ["ratio", "size"])
def test_gzip_is_expanded_under_limits(limit: str) -> None:
    bomb = gzip.compress(b"{}" + b" " * (40 << 20))
    reading = replace(READING, max_expanded_bytes=1 << 20) if limit == "size" else READING
    with pytest.raises(Malformed) as refused:
        read(TRIPS, bomb, reading)
    assert refused.value.code == "expands_too_much"


def row_of(document: dict[str, Any]) -> dict[str, Any]:
    (row,) = read(TRIPS, json.dumps(document).encode()).table("trips").to_pylist()
    return dict(row)


def test_no_point_between_the_ends_comes_out() -> None:
    row = row_of(trip(1, section(coordinates=[[1.95, 47.95]])))
    assert (row["start_lon"], row["start_lat"]) == (1.9, 47.9)
    assert (row["end_lon"], row["end_lat"]) == (1.92, 47.92)
    assert "1.91" not in str(row)
    assert {"mode", "distance_m", "duration_s"} == set(row["sections"][0])


def test_the_main_mode_has_the_greatest_summed_distance() -> None:
    two_walks = [section("PredictedModeTypes.WALKING", distance=3000.0) for _ in range(2)]
    assert row_of(trip(1, section(distance=4200.0), *two_walks))["main_mode"] == "WALKING"


def test_a_trip_without_sections_has_an_unknown_mode() -> None:
    document = trip()
    document["series"][0]["features"] = []
    assert row_of(document)["main_mode"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("manual", "sensed", "mode"),
    [
        ("CARPOOL", "PredictedModeTypes.CAR", "CARPOOL"),
        ("carpool", "PredictedModeTypes.CAR", "CARPOOL"),
        ("BIKE", "PredictedModeTypes.BICYCLING", "BICYCLING"),
        (None, "MotionTypes.ON_FOOT", "ON_FOOT"),
        (None, "motiontypes.subway", "SUBWAY"),
        (None, "BUS", "UNKNOWN"),
        (None, "PredictedModeTypes.UNKNOWN", "UNKNOWN"),
        (None, None, "UNKNOWN"),
    ],
)
def test_a_mode_is_resolved_as_the_app_does(
    manual: str | None, sensed: str | None, mode: str
) -> None:
    document = trip(1, section(manual_mode=manual, sensed_mode=sensed))
    assert row_of(document)["sections"][0]["mode"] == mode


def test_a_section_is_repaired_from_its_readings() -> None:
    row = row_of(trip(1, section(duration=-1, distance=-1)))
    assert row["sections"] == [{"mode": "BUS", "distance_m": 4200.0, "duration_s": 600.0}]


def test_a_time_without_offset_is_french_wall_time() -> None:
    row = row_of(trip(start_fmt_time="2026-07-01T08:00:00", end_fmt_time="2026-07-01T08:10:00"))
    assert row["start"].isoformat() == "2026-07-01T06:00:00+00:00"


def test_the_subject_of_an_unreadable_document_is_found_if_there_is_one() -> None:
    bad = trip(distance="far")
    got = read(TRIPS, json.dumps(bad).encode())
    assert [row.subject for row in got.rejected] == ["account-1"]
    assert got.rejected[0].column == "distance"
    two = json.dumps(bad).replace('"source":', '"x": {"sourceAccount": "other"}, "source":')
    assert [row.subject for row in read(TRIPS, two.encode()).rejected] == [None]


def test_the_window_grows_only_as_far_as_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "STEP", 64)
    values = [{"s": "x" * 1_000, "n": [[n, n]]} for n in range(50)]
    source = io.BytesIO(json.dumps(values).encode())
    assert sum(1 for _ in documents(source, replace(READING, max_record_bytes=2_000))) == 50


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"series"', '"series": [{}], "series"', "duplicate_key"),
        ('"series"', '"series": [], "series"', "missing_value"),
        ('"cozyMetadata"', '"cozyMetadata": {}, "cozyMetadata"', "duplicate_key"),
        ('"cozyMetadata"', '"cozyMetadata": null, "cozyMetadata"', "wrong_type"),
        ('{"sourceAccount"', '{"sourceAccount": null, "sourceAccount"', "duplicate_key"),
        ('{"sourceAccount"', '{"source\\u0041ccount": "x", "sourceAccount"', "duplicate_key"),
    ],
)
def test_a_trip_that_says_twice_whose_it_is_is_nobodys(old: str, new: str, reason: str) -> None:
    good, bad = json.dumps(trip(1)), json.dumps(trip(2)).replace(old, new)
    got = read(TRIPS, f"{bad}\n{good}\n{bad}\n".encode(), READING)
    assert (got.reasons, got.rows) == ({reason: 2}, {"trips": 1})


def test_a_nul_anywhere_in_a_document_is_what_is_wrong_with_it() -> None:
    whole = json.dumps(trip(1)).encode()
    for bad in (whole, whole.replace(b'"distance": 4700.0', b'"distance": "far"')):
        lines = [bad[:at] + b"\0" + bad[at:] for at in range(1, len(bad))]
        got = read(TRIPS, b"\n".join([whole, *lines]))
        assert (got.rows, got.reasons) == ({"trips": 1}, {"nul_byte": len(lines)})


def test_two_wrappings_of_one_document_are_two_documents() -> None:
    both = json.dumps({"doc": trip(1), "attributes": trip(2)}).encode()
    assert read(TRIPS, both, READING).reasons == {"duplicate_key": 1}


def test_rows_at_hand_are_nothing_to_the_garbage_collector() -> None:
    filling = Filling("trips", TRIPS.tables["trips"])
    row = row_of(trip(1))
    gc.collect()
    before = len(gc.get_objects())
    for n in range(500):
        sections = [dict(part) for part in row["sections"]]
        filling.keep(n, row | {"trip": f"trip-{n}", "sections": sections})
    assert len(gc.get_objects()) - before < 250
    [batch] = filling.rest()
    assert batch.records.column("trip").to_pylist()[-1] == "trip-499"


def test_lists_of_structs_come_out_as_they_went_in() -> None:
    pairs = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))
    lists = [
        [{"name": "a", "value": 1.0}, {"name": None, "value": None}],
        [],
        [{"name": "b", "value": 2.0}],
    ]
    for nullable in (False, True):
        filling = Filling("t", pa.schema([pa.field("pairs", pairs, nullable=nullable)]))
        given = [*lists, None] if nullable else lists
        for n, items in enumerate(given):
            filling.keep(n, {"pairs": items})
        [batch] = filling.rest()
        assert batch.records.column("pairs").to_pylist() == given

"""CSV in blocks: exact lines, bounded memory, and two readings that agree."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import csvblocks
from connectors.contract import Malformed
from connectors.csvrows import _edges, read_csv
from connectors.partners import transdev
from connectors.registry import DATASETS
from tests.connectors.reading import READING, Outcome, read

TAPS = DATASETS["transdev/validations"]
SLOW_LAYOUT = replace(transdev.LAYOUT, fast=False)
SLOW = replace(TAPS, read=lambda file, reading: read_csv(file, SLOW_LAYOUT, reading))


def rows(outcome: Outcome) -> list[dict[str, object]]:
    return outcome.table("validations").to_pylist() if outcome.batches else []


def tap(number: int, **changed: str) -> str:
    row = dict.fromkeys(transdev.HEADER.split(","), "") | {
        "transaction_id": f"T{number}",
        "service_date": "2026-03-02",
        "event_timestamp": "2026-03-02T07:00:00",
        "amount": "0",
        "fare_action": "Enter",
        "fare_capped": "false",
        "token_id": f"C{number}",
    }
    return ",".join((row | changed).values())


def file(*lines: str) -> bytes:
    return "\n".join([transdev.HEADER, *lines, ""]).encode()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvblocks, "BLOCK", 1_000)


@pytest.mark.usefixtures("small_blocks")
def test_positions_are_lines_of_the_file_over_many_blocks() -> None:
    lines = [tap(n) for n in range(200)]
    lines[17] = tap(17, fare_action="Jump")
    lines[60] = tap(60, stop_id='"a\nb"')  # takes two lines
    lines[100] = ""  # blank: no row, but a line
    lines[150] = tap(150, token_id="")
    lines[199] = "T199,cut"
    got = read(TAPS, file(*lines))
    assert [(row.position, row.code, row.column) for row in got.rejected] == [
        (2 + 17, "unknown_value", "fare_action"),
        (2 + 150 + 1, "missing_identifier", "token_id"),
        (2 + 199 + 1, "wrong_column_count", ""),
    ]
    assert got.received == 199
    assert got.rows == {"validations": 196}


@pytest.mark.usefixtures("small_blocks")
def test_a_text_over_two_lines_is_never_cut_between_blocks() -> None:
    lines = [tap(n, stop_id=f'"{n}\n{n}"') for n in range(300)]
    got = read(TAPS, file(*lines))
    assert got.rows == {"validations": 300}
    assert [row["stop_id"] for row in rows(got)] == [f"{n}\n{n}" for n in range(300)]


@pytest.mark.usefixtures("small_blocks")
def test_a_transaction_repeated_in_another_block_is_found() -> None:
    got = read(TAPS, file(*[tap(n % 90) for n in range(100)]))
    assert got.reasons == {"duplicate_row": 10}
    assert [row.position for row in got.rejected] == list(range(92, 102))


def test_a_rejected_row_does_not_take_its_transaction() -> None:
    got = read(TAPS, file(tap(1, fare_action="Jump"), tap(1), tap(1)))
    assert [(row.position, row.code) for row in got.rejected] == [
        (2, "unknown_value"),
        (4, "duplicate_row"),
    ]


def test_a_bad_row_keeps_its_bytes_and_its_card() -> None:
    bad = tap(2, fare_action="Jump")
    got = read(TAPS, file(tap(1), bad, tap(3), tap(4, stop_id="a,b")))
    assert got.rejected[0].raw == bad.encode() + b"\n"
    # Which cell is the card is not known where cells are too many.
    assert [row.subject for row in got.rejected] == ["C2", None]


def test_a_card_is_the_same_with_blanks_around_it() -> None:
    got = read(TAPS, file(tap(1, token_id=" C7 "), tap(2, token_id="C7")))
    assert {row["subject"] for row in rows(got)} == {"C7"}


def test_an_instant_becomes_the_clock_time_in_france() -> None:
    moments = ("2026-03-02T06:05:00Z", "2026-07-02T09:05:00+04:00", "2026-03-02 07:05:00")
    got = read(TAPS, file(*[tap(n, event_timestamp=m) for n, m in enumerate(moments)]))
    hours = [str(row["event_timestamp"]) for row in rows(got)]
    assert hours == ["2026-03-02 07:05:00", "2026-07-02 07:05:00", "2026-03-02 07:05:00"]


def test_the_scheduled_trip_is_preferred() -> None:
    got = read(
        TAPS,
        file(
            tap(1, trip_id_scheduled="S", trip_id_performed="P"),
            tap(2, trip_id_performed="P"),
            tap(3),
        ),
    )
    assert [row["trip_id"] for row in rows(got)] == ["S", "P", None]


def test_optional_columns_may_be_absent() -> None:
    header = "transaction_id,service_date,event_timestamp,amount,fare_action,fare_capped,token_id"
    got = read(TAPS, f"{header}\nT,2026-03-02,2026-03-02T07:00:00,0,Enter,true,C\n".encode())
    assert got.rows == {"validations": 1}


class Endless(io.RawIOBase):
    """A header, then one line of `size` bytes that is made as it is read."""

    def __init__(self, head: bytes, size: int) -> None:
        self.head, self.left = head, size

    def read(self, size: int = -1, /) -> bytes:
        if self.head:
            part, self.head = self.head[:size], self.head[size:]
            return part
        part = b"x" * min(size, self.left)
        self.left -= len(part)
        return part


@pytest.mark.parametrize(
    ("key", "head"),
    [
        ("transdev/validations", transdev.HEADER.encode() + b"\n"),
        ("transdev/validations", b""),
        ("orange/presence", b"Zone;Date;Heures;Type;Volume\n"),
        ("coachco2/trips", b'{"source": "'),
        ("coachco2/trips", b'[{"source": "'),
        ("coachco2/trips", b'{"a": 1}\n{"b": "'),
        ("coachco2/measures", b'{"data": [{"value": "'),
    ],
)
def test_a_line_of_two_gigabytes_is_refused_in_constant_memory(key: str, head: bytes) -> None:
    reading = replace(READING, max_record_bytes=1 << 20)
    source = Endless(head, 2 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed) as refused:
            for _ in DATASETS[key].read(source, reading):  # type: ignore[arg-type]
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code == "line_too_long"
    assert peak < 16 << 20
    assert source.left > (2 << 30) - (16 << 20), "it read on after it knew"


@pytest.mark.parametrize("limit", [40, 150, 400])
def test_a_line_over_the_limit_is_refused_wherever_it_stands(limit: int) -> None:
    content = file(tap(1), tap(2, stop_id="x" * 400), tap(3))
    with pytest.raises(Malformed) as refused:
        read(TAPS, content, replace(READING, max_record_bytes=limit))
    assert refused.value.code == "line_too_long"
    assert refused.value.where == ("line 1" if limit < len(transdev.HEADER) else "line 3")


def test_line_ends_of_old_macs_are_named() -> None:
    with pytest.raises(Malformed) as refused:
        read(TAPS, file(tap(1), tap(2)).replace(b"\n", b"\r"))
    assert refused.value.code == "wrong_line_ending"


def test_a_wrong_encoding_is_named_with_its_line() -> None:
    content = file(tap(1), tap(2, rider_category="é")).decode().encode("latin-1")
    with pytest.raises(Malformed) as refused:
        read(TAPS, content)
    assert (refused.value.code, refused.value.where) == ("wrong_encoding", "line 3")


# --- the two readings agree -----------------------------------------------------------------

CELLS: dict[str, st.SearchStrategy[str]] = {
    "transaction_id": st.sampled_from(["T1", "T2", "", "NA"]),
    "service_date": st.sampled_from(
        ["2026-03-02", " 2026-03-02", "2026-02-29", "2024-02-29", "0000-01-01", "1900-02-29",
         "2000-02-29", "9999-12-31", "20260302", "2026-3-2", "12026-01-01", ""]
    ),
    "event_timestamp": st.one_of(
        st.sampled_from(
            ["2026-03-02", "2026-03-02T07", "2026-03-02T07:10", "2026-03-02 07:10:11.5",
             "2026-03-02T07:10:11.1234567", "2026-03-02T07:10:60", "2026-03-02T24:00:00",
             "2026-03-02T07:10:11Z", "2026-03-02T07:10:11+01:00", "2026-03-02T07:10:11+15:00"]
        ),
        st.datetimes().map(lambda d: d.isoformat()),
    ),
    "amount": st.one_of(
        st.sampled_from(["0", "+1", "1.", ".5", "1e3", "1e300", "1e999", "inf", "nan", "0x1F",
                         "-Infinity", "1_0", "1,5", "--1", " 2 "]),
        st.floats().map(str),
    ),
    "fare_action": st.sampled_from(["Enter", " Enter", "Exit", "enter", ""]),
    "fare_capped": st.sampled_from(["true", "False", "TRUE", "1", "0", "tRUE", "yes", "NaN"]),
    "num_riders": st.one_of(
        st.sampled_from(["", "1", "-1", "01", "0x10", "1.0", "9" * 25, "1" + "0" * 18, " 3"]),
        st.integers().map(str),
    ),
    "token_id": st.sampled_from(["C1", "C2 ", "", " ", "NaN"]),
    "stop_id": st.text(st.sampled_from('ab",\n\r\0 é'), max_size=6),
}  # fmt: skip


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


TAP = st.fixed_dictionaries({}, optional=CELLS)
RAW = st.sampled_from([str, quoted])


@settings(max_examples=75, deadline=None)
@given(st.lists(st.tuples(TAP, RAW), max_size=6))
def test_the_fast_reading_agrees_with_the_careful_one(
    taps: list[tuple[dict[str, str], Callable[[str], str]]],
) -> None:
    lines = [tap(n, **{k: write(v) for k, v in row.items()}) for n, (row, write) in enumerate(taps)]
    content = file(*lines)
    fast, slow = read(TAPS, content), read(SLOW, content)
    assert fast.rejected == slow.rejected
    assert fast.received == slow.received
    assert rows(fast) == rows(slow)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('ab",\n'), max_size=60))
def test_records_are_found_as_arrow_finds_them(text: str) -> None:
    """No arrangement of quotes makes a row of ours belong to another line."""
    header = transdev.HEADER.encode() + b"\n"
    got = read(TAPS, header + text.encode())
    lines = text.split("\n")
    assert got.received == len(got.rejected)
    for row in got.rejected:
        first = (row.raw or b"").decode().split("\n")[0]
        assert lines[row.position - 2] == first


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("number", [3, 60, 199], ids=["near", "far", "last"])
def test_a_repeat_among_ascending_transactions_is_found(number: int) -> None:
    lines = [tap(n, transaction_id=f"T{n:04d}") for n in range(200)]
    again = [tap(number, transaction_id=f"T{number:04d}")]
    more = [tap(n, transaction_id=f"T{n:04d}") for n in range(200, 260)]
    got = read(TAPS, file(*lines, *again, *more))
    assert [(row.position, row.code) for row in got.rejected] == [(2 + 200, "duplicate_row")]
    assert got.rows == {"validations": 260}


EDGY = st.text(alphabet="a =@+-\t\u00e9\u00a0\u2003\x1c\x7f\x85", max_size=3) | st.none()


@given(st.lists(EDGY, max_size=6), st.integers(0, 3))
def test_texts_whose_edges_are_plain_have_nothing_to_trim(
    texts: list[str | None], start: int
) -> None:
    values = pa.array(texts, pa.string()).slice(start)
    edges, told = _edges(values), values.to_pylist()
    trimmed = pc.utf8_trim_whitespace(values)
    if edges.plain:
        assert trimmed.equals(values)
        assert "" not in told
        assert edges.sign == any(text[0] in "=@+-" for text in told if text)
    elif all(text is None or (text.isascii() and text.isprintable()) for text in told):
        assert not trimmed.equals(values) or "" in told

"""Arbitrary and mutated bytes into every reader: batches or `Malformed`, nothing else."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

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

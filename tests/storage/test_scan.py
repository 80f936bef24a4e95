"""The scan finds what is there, whatever form it is in, and only that."""

from __future__ import annotations

import base64
import gzip
import io
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Unavailable
from hub.storage import age, sealing
from hub.storage.objects import MemoryObjects
from hub.storage.vault import Vault
from tests.storage.making import parquet
from tests.storage.scan import find, forms

NEEDLE = bytes.fromhex("00ff10203040506070e190a0b0c0d0f0")
CARD = b"carte-0451234567"
NAME = "Zoé Ünwin".encode()
IDENTITY = age.Identity.make()
VAULT = Vault(MemoryObjects(), IDENTITY.recipient.text, IDENTITY.text)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", content)
    return buffer.getvalue()


def nested(value: object) -> pa.Table:
    return pa.table({"x": pa.array([[{"m": None}, {"m": value}], None])})


HIDDEN: dict[str, tuple[bytes, bytes]] = {
    "raw": (NEEDLE, b"before" + NEEDLE + b"after"),
    "hex": (NEEDLE, NEEDLE.hex().encode()),
    "upper hex": (NEEDLE, b"0x" + NEEDLE.hex().upper().encode()),
    "base64": (NEEDLE, base64.b64encode(NEEDLE)),
    "base64 in the middle": (NEEDLE, base64.b64encode(b"a" + NEEDLE + b"bcd")),
    "base64url": (NEEDLE, base64.urlsafe_b64encode(b"ab" + NEEDLE)),
    "json": (NAME, b'{"name": "Zo\\u00e9 \\u00dcnwin"}'),
    "address": (NAME, b"/people/Zo%C3%A9%20%C3%9Cnwin"),
    "gzip": (CARD, gzip.compress(b"x" * 999 + CARD)),
    "zip": (CARD, zipped(CARD)),
    "parquet": (NEEDLE, parquet(pa.table({"p": [b"x" * 16, NEEDLE] * 50}))),
    "parquet, text": (CARD, parquet(pa.table({"p": [CARD.decode()] * 50}))),
    "parquet, dictionary": (
        CARD,
        parquet(pa.table({"p": pa.array([CARD.decode()]).dictionary_encode()})),
    ),
    "parquet, nested": (CARD, parquet(nested(CARD.decode()))),
    "parquet, number": (b"451234567890", parquet(pa.table({"p": [451234567890]}))),
    "parquet, zipped": (NEEDLE, zipped(parquet(pa.table({"p": [NEEDLE]})))),
    "sealed": (CARD, VAULT.seal(CARD)),
    "sealed, gzip": (CARD, VAULT.seal(gzip.compress(CARD))),
    "sealed, one of many": (CARD, VAULT.envelope().seal(CARD)),
    "sealed, in a parquet": (CARD, parquet(pa.table({"p": [None, VAULT.seal(CARD)]}))),
}


@pytest.mark.parametrize("form", HIDDEN)
def test_every_form_is_found(tmp_path: Path, form: str) -> None:
    needle, content = HIDDEN[form]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_bytes(content)
    found = find(tmp_path, [b"nowhere", needle], VAULT.unseal)
    assert found
    assert all(place.startswith("deep/file") and "needle 1" in place for place in found)
    (tmp_path / "deep/file").write_bytes(b"nothing of it")
    assert find(tmp_path, [b"nowhere", needle], VAULT.unseal) == []


def test_without_the_identity_sealed_files_stay_closed(tmp_path: Path) -> None:
    (tmp_path / "x.age").write_bytes(VAULT.seal(CARD))
    assert find(tmp_path, [CARD]) == []
    assert find(tmp_path, [CARD], VAULT.unseal) == ["x.age (unsealed): raw of needle 0"]


def test_names_of_files_are_searched(tmp_path: Path) -> None:
    (tmp_path / NEEDLE.hex()).mkdir()
    assert find(tmp_path, [NEEDLE]) == [f"{NEEDLE.hex()} (name): hex of needle 0"]


@pytest.mark.parametrize("value", [CARD, CARD.decode(), "x" * 20_000 + CARD.decode()])
def test_sqlite_is_read_with_its_log(tmp_path: Path, value: object) -> None:
    with closing(sqlite3.connect(tmp_path / "books.sqlite")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute('CREATE TABLE "odd ""name" (x)')
        database.commit()
        database.execute('INSERT INTO "odd ""name" VALUES (?)', (value,))
        database.commit()
        found = find(tmp_path, [CARD])
        assert any(place.startswith("books.sqlite (table odd") for place in found)
        assert find(tmp_path, [b"not there"]) == []


def test_a_value_across_pages_is_found_by_its_row(tmp_path: Path) -> None:
    long = b"".join(b"%06d" % n for n in range(5_000))
    with closing(sqlite3.connect(tmp_path / "books.sqlite")) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (?)", (long,))
        database.commit()
    assert find(tmp_path, [long[:20_000]]) == ["books.sqlite (table t): raw of needle 0"]


ELSE = age.Identity.make().recipient
SEALS: dict[str, Callable[[bytes], bytes]] = {
    "file": VAULT.seal,
    "one of many": VAULT.envelope().seal,
}


def in_books(folder: Path, cell: bytes) -> Path:
    with closing(sqlite3.connect(folder / "books.sqlite")) as database:
        database.execute("CREATE TABLE aside (place, sealed)")
        database.executemany("INSERT INTO aside VALUES (?, ?)", [(3, None), (4, cell)])
        database.commit()
    return folder


@pytest.mark.parametrize("how", SEALS)
def test_sealed_cells_of_books_are_opened(tmp_path: Path, how: str) -> None:
    in_books(tmp_path, SEALS[how](gzip.compress(CARD)))
    assert find(tmp_path, [CARD]) == []
    assert find(tmp_path, [CARD], VAULT.unseal) == [
        "books.sqlite (table aside, unsealed, gzip): raw of needle 0"
    ]


def test_what_is_sealed_for_somebody_else_stays_closed(tmp_path: Path) -> None:
    in_books(tmp_path, sealing.seal(CARD, ELSE))
    (tmp_path / "a back-up").write_bytes(sealing.Envelope(ELSE).seal(CARD))
    assert find(tmp_path, [CARD], VAULT.unseal) == []


@pytest.mark.parametrize("how", SEALS)
def test_what_is_sealed_and_damaged_raises(tmp_path: Path, how: str) -> None:
    sealed = SEALS[how](CARD)
    in_books(tmp_path, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(Unavailable, match="damaged"):
        find(tmp_path, [CARD], VAULT.unseal)


@given(needle=st.binary(min_size=6, max_size=40), before=st.binary(), after=st.binary())
def test_base64_is_found_at_every_alignment(needle: bytes, before: bytes, after: bytes) -> None:
    sought = forms(needle)
    encoders: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("base64", base64.b64encode),
        ("base64url", base64.urlsafe_b64encode),
    ]
    for name, encode in encoders:
        assert sought[f"{name}+{len(before) % 3}"] in encode(before + needle + after)


def test_a_needle_found_by_chance_is_refused() -> None:
    with pytest.raises(AssertionError):
        forms(b"short")

"""age files: the format's published vectors, and two implementations that are not ours.

pyrage (the Rust `rage`) and Debian's `age` (the Go original) open what we seal and the reverse.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from hub.storage import age

IDENTITY = age.Identity.make()
PEER = x25519.Identity.from_str(IDENTITY.text)
AGE = shutil.which("age")
VECTORS = [path for path in Path(__file__).with_name("age_vectors").iterdir() if not path.suffix]
SIZES = (0, 1, age.CHUNK - 1, age.CHUNK, age.CHUNK + 1, 2 * age.CHUNK, 5 * age.CHUNK + 3)
CONTENT = hashlib.shake_256(b"some rows").digest(max(SIZES))


def sealed(*pieces: bytes) -> bytes:
    return b"".join(age.encrypt(pieces, IDENTITY.recipient))


def opened(file: bytes, identity: age.Identity = IDENTITY) -> tuple[bytes, str]:
    """What comes out, and the part found at fault, if any."""
    plain = b""
    try:
        for chunk in age.decrypt(io.BytesIO(file), identity):
            plain += chunk
    except age.Unreadable as error:
        return plain, str(error)
    return plain, ""


# What the format calls each failure, by the part we name.
FAILURES = {
    "": "success",
    "version": "header failure",
    "header": "header failure",
    "base64": "header failure",
    "X25519 stanza": "header failure",
    "low order point": "header failure",
    "nonce": "header failure",
    "identity": "no match",
    "header MAC": "HMAC failure",
    "chunk": "payload failure",
    "trailing data": "payload failure",
}


@pytest.mark.parametrize("vector", sorted(VECTORS), ids=lambda path: path.name)
def test_published_vectors(vector: Path) -> None:
    told, _, file = vector.read_bytes().partition(b"\n\n")
    facts = dict(line.split(": ", 1) for line in told.decode().split("\n"))
    if facts.get("compressed") == "zlib":
        file = zlib.decompress(file)
    identity = age.Identity.read(facts["identity"]) if "identity" in facts else IDENTITY
    plain, fault = opened(file, identity)
    assert FAILURES[fault] == facts["expect"]
    # Before a failure too: what comes out is what the vector says was sealed.
    assert hashlib.sha256(plain).hexdigest() == facts.get("payload", hashlib.sha256().hexdigest())


def test_every_kind_of_vector_is_there() -> None:
    told = [path.read_bytes().partition(b"\n\n")[0] for path in VECTORS]
    assert len(told) == 68
    for outcome in sorted(set(FAILURES.values())):
        assert any(f"expect: {outcome}\n".encode() in one + b"\n" for one in told), outcome


@pytest.mark.parametrize("size", SIZES)
def test_rage_opens_what_we_seal_and_we_what_it_seals(size: int) -> None:
    content = CONTENT[:size]
    assert pyrage.decrypt(sealed(content), [PEER]) == content
    assert opened(pyrage.encrypt(content, [PEER.to_public()])) == (content, "")


@pytest.mark.skipif(AGE is None, reason="the `age` tool is not installed here")
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_seal_and_we_what_it_seals(size: int, tmp_path: Path) -> None:
    def told(words: Iterable[str | Path], data: bytes) -> bytes:
        return subprocess.run(
            [AGE or "", *words], input=data, capture_output=True, check=True
        ).stdout

    content, key = CONTENT[:size], tmp_path / "identity"
    key.write_text(IDENTITY.text)
    assert told(["--decrypt", "-i", key], sealed(content)) == content
    assert opened(told(["-r", IDENTITY.recipient.text], content)) == (content, "")


def test_a_file_for_several_is_opened_by_each() -> None:
    other = age.Identity.make()
    both = [x25519.Recipient.from_str(one.recipient.text) for one in (other, IDENTITY)]
    file = pyrage.encrypt(CONTENT, both)
    assert opened(file) == opened(file, other) == (CONTENT, "")


PIECES = st.lists(
    st.one_of(
        st.integers(0, 40),
        st.integers(age.CHUNK - 2, age.CHUNK + 2),
        st.integers(0, 3 * age.CHUNK),
    ),
    max_size=6,
)


@given(PIECES)
@settings(max_examples=40, deadline=None)
def test_however_it_comes_in_pieces(sizes: list[int]) -> None:
    pieces = [CONTENT[:size] for size in sizes]
    file = sealed(*pieces)
    assert pyrage.decrypt(file, [PEER]) == b"".join(pieces)
    assert opened(file) == (b"".join(pieces), "")


class Trickling(io.BytesIO):
    """A source that gives less than it is asked for, as a network does."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 1_000))


def test_a_source_may_give_less_than_it_is_asked_for() -> None:
    assert b"".join(age.decrypt(Trickling(sealed(CONTENT)), IDENTITY)) == CONTENT


WHOLE = sealed(CONTENT[: 2 * age.CHUNK + 100])
START = len(WHOLE) - 2 * age.CHUNK - 100 - 3 * 16


def chunks_of(file: bytes) -> list[bytes]:
    step = age.CHUNK + 16
    return [file[at : at + step] for at in range(START, len(file), step)]


def refused_short_of_its_end(file: bytes) -> None:
    plain, fault = opened(file)
    assert fault
    assert len(plain) <= 2 * age.CHUNK + 100
    assert CONTENT.startswith(plain)


@given(st.integers(0, len(WHOLE) - 1) | st.integers(0, START + 20), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_no_changed_byte_passes(at: int, change: int) -> None:
    refused_short_of_its_end(WHOLE[:at] + bytes([WHOLE[at] ^ change]) + WHOLE[at + 1 :])


@given(st.integers(0, len(WHOLE) - 1) | st.integers(0, START + 20))
@settings(max_examples=60, deadline=None)
def test_no_cut_passes(at: int) -> None:
    refused_short_of_its_end(WHOLE[:at])


@given(st.binary(min_size=1, max_size=100) | st.just(WHOLE[START:]), st.integers(0, START))
@settings(max_examples=60, deadline=None)
def test_nothing_put_in_passes(more: bytes, at: int) -> None:
    refused_short_of_its_end(WHOLE + more)
    refused_short_of_its_end(WHOLE[:at] + more + WHOLE[at:])


@given(st.permutations(range(3)) | st.lists(st.integers(0, 2), max_size=5))
@settings(max_examples=40, deadline=None)
def test_chunks_stand_in_their_order_only(order: list[int]) -> None:
    file = WHOLE[:START] + b"".join(chunks_of(WHOLE)[number] for number in order)
    if list(order) == [0, 1, 2]:
        assert opened(file) == (CONTENT[: 2 * age.CHUNK + 100], "")
    else:
        refused_short_of_its_end(file)


def test_chunks_of_another_file_are_none_of_this_one() -> None:
    other = sealed(CONTENT[: 2 * age.CHUNK + 100])
    refused_short_of_its_end(WHOLE[:START] + chunks_of(other)[0] + b"".join(chunks_of(WHOLE)[1:]))


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda more: WHOLE[:START] + more))
def test_anything_else_is_refused_in_words_of_ours(file: bytes) -> None:
    assert opened(file)[0] == b""
    assert opened(file)[1] in FAILURES


def test_a_header_without_end_is_not_read_to_it() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"age-encryption.org/v1\n-> a\n\n".ljust(size, b"-> a\n\n"[:1])

    endless = Endless()
    with pytest.raises(age.Unreadable):
        next(age.decrypt(endless, IDENTITY))  # type: ignore[arg-type]
    assert endless.given <= 64 * 1024


# --- keys -----------------------------------------------------------------------------------


def test_texts_of_keys_are_those_of_others() -> None:
    theirs = x25519.Identity.generate()
    ours = age.Identity.read(str(theirs))
    assert (ours.text, ours.recipient.text) == (str(theirs), str(theirs.to_public()))
    assert age.Recipient.read(ours.recipient.text).text == ours.recipient.text


BAD_KEYS = {
    "empty": "",
    "blank": " ",
    "no key": "age1nothing",
    "a recipient as an identity": IDENTITY.recipient.text,
    "in small letters": IDENTITY.text.lower(),
    "in both": IDENTITY.text.replace("AGE", "age"),
    "cut": IDENTITY.text[:-1],
    "one letter off": IDENTITY.text[:30] + ("Q" if IDENTITY.text[30] != "Q" else "P")
    + IDENTITY.text[31:],
    "not letters": IDENTITY.text[:-2] + "é\n",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_identity_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError, match="no age key"):
        age.Identity.read(text)


@pytest.mark.parametrize(
    "text",
    [IDENTITY.text, IDENTITY.recipient.text.upper(), "age1", "x"],
    ids=["identity", "capitals", "cut", "no key"],  # a key made anew names no test: workers differ
)
def test_a_bad_recipient_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no age key"):
        age.Recipient.read(text)


def test_a_recipient_that_would_keep_no_secret_is_refused() -> None:
    zeros = age.Recipient(X25519PublicKey.from_public_bytes(bytes(32))).text
    with pytest.raises(ValueError, match="shared key"):
        age.Recipient.read(zeros)


def test_nothing_printed_shows_an_identity() -> None:
    assert IDENTITY.text[15:40] not in f"{IDENTITY!r} {IDENTITY}".upper()
    assert IDENTITY.secret.private_bytes_raw().hex() not in f"{IDENTITY!r}"

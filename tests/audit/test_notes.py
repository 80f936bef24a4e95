import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.audit import notes
from hub.audit.notes import Checkpoint, VerifierKey
from hub.errors import Rejected
from tests.audit.helpers import signer, vectors

TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
EXAMPLE = (  # the example of the specification, with the key its authors publish for it
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
EXAMPLE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_the_published_example_verifies() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert str(key) == EXAMPLE_KEY
    note = notes.verify(EXAMPLE.encode(), [key])
    assert note.text.startswith("If you think")
    assert note.signed_by == (key,)


def test_all_checkpoints_of_another_implementation_verify() -> None:
    key = VerifierKey.parse(TESSERA)
    folder = vectors("tessera-log")
    for size in range(16):
        raw = (folder / f"checkpoint.{size}").read_bytes()
        checkpoint = notes.open_checkpoint(raw, "example.com/log/testdata", [key])
        assert checkpoint.size == size
        assert checkpoint.text() == notes.verify(raw, [key]).text


def test_sign_and_verify_with_several_keys() -> None:
    ours, witness, stranger = signer(), signer("w.test", 2), signer("s.test", 3)
    note = notes.sign("hello\n", ours, witness)
    assert notes.verify(note, [ours.verifier]).signed_by == (ours.verifier,)
    both = [witness.verifier, ours.verifier]
    assert set(notes.verify(note, both).signed_by) == set(both)
    with pytest.raises(Rejected, match="no key we know"):
        notes.verify(note, [stranger.verifier])
    with pytest.raises(Rejected, match="no key we know"):
        notes.verify(note, [])


def test_a_text_may_hold_empty_lines_and_look_signed() -> None:
    text = "a\n\n— hub.test/log AAAA\n\nb é\n"
    assert notes.verify(notes.sign(text, signer()), [signer().verifier]).text == text


def test_no_single_byte_of_a_note_can_change() -> None:
    note = notes.sign("hub.test/log\n7\nabc\n", signer())
    for at in range(len(note)):
        for flip in (0x01, 0x04, 0x20, 0x80, 0xFF):
            changed = bytearray(note)
            changed[at] ^= flip
            with pytest.raises(Rejected):
                notes.verify(bytes(changed), [signer().verifier])


def test_stray_bits_of_base64_are_refused() -> None:
    """The last character before `=` has unused bits; lenient decoders take four spellings."""
    note = notes.sign("x\n", signer()).decode()
    last = note.rindex("=") - 1
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sibling = alphabet[alphabet.index(note[last]) ^ 1]
    twin = note[:last] + sibling + note[last + 1 :]
    encoded = note.split(" ")[-1].strip()
    assert base64.b64decode(twin.split(" ")[-1]) == base64.b64decode(encoded)
    with pytest.raises(Rejected, match="malformed"):
        notes.verify(twin.encode(), [signer().verifier])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("empty", b""),
        ("no blank line", b"text\n\xe2\x80\x94 a AAAAAAA=\n"),
        ("no signature", b"text\n\n"),
        ("cut signature", notes.sign("t\n", signer())[:-1]),
        ("control character", b"te\x00xt\n\n\xe2\x80\x94 a AAAAAAA=\n"),
        ("carriage return", notes.sign("t\n", signer()).replace(b"\n", b"\r\n")),
        ("not UTF-8", b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n"),
        ("hyphen for dash", b"text\n\n- a AAAAAAA=\n"),
        ("too large", b"x" * 2_000_000),
    ],
)
def test_malformed_notes_are_refused(name: str, note: bytes) -> None:
    with pytest.raises(Rejected):
        notes.verify(note, [signer().verifier])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(Rejected):
        notes.verify(raw, [signer().verifier])


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "a\rb\n"])
def test_texts_that_no_note_can_carry(text: str) -> None:
    with pytest.raises(Rejected):
        notes.sign(text, signer())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "na me+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        TESSERA.replace("33d7b496", "33d7b497"),
        TESSERA.replace("+Ae", "+Be"),
        TESSERA[:-4],
        TESSERA + "=",
    ],
)
def test_keys_that_cannot_be_read(text: str) -> None:
    with pytest.raises(Rejected, match="verifier key"):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n1\nAAAA\n",
        "o\n1\n" + "A" * 43 + "=",
        "\n1\n" + "A" * 43 + "=\n",
        "o\n1\n" + "A" * 43 + "=\n\n",
        "o\n²\n" + "A" * 43 + "=\n",
        "o\n" + "9" * 5000 + "\n" + "A" * 43 + "=\n",
    ],
)
def test_texts_that_are_no_checkpoint(text: str) -> None:
    with pytest.raises(Rejected):
        Checkpoint.parse(text)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = notes.sign(Checkpoint("other.test/log", 0, bytes(32)).text(), signer())
    with pytest.raises(Rejected, match="another log"):
        notes.open_checkpoint(note, "hub.test/log", [signer().verifier])


def test_a_private_key_never_shows() -> None:
    assert "Ed25519" not in repr(signer())

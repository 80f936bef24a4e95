"""age v1 files for one X25519 key, as https://c2sp.org/age publishes the format.

    age-encryption.org/v1
    -> X25519 <ephemeral share>       who holds the identity finds the file key with it
    <file key, sealed>
    --- <MAC of all above>
    nonce, then chunks of 64 KiB, each sealed with ChaCha20-Poly1305 under its number,
    the last of them marked (STREAM)

Every primitive is the `cryptography` library's, which lets other threads run meanwhile. What is
here is the order of bytes, held to the format's published vectors and to two other
implementations. Any `age` opens what this seals.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import bech32
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK: Final = 64 * 1024
"""Bytes of plaintext sealed at a time; only the last chunk of a file may be shorter."""
_TAG: Final = 16
_FILE_KEY: Final = 16
_NONCE: Final = 16
_KEY: Final = 32
_HEADER_MOST: Final = 64 * 1024
_VERSION: Final = b"age-encryption.org/v1"
_LABEL: Final = _VERSION + b"/X25519"
_ONCE: Final = bytes(12)
"""The nonce of a key that seals one thing."""
_STANZA: Final = re.compile(
    rb"->(?P<arguments>(?: [!-~]+)+)\n"
    rb"(?P<body>(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63})\n"
)
_END: Final = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


class Unreadable(Exception):
    """No age file, a damaged one, or one for another identity. Names the part at fault."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom files are sealed for."""

    public: X25519PublicKey

    @classmethod
    def read(cls, text: str) -> Recipient:
        """Of its text, `age1…`. Raises `ValueError` without quoting it."""
        public = X25519PublicKey.from_public_bytes(_key_in(text, "age"))
        X25519PrivateKey.generate().exchange(public)  # refuses a point that would keep no secret
        return cls(public)

    @property
    def text(self) -> str:
        """As it is written down."""
        return _text_of(self.public.public_bytes_raw(), "age")


@dataclass(frozen=True, slots=True)
class Identity:
    """What opens the files sealed for its recipient. Shows nothing of itself when printed."""

    secret: X25519PrivateKey = field(repr=False)

    @classmethod
    def make(cls) -> Identity:
        """A new one."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def read(cls, text: str) -> Identity:
        """Of its text, `AGE-SECRET-KEY-1…`. Raises `ValueError` without quoting it."""
        return cls(X25519PrivateKey.from_private_bytes(_key_in(text, "AGE-SECRET-KEY-")))

    @property
    def recipient(self) -> Recipient:
        """Its public half."""
        return Recipient(self.secret.public_key())

    @property
    def text(self) -> str:
        """As it is kept: whoever has this opens everything."""
        return _text_of(self.secret.private_bytes_raw(), "AGE-SECRET-KEY-")


def encrypt(plain: Iterable[bytes], recipient: Recipient) -> Iterator[bytes]:
    """The age file of these bytes, a chunk at a time."""
    file_key, nonce = secrets.token_bytes(_FILE_KEY), secrets.token_bytes(_NONCE)
    told = b"%b\n%b---" % (_VERSION, _wrapped(file_key, recipient))
    yield b"%b %b\n%b" % (told, _base64(_mac(file_key, told).finalize()), nonce)
    chunks = _Chunks(file_key, nonce)
    for chunk, last in _cut(plain):
        yield chunks.seal(chunk, last=last)


def decrypt(file: BinaryIO, identity: Identity) -> Iterator[bytes]:
    """The plaintext of an age file, a chunk at a time.

    Raises `Unreadable`, and whatever `file` raises. Each chunk is what was sealed, but that none
    is missing is known at the end only.
    """
    source = _Source(file)
    told, mac, stanzas = _header(source)
    file_key = _unwrapped(stanzas, identity)
    try:
        _mac(file_key, told).verify(mac)
    except InvalidSignature as error:
        raise Unreadable("header MAC") from error
    nonce, last = source.read(_NONCE), False
    if len(nonce) < _NONCE:
        raise Unreadable("nonce")
    chunks = _Chunks(file_key, nonce)
    while not last:
        plain, last = chunks.open(source.read(CHUNK + _TAG))
        yield plain
    if source.read(1):
        raise Unreadable("trailing data")


# --- the header -----------------------------------------------------------------------------

_Stanzas = list[tuple[list[bytes], bytes]]
"""Arguments, of which the first is the kind, and body."""


def _wrapped(file_key: bytes, recipient: Recipient) -> bytes:
    """The stanza with which the recipient's identity finds the file key."""
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    salt = share + recipient.public.public_bytes_raw()
    key = _derived(ephemeral.exchange(recipient.public), salt, _LABEL)
    body = ChaCha20Poly1305(key).encrypt(_ONCE, file_key, None)
    return b"-> X25519 %b\n%b\n" % (_base64(share), _base64(body))


def _unwrapped(stanzas: _Stanzas, identity: Identity) -> bytes:
    """The file key, of the stanza that is for this identity."""
    for arguments, body in stanzas:
        if arguments[0] != b"X25519":
            continue
        share = _from_base64(arguments[1]) if len(arguments) == 2 else b""
        # Before anything is opened: a length must not tell which key fits.
        if len(share) != _KEY or len(body) != _FILE_KEY + _TAG:
            raise Unreadable("X25519 stanza")
        try:
            shared = identity.secret.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:
            raise Unreadable("low order point") from error
        salt = share + identity.secret.public_key().public_bytes_raw()
        try:
            return ChaCha20Poly1305(_derived(shared, salt, _LABEL)).decrypt(_ONCE, body, None)
        except InvalidTag:
            continue  # somebody else's
    raise Unreadable("identity")


def _header(source: _Source) -> tuple[bytes, bytes, _Stanzas]:
    """Read a header: what its MAC is of, the MAC, and its stanzas."""
    start = source.peek(_HEADER_MOST)
    at, stanzas = len(_VERSION) + 1, []
    if not start.startswith(_VERSION + b"\n"):
        raise Unreadable("version")
    while stanza := _STANZA.match(start, at):
        body = _from_base64(stanza["body"].replace(b"\n", b""))
        stanzas.append((stanza["arguments"].split(), body))
        at = stanza.end()
    end = _END.match(start, at)
    # A passphrase stands alone, or whoever knows it could pass for whoever sealed.
    alone = len(stanzas) == 1 or all(arguments[0] != b"scrypt" for arguments, _ in stanzas)
    if not (end and stanzas and alone):
        raise Unreadable("header")
    source.read(end.end())
    return start[: at + len(b"---")], _from_base64(end[1]), stanzas


def _mac(file_key: bytes, told: bytes) -> HMAC:
    mac = HMAC(_derived(file_key, b"", b"header"), SHA256())
    mac.update(told)
    return mac


def _derived(secret: bytes, salt: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), _KEY, salt, label).derive(secret)


def _base64(data: bytes) -> bytes:
    return b64encode(data).rstrip(b"=")


def _from_base64(text: bytes) -> bytes:
    """Of the one way to write it: any other is refused."""
    try:
        data = b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise Unreadable("base64") from error
    if _base64(data) != text:
        raise Unreadable("base64")
    return data


def _key_in(text: str, kind: str) -> bytes:
    """The 32 bytes of a key's text (Bech32, in the case its kind has)."""
    known, numbers = bech32.bech32_decode(text)
    same_case = text == (text.lower() if kind.islower() else text.upper())
    key = bech32.convertbits(numbers, 5, 8, False) if known == kind.lower() and numbers else None
    if key is None or len(key) != _KEY or not same_case:
        raise ValueError("no age key")
    return bytes(key)


def _text_of(key: bytes, kind: str) -> str:
    text = bech32.bech32_encode(kind.lower(), bech32.convertbits(key, 8, 5) or [])
    return text if kind.islower() else text.upper()


# --- the payload ----------------------------------------------------------------------------


class _Chunks:
    """The chunks of one payload, in order, each under a nonce of its number and its end flag."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._number = 0

    def _nonce(self, *, last: bool) -> bytes:
        return self._number.to_bytes(11, "big") + bytes([last])

    def seal(self, plain: bytes | bytearray | memoryview, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(self._nonce(last=last), plain, None)
        self._number += 1
        return sealed

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether it is the last. A full chunk may be either."""
        for last in (False, True) if len(sealed) == CHUNK + _TAG else (True,):
            try:
                plain = self._cipher.decrypt(self._nonce(last=last), sealed, None)
            except InvalidTag:
                continue
            if not plain and self._number:
                break  # only what is empty as a whole ends with an empty chunk
            self._number += 1
            return plain, last
        raise Unreadable("chunk")


def _cut(plain: Iterable[bytes]) -> Iterator[tuple[bytearray | memoryview, bool]]:
    """Full chunks, and then the last one: whatever is left, if only because all was."""
    held = bytearray()
    for some in plain:
        view, at = memoryview(some), 0
        if held:
            at = CHUNK - len(held)
            held += view[:at]
            if len(view) <= at:
                continue
            yield held, False
            held = bytearray()
        while len(view) - at > CHUNK:
            yield view[at : at + CHUNK], False
            at += CHUNK
        held += view[at:]
    yield held, True


class _Source:
    """A file read by exact numbers of bytes, fewer at its end only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._held = file, b""

    def peek(self, size: int) -> bytes:
        """What `read` will give."""
        self._held = self.read(size)
        return self._held

    def read(self, size: int) -> bytes:
        taken, self._held = self._held[:size], self._held[size:]
        while len(taken) < size and (more := self._file.read(size - len(taken))):
            taken += more
        return taken

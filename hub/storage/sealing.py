"""Sealing and unsealing with age, streams in constant memory: measures, limits, errors in words."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hub.errors import Rejected, TooLarge, Unavailable
from hub.storage import age
from hub.storage.durable import storage_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES: Final = 1 << 20
_PIECES: Final = 16
"""Sealed chunks written at a time."""
_ONE_OF_MANY: Final = b"sealed-one/1\n"
"""How a thing sealed by an `Envelope` begins."""
_NONCE_BYTES: Final = 12


def recipient_from(text: str) -> age.Recipient:
    """Read an age recipient (`age1…`). Raises `Rejected` without quoting it."""
    try:
        return age.Recipient.read(text.strip())
    except ValueError as error:
        raise _bad_key("recipient") from error


def identity_from(text: str) -> age.Identity:
    """Read an age identity (`AGE-SECRET-KEY-1…`). Raises `Rejected` without quoting it."""
    try:
        return age.Identity.read(text.strip())
    except ValueError as error:
        raise _bad_key("identity") from error


def seal(data: bytes, recipient: age.Recipient) -> bytes:
    """Seal something small enough to hold."""
    return b"".join(age.encrypt([data], recipient))


def unseal(sealed: bytes, identity: age.Identity) -> bytes:
    """Open something small enough to hold. Raises `Unavailable` as `verify` does."""
    return Opener(identity).unseal(sealed)


class Opener:
    """Opens many small things; on the key of an envelope it agrees once, not for each.

    It keeps the last key only: what one envelope sealed is mostly opened together.
    """

    def __init__(self, identity: age.Identity) -> None:
        self._identity = identity
        self._key_file = b""
        self._cipher: ChaCha20Poly1305 | None = None

    def unseal(self, sealed: bytes) -> bytes:
        """What `seal` or an `Envelope` sealed. Raises `Unavailable` as `verify` does."""
        if not sealed.startswith(_ONE_OF_MANY):
            return b"".join(_opened(io.BytesIO(sealed), self._identity))
        start = len(_ONE_OF_MANY) + 2
        end = start + int.from_bytes(sealed[start - 2 : start], "big")
        nonce, thing = sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :]
        try:
            return self._cipher_of(sealed[start:end]).decrypt(nonce, thing, None)
        except (InvalidTag, ValueError) as error:
            raise _unreadable() from error

    def _cipher_of(self, key_file: bytes) -> ChaCha20Poly1305:
        if self._cipher is None or key_file != self._key_file:
            key = b"".join(_opened(io.BytesIO(key_file), self._identity))
            self._cipher, self._key_file = ChaCha20Poly1305(key), key_file
        return self._cipher


class Envelope:
    """Seals many small things, each of which is opened, and destroyed, without any other.

    What age does for each file anew, agreeing on a key, takes longer than all else that is done
    about a row. So the key is agreed on once, for all that an envelope seals:

        sealed-one/1, length (2 bytes) and age file of the key, nonce,
        then ChaCha20-Poly1305 of the thing under the key

    An envelope is used once, by one thread: its nonces are counted.
    """

    def __init__(self, recipient: age.Recipient) -> None:
        key = ChaCha20Poly1305.generate_key()
        sealed = seal(key, recipient)
        self._start = _ONE_OF_MANY + len(sealed).to_bytes(2, "big") + sealed
        self._cipher = ChaCha20Poly1305(key)
        self._number = 0

    def seal(self, data: bytes) -> bytes:
        """Seal one thing; `unseal` opens it."""
        nonce = self._number.to_bytes(_NONCE_BYTES, "big")
        self._number += 1
        return self._start + nonce + self._cipher.encrypt(nonce, data, None)


def seal_stream(
    chunks: Iterable[bytes],
    write: Callable[[bytes], int],
    recipient: age.Recipient,
    max_bytes: int,
) -> tuple[str, int]:
    """Seal `chunks` into `write`; return the plaintext's SHA-256 (hex) and size (bytes).

    Raises `TooLarge` past `max_bytes` of plaintext, and whatever `chunks` and `write` raise.
    """
    with ThreadPoolExecutor(2, "sealing") as pool:
        source = _Measured(chunks, max_bytes, _Behind(pool))
        writing = _Behind(pool)
        for piece in _together(age.encrypt(source, recipient)):
            writing.do(write, piece)
        writing.wait()
    return source.digest.hexdigest(), source.size


def _together(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: to hand one to another thread takes its time."""
    while some := b"".join(islice(pieces, _PIECES)):
        yield some


def verify(sealed: BinaryIO, identity: age.Identity) -> None:
    """Read a sealed stream to its end, keeping nothing.

    Raises `Unavailable` "sealed-file-unreadable" where a byte is missing, changed or too many, or
    where it was sealed for another identity.
    """
    for _ in _opened(sealed, identity):
        pass


def plaintext(sealed: BinaryIO, identity: age.Identity) -> BinaryIO:
    """Stream the plaintext of a sealed stream; closing it closes `sealed`.

    Plaintext comes out before a truncation is met: `verify` first.
    """
    return cast("BinaryIO", io.BufferedReader(_Plaintext(sealed, identity), _BUFFER_BYTES))


def _opened(sealed: BinaryIO, identity: age.Identity) -> Iterator[bytes]:
    try:
        with storage_errors():
            yield from age.decrypt(sealed, identity)
    except age.Unreadable as error:
        raise _unreadable() from error


class _Plaintext(io.RawIOBase):
    """The chunks as a stream. What went wrong once goes wrong at each further reading."""

    def __init__(self, sealed: BinaryIO, identity: age.Identity) -> None:
        super().__init__()
        self._sealed = sealed
        self._chunks = _opened(sealed, identity)
        self._rest = memoryview(b"")
        self._failure: Unavailable | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._failure is not None:
            raise self._failure
        try:
            while not self._rest and (chunk := next(self._chunks, None)) is not None:
                self._rest = memoryview(chunk)
        except Unavailable as failure:
            self._failure = failure
            raise
        into = memoryview(buffer).cast("B")
        piece, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._sealed.close()
        super().close()


class _Behind:
    """Does one thing after the other on a thread of its own, each while the next is made ready."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._last: Future[object] | None = None

    def do(self, work: Callable[[bytes], object], data: bytes) -> None:
        """Begin this once what was begun before is done. Raises what that raised."""
        self.wait()
        self._last = self._pool.submit(work, data)

    def wait(self) -> None:
        """Be done with what was begun. Raises what it raised."""
        if self._last is not None:
            self._last.result()


class _Measured:
    """The chunks, measured, and no more of them than allowed.

    A chunk is digested behind, while it is sealed. `digest` is that of all chunks once the
    threads have ended.
    """

    def __init__(self, chunks: Iterable[bytes], max_bytes: int, behind: _Behind) -> None:
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._behind = behind
        self.digest = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._max_bytes:
                raise TooLarge(
                    "file-too-large",
                    fr=f"Le fichier dépasse {self._max_bytes} octets.",
                    en=f"The file is larger than {self._max_bytes} bytes.",
                    who="partner",
                    facts={"max_bytes": self._max_bytes},
                )
            self._behind.do(self.digest.update, chunk)
            yield chunk


def _unreadable() -> Unavailable:
    return Unavailable(
        "sealed-file-unreadable",
        fr="Un fichier scellé est abîmé, ou scellé pour une autre identité. "
        "Restaurez-le, ou l'identité, depuis une sauvegarde.",
        en="A sealed file is damaged, or sealed for another identity. "
        "Restore it, or the identity, from a back-up.",
        who="operator",
    )


def _bad_key(kind: str) -> Rejected:
    return Rejected(
        "age-key-invalid",
        fr=f"La clé age ({kind}) n'est pas lisible.",
        en=f"The age key ({kind}) cannot be read.",
        who="operator",
        where=kind,
    )

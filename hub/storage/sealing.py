"""Sealing and unsealing streams with age, in constant memory.

pyrage drives: it reads from and writes to what it is given, and turns any exception of ours into
its own, quoting it. A `Witness` on either side remembers what really happened.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import pyrage
from pyrage import x25519

from hub.errors import Rejected, TooLarge, Unavailable
from hub.storage.durable import Witness, storage_unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES: Final = 1 << 20
_HANDED_BYTES: Final = 1 << 16
"""What goes through the pipe at a time: age writes 8 KiB, which would be as many system calls."""


def recipient_from(text: str) -> x25519.Recipient:
    """Read an age recipient (`age1…`). Raises `Rejected` without quoting it."""
    try:
        return x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise _bad_key("recipient") from error


def identity_from(text: str) -> x25519.Identity:
    """Read an age identity (`AGE-SECRET-KEY-1…`). Raises `Rejected` without quoting it."""
    try:
        return x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        raise _bad_key("identity") from error


def seal(data: bytes, recipient: x25519.Recipient) -> bytes:
    """Seal something small enough to hold."""
    return cast("bytes", pyrage.encrypt(data, [recipient]))


def unseal(sealed: bytes, identity: x25519.Identity) -> bytes:
    """Open something small enough to hold. Raises `Unavailable` as `verify` does."""
    try:
        return cast("bytes", pyrage.decrypt(sealed, [identity]))
    except pyrage.DecryptError as error:
        raise _unreadable() from error


def seal_stream(
    chunks: Iterable[bytes],
    write: Callable[[bytes], int],
    recipient: x25519.Recipient,
    max_bytes: int,
) -> tuple[str, int]:
    """Seal `chunks` into `write`; return the plaintext's SHA-256 (hex) and size (bytes).

    Raises `TooLarge` past `max_bytes` of plaintext, and whatever `chunks` and `write` raise.
    """
    witness = Witness()
    source = _Measured(chunks, max_bytes, witness)
    try:
        pyrage.encrypt_io(source, _Watched(write, witness), [recipient])
    except (pyrage.EncryptError, OSError):
        witness.retell()
        raise
    return source.digest.hexdigest(), source.size


def verify(sealed: BinaryIO, identity: x25519.Identity) -> None:
    """Read a sealed stream to its end, keeping nothing.

    Raises `Unavailable` "sealed-file-unreadable" where a byte is missing, changed or too many, or
    where it was sealed for another identity.
    """
    _unseal_stream(sealed, len, identity)


def plaintext(sealed: BinaryIO, identity: x25519.Identity) -> BinaryIO:
    """Stream the plaintext of a sealed stream; closing it closes `sealed`.

    Plaintext comes out before a truncation is met: `verify` first.
    """
    return cast("BinaryIO", io.BufferedReader(_Plaintext(sealed, identity), _BUFFER_BYTES))


def _unseal_stream(
    sealed: BinaryIO, write: Callable[[bytes], int], identity: x25519.Identity
) -> None:
    try:
        pyrage.decrypt_io(sealed, _Watched(write, Witness()), [identity])
    except pyrage.DecryptError as error:
        raise _unreadable() from error
    except OSError as error:
        # A refusal of age has no errno; a disk or a pipe that fails has one.
        raise (_unreadable() if error.errno is None else storage_unavailable(error)) from error


class _Plaintext(io.RawIOBase):
    """The reading end of a pipe into which a thread decrypts: bounded by the pipe's capacity."""

    def __init__(self, sealed: BinaryIO, identity: x25519.Identity) -> None:
        super().__init__()
        self._sealed = sealed
        self._failure: Unavailable | None = None
        self._end, writing_end = os.pipe()
        self._thread = threading.Thread(
            target=self._decrypt, args=(writing_end, identity), name="unsealing", daemon=True
        )
        self._thread.start()

    def _decrypt(self, end: int, identity: x25519.Identity) -> None:
        held = bytearray()

        def hand_over() -> None:
            rest = memoryview(bytes(held))
            held.clear()
            while rest:
                rest = rest[os.write(end, rest) :]

        def write(data: bytes) -> int:
            held.extend(data)
            if len(held) >= _HANDED_BYTES:
                hand_over()
            return len(data)

        try:
            _unseal_stream(self._sealed, write, identity)
            hand_over()
        except Unavailable as failure:
            # A reader that went away is a broken pipe here, and is not there to be told.
            self._failure = failure
        finally:
            os.close(end)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = os.readv(self._end, [buffer])
        if count == 0:
            self._thread.join()
            if self._failure is not None:
                raise self._failure
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._end)
            self._thread.join()
            self._sealed.close()
        super().close()


class _Measured:
    """What age reads: the chunks, measured, and no more than allowed."""

    def __init__(self, chunks: Iterable[bytes], max_bytes: int, witness: Witness) -> None:
        self._chunks = iter(chunks)
        self._max_bytes = max_bytes
        self._witness = witness
        self._rest = memoryview(b"")
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        with self._witness:
            # An empty chunk is not the end.
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._take(chunk)
            piece, self._rest = self._rest[:size], self._rest[size:]
            return bytes(piece)

    def _take(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise TooLarge(
                "file-too-large",
                fr=f"Le fichier dépasse {self._max_bytes} octets.",
                en=f"The file is larger than {self._max_bytes} bytes.",
                who="partner",
                facts={"max_bytes": self._max_bytes},
            )
        self.digest.update(chunk)
        self._rest = memoryview(chunk)


class _Watched:
    """What age writes to."""

    def __init__(self, write: Callable[[bytes], int], witness: Witness) -> None:
        self._write = write
        self._witness = witness

    def write(self, data: bytes) -> int:
        with self._witness:
            return self._write(data)

    def flush(self) -> None:
        """Nothing is buffered."""


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

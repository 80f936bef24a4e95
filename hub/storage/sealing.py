"""Sealing and unsealing streams with age, in constant memory.

pyrage drives: it reads from and writes to what it is given, and turns any exception of ours into
its own, quoting it. A `Witness` on either side remembers what really happened.
"""

from __future__ import annotations

import errno
import hashlib
import io
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import pyrage
from pyrage import x25519

from hub.errors import Rejected, TooLarge, Unavailable
from hub.storage.durable import Witness, storage_unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES: Final = 1 << 20
_HANDED_BYTES: Final = 1 << 20
"""What is handed over at a time: age writes 8 KiB, and each turn wakes another thread."""
_HANDED: Final = 4
"""How many of them may wait to be read."""


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
    with ThreadPoolExecutor(1, "digesting") as pool:
        source = _Measured(chunks, max_bytes, witness, pool)
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
    """The reading end of a queue that a thread decrypts into, no further ahead than it holds."""

    def __init__(self, sealed: BinaryIO, identity: x25519.Identity) -> None:
        super().__init__()
        self._sealed = sealed
        self._failure: Unavailable | None = None
        self._pieces = queue.Queue[bytes](_HANDED)
        self._rest = memoryview(b"")
        self._ended = False
        self._left = threading.Event()
        self._thread = threading.Thread(
            target=self._decrypt, args=(identity,), name="unsealing", daemon=True
        )
        self._thread.start()

    def _decrypt(self, identity: x25519.Identity) -> None:
        held = bytearray()

        def hand_over() -> None:
            self._pieces.put(bytes(held))
            held.clear()

        def write(data: bytes) -> int:
            if self._left.is_set():
                raise BrokenPipeError(errno.EPIPE, "the reader went away")
            held.extend(data)
            if len(held) >= _HANDED_BYTES:
                hand_over()
            return len(data)

        try:
            _unseal_stream(self._sealed, write, identity)
        except Unavailable as failure:
            # A reader that went away is a broken pipe here, and is not there to be told.
            self._failure = failure
        finally:
            if held and not self._left.is_set():  # what came before a damage is read before it
                hand_over()
            self._pieces.put(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not (self._rest or self._ended):
            self._rest = memoryview(self._pieces.get())
            self._ended = not self._rest
        if self._ended:
            self._thread.join()
            if self._failure is not None:
                raise self._failure
            return 0
        into = memoryview(buffer).cast("B")
        piece, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._left.set()
            # One piece at most waits for room, and the end comes after it: both now have it.
            with suppress(queue.Empty):
                while True:
                    self._pieces.get_nowait()
            self._thread.join()
            self._sealed.close()
        super().close()


class _Measured:
    """What age reads: the chunks, measured, and no more than allowed.

    A chunk is digested in `pool`, on another core, while age seals it; the next waits for that.
    `digest` is that of all chunks once the pool is shut down.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        max_bytes: int,
        witness: Witness,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._chunks = iter(chunks)
        self._max_bytes = max_bytes
        self._witness = witness
        self._pool = pool
        self._digested: Future[None] | None = None
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
        if self._digested is not None:
            self._digested.result()
        self._digested = self._pool.submit(self.digest.update, chunk)
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

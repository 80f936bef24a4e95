"""The vault: partners' raw files, sealed with age from the first byte to the last.

The front door holds the recipient only: it can seal and cannot open. The worker holds the
identity. Plaintext never touches a disk, in either direction.

age authenticates chunk by chunk, so plaintext comes out before a truncation at its end is met.
`open` therefore goes over the sealed file twice: the first pass reads to the end and throws the
plaintext away, the second streams it, and nothing a reader gets is from a file that is not whole.
`stream` goes over it once, for who keeps nothing of it before having read to its end.
A file that does not pass is an operator's matter (a disk, a restored copy, another hub's
identity), never the partner's, and the push stays pending: `Unavailable`, "sealed-file-unreadable".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Final

from hub.errors import Unavailable
from hub.storage import age, sealing
from hub.storage.objects import Objects

_SUFFIX: Final = ".age"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file kept: `sha256` (hex) and `size` (bytes) are those of the plaintext."""

    name: str
    sha256: str
    size: int


class Vault:
    """Sealed files by name. Without an identity it seals and forgets, and opens nothing."""

    def __init__(self, objects: Objects, recipient: str, identity: str | None = None) -> None:
        self._objects = objects
        self._recipient = sealing.recipient_from(recipient)
        self._identity = None if identity is None else sealing.identity_from(identity)

    def keep(self, name: str, chunks: Iterable[bytes], max_bytes: int) -> Sealed:
        """Seal a stream under `name`, in constant memory; it is durable when this returns.

        Raises `TooLarge` past `max_bytes` of plaintext, `Unavailable` if the storage is full, and
        whatever `chunks` raises; each leaves nothing behind.
        """
        with self._objects.writing(name + _SUFFIX) as writer:
            sha256, size = sealing.seal_stream(chunks, writer.write, self._recipient, max_bytes)
        return Sealed(name, sha256, size)

    def open(self, name: str) -> BinaryIO:
        """Open a sealed file's plaintext, verified whole, as a stream that cannot seek.

        Raises `NotFound`, or `Unavailable` where it is damaged or sealed for another identity.
        The caller closes it; closing early stops the decryption.
        """
        identity = self._opening()
        with ExitStack() as until_handed_over:
            sealed = until_handed_over.enter_context(self._objects.open(name + _SUFFIX))
            sealing.verify(sealed, identity)
            # The same open file: one that replaces it meanwhile is not what was verified.
            sealed.seek(0)
            until_handed_over.pop_all()
        return sealing.plaintext(sealed, identity)

    def stream(self, name: str) -> BinaryIO:
        """Open a sealed file's plaintext for one reading, as a stream that cannot seek.

        Every byte is what was sealed, but only the end tells that none is missing: nothing may be
        done with what was read that could not be undone, before `read` has answered `b""`.
        Raises as `open` does, and what is `Unavailable` comes while reading.
        """
        identity = self._opening()
        return sealing.plaintext(self._objects.open(name + _SUFFIX), identity)

    def seal(self, data: bytes) -> bytes:
        """Seal something small enough to hold."""
        return sealing.seal(data, self._recipient)

    def envelope(self) -> sealing.Envelope:
        """What seals many small things, much faster than `seal` each."""
        return sealing.Envelope(self._recipient)

    def unseal(self, sealed: bytes) -> bytes:
        """Open what `seal` or an envelope sealed. Raises `Unavailable` as `open` does."""
        return self.opener().unseal(sealed)

    def opener(self) -> sealing.Opener:
        """What opens many small things, much faster than `unseal` each."""
        return sealing.Opener(self._opening())

    def forget(self, name: str) -> None:
        """Delete a sealed file, durably; nothing happens where there is none."""
        self._objects.delete(name + _SUFFIX)

    def names(self) -> Iterator[str]:
        """Names of the sealed files, sorted."""
        names = (name for name in self._objects.list() if name.endswith(_SUFFIX))
        return (name.removesuffix(_SUFFIX) for name in names)

    def _opening(self) -> age.Identity:
        if self._identity is None:
            raise Unavailable(
                "vault-sealing-only",
                fr="Ce processus ne détient que la clé de scellement : il ne peut rien ouvrir.",
                en="This process holds the sealing key only: it can open nothing.",
                who="operator",
            )
        return self._identity

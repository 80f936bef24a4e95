"""The keyring: every secret of the hub, in one folder only its owner can read.

    identity.txt              the age identity: opens the vault, and the keys below
    recipient.txt             its public half: all the front door needs
    digest.age  codes.age  log.age  log-2.age…  session.age  sharing.age
    contribution.age
    periods/<purpose>/<period>.age

All but the first two are sealed for the identity, so that moving the identity to a secret store
leaves nothing readable here. A key is created once: written aside, then linked under its name,
which fails if another process was first; that one's key then serves both.

Destroying a period's key is what makes its pseudonyms untraceable. Nothing is cached, so that a
destroyed key is not remembered by a process that lives on. A later row of the same period gets a
new key.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import NotFound, Rejected
from hub.storage import age, sealing
from hub.storage.durable import checked_segment, storage_errors, sync_folder, sync_up

_KEY_BYTES: Final = 32
_SUFFIX: Final = ".age"
_OTHERS: Final = 0o077
_RECIPIENT: Final = "recipient.txt"


class Keyring:
    """Keys of the hub, created on first use. Files are 0600, folders 0700.

    Raises `Rejected` "keyring-exposed" where anyone but the owner may look into `path`, and
    `Unavailable` where a key is damaged or sealed for another identity.
    """

    def __init__(self, path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._root = Path(path).absolute()
        self._random = random
        with storage_errors():
            self._folder(self._root)
            _refuse_exposed(self._root)
        identity = self._create_or_read("identity.txt", _new_identity).decode("ascii")
        self._age = sealing.identity_from(identity)
        self.identity: str = identity.strip()
        self.recipient: str = self._age.recipient.text
        self._create_or_read(_RECIPIENT, lambda: f"{self.recipient}\n".encode("ascii"))

    @property
    def digest_key(self) -> bytes:
        """32 bytes: keys the digests by which the hub knows a person."""
        return self._key("digest")

    @property
    def contribution_key(self) -> bytes:
        """32 bytes: seals the secrets of grants in the books."""
        return self._key("contribution")

    @property
    def session_key(self) -> bytes:
        """32 bytes: keys the sessions of the pages."""
        return self._key("session")

    @property
    def sharing_key(self) -> bytes:
        """32 bytes: signs the short-lived links to files of shared releases."""
        return self._key("sharing")

    @property
    def link_key(self) -> bytes:
        """32 bytes: signs short-lived links to what a request gives."""
        return self._key("links")

    @property
    def code_key(self) -> bytes:
        """32 bytes: keys the digests of participation codes."""
        return self._key("codes")

    @property
    def log_key(self) -> Ed25519PrivateKey:
        """Signs checkpoints and receipts."""
        return self.log_keys()[0]

    def log_keys(self) -> list[Ed25519PrivateKey]:
        """The key that signs the log and those it replaced that were not retired, newest first."""
        return [Ed25519PrivateKey.from_private_bytes(self._key(name)) for name in self._log_names()]

    def rotate_log_key(self) -> None:
        """From now on a new key signs the log. The former one stays until `retire_log_keys`."""
        number = _log_number(self._log_names()[0]) + 1
        self._key(f"log-{number}")

    def retire_log_keys(self) -> int:
        """Remove the log keys that were replaced. Only once their rotation is published."""
        gone = self._log_names()[1:]
        with storage_errors():
            for name in gone:
                (self._root / f"{name}{_SUFFIX}").unlink(missing_ok=True)
            sync_folder(self._root)
        return len(gone)

    def _log_names(self) -> list[str]:
        with storage_errors():
            names = [path.name.removesuffix(_SUFFIX) for path in self._root.glob(f"log*{_SUFFIX}")]
        return sorted(names, key=_log_number, reverse=True) or ["log"]

    def period_key(self, purpose: str, period: str) -> bytes:
        """32 bytes: makes the pseudonyms of a purpose and period; created on first use."""
        return self._key(_period_name(purpose, period))

    def periods(self, purpose: str) -> list[str]:
        """Periods of a purpose that have a key, sorted."""
        folder = self._root / "periods" / checked_segment(purpose)
        with storage_errors():
            names = [path.name for path in folder.glob(f"*{_SUFFIX}")]
        return sorted(name.removesuffix(_SUFFIX) for name in names if not name.startswith("."))

    def destroy(self, purpose: str, period: str) -> None:
        """Remove a period's key from the disk; nothing happens where there is none.

        It is overwritten first: on a plain file system not even a freed block keeps it.
        """
        path = self._root / f"{_period_name(purpose, period)}{_SUFFIX}"
        with storage_errors():
            if not path.exists():
                return
            with path.open("r+b") as file:
                file.write(b"\0" * path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            path.unlink(missing_ok=True)
            sync_folder(path.parent)

    def _key(self, name: str) -> bytes:
        recipient = self._age.recipient
        sealed = self._create_or_read(
            f"{name}{_SUFFIX}", lambda: sealing.seal(self._random(_KEY_BYTES), recipient)
        )
        return sealing.unseal(sealed, self._age)

    def _create_or_read(self, name: str, make: Callable[[], bytes]) -> bytes:
        path = self._root / name
        with storage_errors():
            if not path.exists():
                self._folder(path.parent)
                self._create(path, make())
            return path.read_bytes()

    def _create(self, path: Path, content: bytes) -> None:
        """Give `path` this content unless it exists. Two processes at once: the first wins."""
        aside = path.parent / f".new-{secrets.token_hex(8)}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        finally:
            aside.unlink(missing_ok=True)
        sync_up(path.parent, self._root)

    def _folder(self, path: Path) -> None:
        if path != self._root and not path.parent.exists():
            self._folder(path.parent)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _log_number(name: str) -> int:
    return int(name.removeprefix("log").removeprefix("-") or "1")


def recipient_in(path: Path) -> str:
    """The recipient of the keyring in `path`, all the front door reads of it.

    Raises `NotFound` before the keyring exists.
    """
    try:
        return (Path(path) / _RECIPIENT).read_text("ascii").strip()
    except FileNotFoundError as error:
        raise NotFound(
            "keyring-missing",
            fr="Aucun trousseau ici : lancez d'abord le processus de traitement.",
            en="No keyring here: start the worker first.",
            who="operator",
        ) from error


def _new_identity() -> bytes:
    return f"{age.Identity.make().text}\n".encode("ascii")


def _period_name(purpose: str, period: str) -> str:
    return f"periods/{checked_segment(purpose)}/{checked_segment(period)}"


def _refuse_exposed(root: Path) -> None:
    for path in (root, *sorted(root.rglob("*"))):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue  # another process's file, written aside and linked meanwhile
        if mode & _OTHERS:
            name = path.relative_to(root).as_posix()
            raise Rejected(
                "keyring-exposed",
                fr=f"« {name} » du trousseau est accessible à d'autres que son propriétaire. "
                "Retirez ces droits (chmod go=), et changez les clés si quelqu'un a pu les lire.",
                en=f"“{name}” of the keyring is open to others than its owner. "
                "Remove these rights (chmod go=); change the keys if someone may have read them.",
                who="operator",
                where=name,
            )

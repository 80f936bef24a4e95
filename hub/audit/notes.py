"""C2SP signed notes (c2sp.org/signed-note) with Ed25519 keys, and the checkpoints they carry.

A note is text signed by one or more keys. The decoder is strict, one encoding per value, so that
no byte of a signature line of ours can change unseen. A witness signs the text with the time at
which it saw it (c2sp.org/tlog-cosignature, `cosignature/v1`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.audit.merkle import HASH_BYTES
from hub.errors import Rejected

ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"
TIME_BYTES: Final = 8
MAX_NOTE_BYTES: Final = 1_000_000
DASH: Final = "— "
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a note key; as a string `name+id+base64`, the form others configure.

    `algorithm` is `ED25519`, or `COSIGNATURE` for a witness. `until` is the size of the log at
    which the key stopped signing it, None while it signs.
    """

    name: str
    public: bytes
    algorithm: bytes = ED25519
    until: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(c.isspace() or c < " " for c in self.name):
            raise _bad_key("its name is empty or holds a space or a plus sign")
        if len(self.public) != HASH_BYTES:
            raise _bad_key("an Ed25519 public key has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+id+base64`. Raises `Rejected` where it is no Ed25519 key or its id lies."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise _bad_key("it is not name+id+key")
        raw = _decode(parts[2])
        if raw is None or raw[:1] not in (ED25519, COSIGNATURE):
            raise _bad_key("it is not an Ed25519 key")
        key = cls(parts[0], raw[1:], raw[:1])
        if key.id.hex() != parts[1]:
            raise _bad_key("its id does not match")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes that, with the name, find the key; no strong hash, and none is needed."""
        return sha256(self.name.encode() + b"\n" + self.algorithm + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(self.algorithm + self.public)}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key signed this text."""
        message = text.encode()
        if self.algorithm == COSIGNATURE:
            message = _witnessed(message, int.from_bytes(signature[:TIME_BYTES], "big"))
            signature = signature[TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A named private key. For the log, the name is the origin of its checkpoints."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    verifier: VerifierKey = field(init=False)
    """The key others verify with."""

    def __post_init__(self) -> None:
        public = self.key.public_key().public_bytes_raw()  # once: it costs as much as a signature
        object.__setattr__(self, "verifier", VerifierKey(self.name, public))


@dataclass(frozen=True, slots=True)
class Witness:
    """A named private key that cosigns the checkpoints of others."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The key others verify with."""
        return VerifierKey(self.name, self.key.public_key().public_bytes_raw(), COSIGNATURE)

    def cosign(self, text: str, at: datetime) -> str:
        """The signature line that says: at this time I saw this text, and nothing before it moved.

        The time is cut to the second.
        """
        seconds = int(at.timestamp())
        signed = self.key.sign(_witnessed(text.encode(), seconds))
        payload = self.verifier.id + seconds.to_bytes(TIME_BYTES, "big") + signed
        return f"{DASH}{self.name} {_encode(payload)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A verified text and the keys, of those asked for, that signed it.

    `lines` are the verified signature lines, in the order of `signed_by`.
    """

    text: str
    signed_by: tuple[VerifierKey, ...]
    lines: tuple[str, ...]

    def cosigned(self, witness: VerifierKey) -> list[tuple[datetime, str]]:
        """When a witness cosigned, with its lines; empty where it did not."""
        return [
            (EPOCH + timedelta(seconds=int.from_bytes(_payload(line)[4:12], "big")), line)
            for key, line in zip(self.signed_by, self.lines, strict=True)
            if key == witness and key.algorithm == COSIGNATURE
        ]


def sign(text: str, *signers: Signer) -> bytes:
    """The note: text, blank line, one signature line for each signer.

    Raises `Rejected` for a text that is empty, does not end in a newline or holds a control
    character.
    """
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise _bad_note("the text does not end in a newline or holds a control character")
    lines = [
        f"{DASH}{s.name} {_encode(s.verifier.id + s.key.sign(text.encode()))}\n" for s in signers
    ]
    return f"{text}\n{''.join(lines)}".encode()


def verify(note: bytes, keys: Sequence[VerifierKey]) -> Note:
    """The text of a note that at least one of `keys` signed.

    Signatures of other keys are ignored, so that witnesses can add theirs and keys can rotate; a
    wrong signature of a known key refuses the whole note. Raises `Rejected`.
    """
    text, lines = _split(note)
    signed_by: list[VerifierKey] = []
    signatures: list[str] = []
    for line in lines:
        name = line.removeprefix(DASH).partition(" ")[0]
        raw = _payload(line)
        if not line.startswith(DASH) or not name or len(raw) < 5:
            raise _bad_note("a signature line is malformed")
        for key in keys:
            if (key.name, key.id) == (name, raw[:4]):
                if key.algorithm == COSIGNATURE and raw[4:6] != b"\0\0":
                    raise _bad_note("a cosignature is of no time we know")  # beyond year 9999
                if not key.accepts(text, raw[4:]):
                    raise _bad_note("a signature is wrong")
                signed_by.append(key)
                signatures.append(line + "\n")
    if not signed_by:
        raise _bad_note("no key we know signed it")
    return Note(text, tuple(signed_by), tuple(signatures))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree (c2sp.org/tlog-checkpoint); `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text: origin, size, root."""
        return f"{self.origin}\n{self.size}\n{_encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checkpoint's text; extension lines are allowed and ignored. Raises `Rejected`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise _bad_note("a checkpoint has three lines or more, none empty")
        origin, size, root = lines[0], lines[1], _decode(lines[2])
        canonical = size.isascii() and size.isdigit() and len(size) < 20 and str(int(size)) == size
        if not canonical or root is None or len(root) != HASH_BYTES:
            raise _bad_note("its size or root hash is malformed")
        return cls(origin, int(size), root)


def open_checkpoint(note: bytes, origin: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The verified checkpoint of the log named `origin`. Raises `Rejected`.

    A key may sign other notes (receipts): only the origin line makes this one a checkpoint. A key
    that was replaced counts up to the size at which it stopped; a witness alone never counts.
    """
    signed = verify(note, [key for key in keys if key.algorithm == ED25519])
    checkpoint = Checkpoint.parse(signed.text)
    if checkpoint.origin != origin:
        raise _bad_note("it is of another log")
    stops = [key.until for key in signed.signed_by]
    if all(stop is not None and stop < checkpoint.size for stop in stops):
        raise _bad_note("its key had been replaced before the log had that size")
    return checkpoint


def text_of(note: bytes) -> str:
    """The text of a note, not verified. Raises `Rejected` where it is no note."""
    return _split(note)[0]


def _split(note: bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES:
        raise _bad_note("it is too large")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise _bad_note("it is not UTF-8") from error
    if any(c < " " and c != "\n" for c in whole):
        raise _bad_note("it holds a control character")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise _bad_note("it has no signature lines, or the last is cut")
    # `split`, not `splitlines`: only U+000A ends a line of a note.
    return text + "\n", signatures.removesuffix("\n").split("\n")


def _witnessed(text: bytes, seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % seconds + text


def _payload(line: str) -> bytes:
    """The bytes of a signature line: key id and signature; empty where it is malformed."""
    return _decode(line.rstrip("\n").removeprefix(DASH).partition(" ")[2]) or b""


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes | None:
    """Standard base64 in its one canonical spelling, else None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Python accepts stray bits in the last character: two spellings of one signature.
    return raw if _encode(raw) == text else None


def _bad_note(reason: str) -> Rejected:
    return Rejected(
        "note-invalid",
        fr=f"Cette note signée n’est pas valable ({reason}) : ne vous y fiez pas.",
        en=f"This signed note does not hold ({reason}): do not rely on it.",
        who="operator",
        facts={"reason": reason},
    )


def _bad_key(reason: str) -> Rejected:
    return Rejected(
        "key-invalid",
        fr=f"Cette clé de vérification ne peut être lue ({reason}).",
        en=f"This verifier key cannot be read ({reason}).",
        who="operator",
        facts={"reason": reason},
    )

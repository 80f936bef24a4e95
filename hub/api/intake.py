"""What a body is, by its first bytes, held against what its headers say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from hub.errors import Rejected, TooLarge, WrongType

ANY: Final = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})
"""Types that claim nothing; the last is what a client sends that was not told better."""
KINDS: Final = {
    "text/csv": "text",
    "text/plain": "text",
    "application/json": "json",
    "application/geo+json": "json",
    "application/x-ndjson": "json",
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/vnd.apache.parquet": "parquet",
}
MAGIC: Final = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PAR1": "parquet"}
ENOUGH: Final = 512


def checked(body: Iterator[bytes], declared: str, encoding: str = "") -> Iterator[bytes]:
    """Pass a body on if it begins as its declared type does. Raises `WrongType`.

    With a content encoding of gzip the bytes are gzip whatever they hold; they are kept so.
    """
    kind = declared.partition(";")[0].strip().casefold()
    claim = "" if kind in ANY else KINDS.get(kind, "unknown")
    if claim and encoding.strip().casefold() in {"gzip", "x-gzip"}:
        claim = "gzip"
    head = b""
    for chunk in body:
        head += chunk
        if len(head) >= ENOUGH:
            break
    found = sniffed(head)
    if claim and head and claim != found:
        raise WrongType(
            "content-type-mismatch",
            fr="Le contenu n’est pas du type déclaré. Corrigez Content-Type, ou n’en envoyez pas.",
            en="The content is not of the declared type. Correct Content-Type, or send none.",
            who="partner",
            facts={"declared": kind if kind in KINDS else "other", "found": found},
        )
    if head:
        yield head
    yield from body


def sniffed(head: bytes) -> str:
    """What a file is by its first bytes: gzip, zip, parquet, json, text or binary."""
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return "json"
    return "binary" if b"\0" in head else "text"


def decoded(reference: str | None) -> str | None:
    """A reference out of its header. Raises `Rejected`, naming nothing of it."""
    try:
        return None if reference is None else unquote(reference, errors="strict")
    except UnicodeDecodeError:
        raise Rejected(
            "reference-unreadable",
            fr="L’en-tête Hub-Reference n’est pas de l’UTF-8 encodé en pour cent.",
            en="The header Hub-Reference is not percent-encoded UTF-8.",
            who="partner",
        ) from None


def check_length(announced: str | None, limit: int) -> None:
    """Refuse a body that says it is too large before a byte of it is read. Raises `TooLarge`."""
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise TooLarge(
            "file-too-large",
            fr=f"Le fichier dépasse {limit} octets.",
            en=f"The file is larger than {limit} bytes.",
            who="partner",
            facts={"max_bytes": limit},
        )

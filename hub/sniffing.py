"""What a body is, by its first bytes, held against what its sender says it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hub.errors import WrongType

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
    head = b""
    for chunk in body:
        head += chunk
        if len(head) >= ENOUGH:
            break
    check(head, declared, encoding)
    if head:
        yield head
    yield from body


def check(head: bytes, declared: str, encoding: str = "") -> None:
    """Hold the first bytes of a body, `ENOUGH` if it has them, to its type. Raises `WrongType`."""
    kind = declared.partition(";")[0].strip().casefold()
    claim = "" if kind in ANY else KINDS.get(kind, "unknown")
    if claim and encoding.strip().casefold() in {"gzip", "x-gzip"}:
        claim = "gzip"
    found = sniffed(head)
    if claim and head and claim != found:
        raise WrongType(
            "content-type-mismatch",
            fr="Le contenu n’est pas du type déclaré. Corrigez le type, ou n’en déclarez pas.",
            en="The content is not of the declared type. Correct the type, or declare none.",
            who="partner",
            facts={"declared": kind if kind in KINDS else "other", "found": found},
        )


def sniffed(head: bytes) -> str:
    """What a file is by its first bytes: gzip, zip, parquet, json, text or binary."""
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return "json"
    return "binary" if b"\0" in head else "text"

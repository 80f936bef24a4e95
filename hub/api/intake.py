"""What the headers of a push say, before a byte of it is read."""

from __future__ import annotations

from urllib.parse import unquote

from hub.errors import Rejected, TooLarge


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

"""The edge of the command line: parts, output, and errors as exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from hub.errors import HubError, Rejected

if TYPE_CHECKING:
    from hub.parts import Parts

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def opened() -> Iterator[Parts]:
    """The parts of the hub in `HUB_HOME`, for an operator at its console."""
    from hub.main import compose  # the hub itself: what only reads files does without
    from hub.settings import Settings

    parts = compose(Settings(), opens=True)
    try:
        yield parts
    finally:
        parts.books.close()


def given(file: Path) -> bytes:
    """The bytes of a file somebody names, of standard input where it is `-`."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Rejected(
            "file-unreadable",
            fr=f"Le fichier ne peut être lu : {error.strerror}.",
            en=f"The file cannot be read: {error.strerror}.",
            who="person",
        ) from error


def public_key(path: Path) -> dict[str, Any]:
    """A public key (JWK, RFC 7517) from a file. Raises `Rejected` where it is no JSON."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise Rejected(
            "jwk-unreadable",
            fr="La clé publique (JWK, en JSON) ne peut être lue.",
            en="The public key (JWK, in JSON) cannot be read.",
            who="partner",
        ) from error


def say(document: Any, *, as_json: bool, text: str = "") -> None:
    """Print a document as JSON, or its text for a person."""
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        out.print(text or plain(document), markup=False)


def table(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print rows as JSON, or as a table of the named columns."""
    if as_json:
        say(rows, as_json=True)
        return
    drawn = Table(box=None, header_style="bold")
    for place, column in enumerate(columns):
        # Whole, whatever the width: the first names the row, for the next command.
        drawn.add_column(column, overflow="fold", no_wrap=not place)
    for row in rows:
        drawn.add_row(*("" if row.get(c) is None else str(row.get(c)) for c in columns))
    out.print(drawn)


def tell(error: HubError) -> None:
    """One line on the error stream: what is wrong, and who must act."""
    who = {
        "partner": "le partenaire / the partner",
        "person": "vous / you",
        "operator": "l’opérateur / the operator",
        "steward": "l’intendant / the steward",
        "developer": "l’équipe du hub / the hub's team",
    }[error.who]
    err.print(f"✗ {error.words['fr']}", markup=False)
    err.print(f"  {error.words['en']}", markup=False)
    err.print(f"  → {who}  [{error.code}]", markup=False)


def quiet_logs() -> None:
    """Warnings of the hub only, without a library's chatter."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("hub").setLevel(logging.INFO)


def plain(document: Any) -> str:
    """A document as lines of name and value."""
    if isinstance(document, Mapping):
        return "\n".join(f"{key}: {_value(value)}" for key, value in document.items())
    return str(document)


def _value(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)

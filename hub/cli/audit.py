"""`hub audit` and `hub receipt`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import httpx2
import typer
from rich.progress import BarColumn, Progress, TextColumn

from hub.audit import receipts
from hub.audit.log import Log
from hub.audit.notes import VerifierKey
from hub.audit.store import FolderStore, TileStore
from hub.audit.verify import Report, verify
from hub.cli import edge
from hub.errors import NotFound, Rejected, Unavailable
from hub.parts import Parts
from hub.records import LoggedEvent

app = typer.Typer(no_args_is_help=True)
receipts_app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str, typer.Option(help="Verifier key; this hub's own without it.")]
PAGE: Final = 1000


class WebStore:
    """A log read over HTTP, as any web server hosts it. Read only."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=f"{url.rstrip('/')}/", timeout=30)

    def read(self, name: str) -> bytes | None:
        """A file of the log, None where there is none."""
        try:
            answer = self._client.get(name)
        except httpx2.HTTPError as error:
            raise Unavailable(
                "log-unreachable",
                fr="Le journal ne répond pas à cette adresse.",
                en="The log does not answer at this address.",
                who="operator",
            ) from error
        return answer.content if answer.is_success else None

    def write(self, files: Mapping[str, bytes]) -> None:
        """A log elsewhere is not ours to write."""
        raise NotImplementedError

    def names(self, prefix: str = "") -> Iterator[str]:  # noqa: ARG002 - the web lists nothing
        """Nothing: a web server lists no names."""
        return iter(())

    def drop(self, name: str) -> None:
        """A log elsewhere is not ours to write."""
        raise NotImplementedError


@app.command("verify")
def verify_command(
    url: Annotated[str, typer.Option(help="A log on the web, such as …/audit.")] = "",
    tiles: Annotated[Path | None, typer.Option(help="A log in a folder.")] = None,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Verify the log: signature, every tile, and here also every event against its entry."""
    elsewhere: TileStore | None = WebStore(url) if url else FolderStore(tiles) if tiles else None
    if elsewhere and key:
        report = _verified(elsewhere, VerifierKey.parse(key), None)
    else:
        with edge.opened() as parts:
            report = _verified(
                elsewhere or parts.log.store,
                VerifierKey.parse(key) if key else parts.log.signer.verifier,
                None if elsewhere else _events(parts),
            )
    document = {
        "ok": report.ok,
        "size": report.size,
        "root": report.root,
        "problems": list(report.problems),
    }
    told = "\n".join(report.problems) or f"Journal intact, log intact: {report.size}, {report.root}"
    edge.say(document, as_json=as_json, text=told)
    if not report.ok:
        raise typer.Exit(3)


def _verified(
    store: TileStore, verifier: VerifierKey, events: Iterator[LoggedEvent] | None
) -> Report:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=edge.err, transient=True
    ) as progress:
        task = progress.add_task("Vérification / verifying", total=None)
        return verify(
            store, verifier, events, progress=lambda done: progress.update(task, completed=done)
        )


def _events(parts: Parts) -> Iterator[LoggedEvent]:
    """Every event that has a place in the log, a page at a time."""
    after = 0
    while page := parts.books.events(after=after, limit=PAGE):
        yield from (event for event in page if event.index is not None)
        after = page[-1].sequence


@app.command("proof")
def proof(index: int, as_json: Json = False) -> None:
    """The inclusion proof of an entry."""
    with edge.opened() as parts:
        log: Log = parts.log
        if not 0 <= index < log.size:
            raise NotFound(
                "no-such-event",
                fr="Le journal n’a pas d’entrée à cet indice.",
                en="The log has no entry at this index.",
                who="person",
            )
        document = {
            "index": index,
            "size": log.size,
            "hashes": [node.hex() for node in log.inclusion(index)],
            "checkpoint": log.checkpoint().decode(),
        }
        edge.say(document, as_json=as_json)


@receipts_app.command("verify")
def receipt_verify(file: Path, key: Key = "", as_json: Json = False) -> None:
    """Verify a receipt offline, with this hub's key or the one given."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Rejected(
            "file-unreadable",
            fr=f"Le reçu ne peut être lu : {error.strerror}.",
            en=f"The receipt cannot be read: {error.strerror}.",
            who="person",
        ) from error
    if key:
        verifier = VerifierKey.parse(key)
    else:
        with edge.opened() as parts:
            verifier = parts.log.signer.verifier
    facts = dict(receipts.verify(data, [verifier]))
    edge.say({"ok": True, **facts}, as_json=as_json)

"""`hub audit`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from hub.audit import proofs
from hub.audit.log import Log
from hub.audit.notes import VerifierKey
from hub.audit.store import FolderStore, TileStore
from hub.audit.tiles import CHECKPOINT
from hub.audit.verify import Report, verify
from hub.audit.web import WebStore
from hub.cli import edge, events, waiting
from hub.cli.receipts import Json, Key, check_home
from hub.errors import NotFound, Rejected
from hub.parts import Parts
from hub.records import LoggedEvent

app = typer.Typer(no_args_is_help=True)
events.add_to(app)
PAGE: Final = 1000


@app.command("verify")
def verify_command(
    url: Annotated[str, typer.Option(help="A log on the web, such as …/audit.")] = "",
    tiles: Annotated[Path | None, typer.Option(help="A log in a folder.")] = None,
    key: Key = "",
    since: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from earlier: only what came after.")
    ] = None,
    remembered: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from earlier: everything, and that.")
    ] = None,
    remember: Annotated[
        Path | None, typer.Option(help="Where to keep the checkpoint for the next time.")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="Verifier key of a witness that must have cosigned.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the log: signature, every tile, and here also every event against its entry.

    Here the hub's own head is verified, elsewhere the public one.
    """
    witnesses = [VerifierKey.parse(text) for text in witness or []]
    old = since or remembered
    note = edge.given(old) if old is not None else None
    given = [VerifierKey.parse(key)] if key else []
    elsewhere: TileStore | None = WebStore(url) if url else FolderStore(tiles) if tiles else None

    def verified(store: TileStore, keys: list[VerifierKey], parts: Parts | None) -> Report:
        with waiting.counting(waiting.VERIFYING) as told:
            # Read before the walk: what is remembered was verified, whatever comes in meanwhile.
            head = store.read(CHECKPOINT)
            report = verify(
                store,
                keys,
                _events(parts) if parts else None,
                remembered=note,
                only_since=since is not None,
                witnesses=witnesses,
                progress=told,
            )
        if report.ok and remember is not None and head is not None:
            _keep(remember, head)
        return report

    if elsewhere is not None and given:
        report = verified(elsewhere, given, None)
    else:
        if elsewhere is not None:
            check_home()
        with edge.opened() as parts:
            keys = given or parts.log.keys
            if elsewhere is not None:
                report = verified(elsewhere, keys, None)
            else:
                if witnesses:  # only the public copy is cosigned
                    elsewhere = parts.publisher.public
                report = verified(elsewhere or parts.log.store, keys, None if elsewhere else parts)
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


def _keep(file: Path, note: bytes) -> None:
    """Replace what is remembered, whole or not at all."""
    aside = file.with_name(f".{file.name}.new")
    try:
        aside.write_bytes(note)
        aside.replace(file)
    except OSError as error:
        raise Rejected(
            "file-unwritable",
            fr=f"Le point de contrôle ne peut être gardé : {error.strerror}.",
            en=f"The checkpoint cannot be kept: {error.strerror}.",
            who="person",
        ) from error


def _events(parts: Parts) -> Iterator[LoggedEvent]:
    """Every event that has a place in the log, a page at a time."""
    after = 0
    while page := parts.books.events(after=after, limit=PAGE):
        yield from (event for event in page if event.index is not None)
        after = page[-1].sequence


@app.command("proof")
def proof(index: int, as_json: Json = False) -> None:
    """The inclusion proof of an entry, as a `.tlog-proof` file."""
    with edge.opened() as parts:
        parts.sequence()  # what was just recorded has its place then
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
        edge.say(document, as_json=as_json, text=proofs.make(log, index).decode().rstrip())

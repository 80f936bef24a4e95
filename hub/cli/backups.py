"""`hub backup create|list|expire|restore`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hub import backup
from hub.cli import edge, waiting
from hub.errors import Rejected
from hub.main import compose, zones_of
from hub.parts import OPERATOR, utc_now
from hub.settings import Settings
from hub.storage import sealing
from hub.storage.books import Books

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RESTORING: Final = "Vérification, puis lecture / verifying, then reading"
COLUMNS = ("id", "created_at", "expires_at", "size", "sha256")


@app.command("create")
def create(as_json: Json = False) -> None:
    """Make a back-up, sealed for HUB_BACKUP_RECIPIENT."""
    with edge.opened() as parts:
        with waiting.in_bytes() as bars:
            task = bars.add_task("Sauvegarde / back-up", total=None)
            zones = zones_of(parts.settings)
            made = backup.create(parts, OPERATOR, zones, lambda size: bars.advance(task, size))
        edge.say(backup.shown(made), as_json=as_json)


@app.command("list")
def listed(as_json: Json = False) -> None:
    """Back-ups that exist, and until when."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "backup_list"})
        rows: list[Any] = [backup.shown(one) for one in parts.books.backups()]
        edge.table(rows, COLUMNS, as_json=as_json)


@app.command("expire")
def expire(as_json: Json = False) -> None:
    """Destroy back-ups whose time is over, as the worker does every day."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "backup_make"})
        edge.say({"expired": backup.expire(parts)}, as_json=as_json)


@app.command("restore")
def restore(
    file: Path,
    identity: Annotated[Path, typer.Option(help="File with the age identity; - reads it.")],
    withdrawals: Annotated[
        Path | None, typer.Option(help="Folder of back-ups, with the journal of withdrawals.")
    ] = None,
    no_withdrawals: Annotated[
        bool, typer.Option("--no-withdrawals", help="State that nobody has withdrawn since.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a back-up into an empty HUB_HOME; who has withdrawn since does not come back.

    Into an empty database and bucket too, where the settings name them.
    """
    settings = Settings()
    backup.check_home(settings.home, withdrawals, none_since=no_withdrawals)
    try:
        text = sys.stdin.readline() if str(identity) == "-" else identity.read_text("ascii")
        key = sealing.identity_from(text)
        sealed = file.open("rb")
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(
            "file-unreadable",
            fr="La sauvegarde ou l’identité ne peut être lue.",
            en="The back-up or the identity cannot be read.",
            who="operator",
        ) from error
    home = settings.home.absolute()
    beside = home.with_name(f".{home.name}-restoring")
    with sealed, ExitStack() as opened:
        books = None
        if settings.database_url:
            books = Books.open(settings.books_url)
            opened.callback(books.close)
        zones = zones_of(settings) if settings.storage_url else {}
        backup.check_elsewhere(books, zones)
        with waiting.in_bytes() as bars:
            read = bars.wrap_file(sealed, file.stat().st_size, description=RESTORING)
            made = backup.unpack(read, key, beside, utc_now())
        there = {"home": beside, "database_url": "", "storage_url": ""}
        parts = compose(settings.model_copy(update=there), opens=True)
        try:
            journal = None if no_withdrawals else withdrawals
            again = backup.resume(parts, made, journal, key)
            backup.move_out(parts, books, zones)
        finally:
            parts.books.close()
    backup.take_place(beside, home)
    edge.say(backup.shown(made) | {"withdrawals": again}, as_json=as_json)

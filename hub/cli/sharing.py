"""`hub share`: whom releases are shared with over Delta Sharing, and the end of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from hub import recipients
from hub.cli import edge
from hub.errors import Rejected
from hub.records import Role

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
COLUMNS = ("id", "organisation", "role", "purpose", "until", "profile")


@app.command("add")
def add(
    organisation: Annotated[str, typer.Argument(help="Identifier of the organisation.")],
    to: Annotated[Path, typer.Option(help="File the profile is written to; it must be new.")],
    role: Annotated[Role, typer.Option()] = Role.COLLECTIVITY,
    name: Annotated[str, typer.Option(help="Its name, where it is new.")] = "",
    purpose: Annotated[str, typer.Option(help="What it reads for; auditors: oversight.")] = "",
    days: Annotated[int, typer.Option(help="How long the profile holds.")] = 90,
    oauth: Annotated[bool, typer.Option(help="Client id and secret in place of a token.")] = False,
    as_json: Json = False,
) -> None:
    """Admit a recipient and write its profile, which is not kept: whoever holds it may read."""
    asked = recipients.Asked(organisation, role, name, purpose, days)
    with edge.opened() as parts:
        try:
            # Made first, and only for its owner: a profile nobody received would still open.
            file = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise Rejected(
                "profile-file",
                fr="Le fichier du profil ne peut être créé, ou existe déjà.",
                en="The profile's file cannot be made, or is there already.",
                who="operator",
            ) from error
        made = False
        try:
            with os.fdopen(file, "w", encoding="utf-8") as out:
                client, profile = recipients.add(parts, asked, oauth=oauth)
                json.dump(profile, out, indent=2)
            made = True
        finally:
            if not made:
                to.unlink(missing_ok=True)
        edge.say({"id": client.id, "profile": str(to)}, as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Present recipients."""
    with edge.opened() as parts:
        edge.table(recipients.listed(parts), COLUMNS, as_json=as_json)


@app.command("revoke")
def revoke(
    client_id: Annotated[str, typer.Argument(help="Identifier of the recipient.")],
    as_json: Json = False,
) -> None:
    """End a recipient: its tokens, its secret and the links it was given, at once."""
    with edge.opened() as parts:
        recipients.revoke(parts, client_id)
        edge.say({"id": client_id, "revoked": True}, as_json=as_json)

"""`hub request`: what was asked for, and the operator's decisions at the console."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hub import requests
from hub.cli import edge
from hub.parts import OPERATOR, Parts
from hub.records import DataRequest

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(help="Id of the request.")]
Ground = Annotated[str, typer.Option(help=f"One of: {', '.join(requests.GROUNDS)}.")]
COLUMNS = ("id", "organisation", "measure", "purpose", "territory", "days", "state", "expires_at")


@app.command("list")
def list_(
    waiting: Annotated[bool, typer.Option(help="Only those nobody has decided yet.")] = False,
    as_json: Json = False,
) -> None:
    """Requests, newest first."""
    with edge.opened() as parts:
        rows = [requests.shown(one, parts.clock()) for one in requests.listed(parts, OPERATOR)]
        kept = [row for row in rows if not waiting or row["state"] == "submitted"]
        edge.table(kept, COLUMNS, as_json=as_json)


@app.command("show")
def show(request: Id, as_json: Json = False) -> None:
    """One request: what was asked, where it stands, the decision, the officer's opinion."""
    with edge.opened() as parts:
        _say(parts, requests.seen(parts, OPERATOR, request), as_json=as_json)


@app.command("approve")
def approve(request: Id, as_json: Json = False) -> None:
    """Approve one; never one of the hub's own organisation."""
    with edge.opened() as parts:
        made = requests.decide(parts, OPERATOR, request, approved=True)
        _say(parts, made, as_json=as_json)


@app.command("refuse")
def refuse(request: Id, ground: Ground, as_json: Json = False) -> None:
    """Refuse one, and say why."""
    with edge.opened() as parts:
        made = requests.decide(parts, OPERATOR, request, approved=False, ground=ground)
        _say(parts, made, as_json=as_json)


@app.command("revoke")
def revoke(request: Id, ground: Ground, as_json: Json = False) -> None:
    """Take an approval back, at once, and say why."""
    with edge.opened() as parts:
        _say(parts, requests.move(parts, OPERATOR, request, "revoke", ground), as_json=as_json)


def _say(parts: Parts, request: DataRequest, *, as_json: bool) -> None:
    said: dict[str, Any] = requests.shown(request, parts.clock())
    edge.say(said, as_json=as_json)

"""`hub policy`: the decisions of the log put again, to these policies or to new ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli import edge
from hub.parts import OPERATOR
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.replay import replay
from hub.storage.books import Search

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def policies() -> None:
    """The access policies."""


@app.command("replay")
def replay_command(
    folder: Annotated[
        Path | None, typer.Option("--policies", help="New policies, before they are deployed.")
    ] = None,
    since: Annotated[str, typer.Option(help="An ISO 8601 day or instant, UTC.")] = "",
    as_json: Json = False,
) -> None:
    """Put each decision again; fails (5) where one comes out otherwise."""
    try:
        at = datetime.fromisoformat(since).replace(tzinfo=UTC) if since else None
    except ValueError as error:
        raise typer.BadParameter("not an ISO 8601 day or instant", param_hint="--since") from error
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "policy_replay"})
        made = replay(parts, EmbeddedGate(folder or POLICIES), Search(since=at))
        shown: dict[str, Any] = made.as_json()
        edge.say(shown, as_json=as_json)
    if not made.same:
        raise typer.Exit(5)

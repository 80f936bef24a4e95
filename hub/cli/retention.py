"""`hub retention run`: let go what has been kept for as long as it may be."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hub import retention, worker
from hub.cli import edge, waiting
from hub.parts import OPERATOR

app = typer.Typer(no_args_is_help=True)
STEPS: Final = {
    "rows": "lignes / rows",
    "keys": "clés / keys",
    "proofs": "preuves et corps du journal / proofs and bodies of the log",
    "gathering": "rangement des tables / gathering tables",
}
COLUMNS = ("kind", "name", "period", "count", "reason", "due")


@app.callback()
def group() -> None:
    """A group, so that its one command keeps its name."""


@app.command("run")
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let go whatever has been kept for its time, as the worker does every day.

    `--dry-run` says the same before. A sealed file whose time is over waits for the worker.
    """
    with edge.opened() as parts:
        action = "retention_show" if dry_run else "retention_run"
        parts.require("admin", OPERATOR, {"action": action})
        if dry_run:
            found = retention.due(parts)
        else:
            with waiting.stepping(STEPS) as told:
                found = worker.keep(parts, parts.clock(), told)
        edge.table([one.shown() for one in found], COLUMNS, as_json=as_json)

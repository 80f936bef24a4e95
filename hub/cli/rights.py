"""`hub rights`: the register of what people claimed, at the data-protection officer's side."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hub import rights
from hub.cli import edge
from hub.parts import OPERATOR

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
COLUMNS = ("id", "kind", "concerns", "opened_by", "state", "due_at", "late", "ground")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Cases, the most urgent first."""
    with edge.opened() as parts:
        rows = [rights.shown(case, parts.clock()) for case in rights.register(parts, OPERATOR)]
        edge.table(rows, COLUMNS, as_json=as_json)


@app.command("open")
def open_(
    kind: Annotated[str, typer.Argument(help=", ".join(rights.KINDS))],
    concerns: Annotated[str, typer.Option(help=", ".join(rights.CONCERNS))] = "everything",
    code: Annotated[
        bool, typer.Option("--code", help="Read the person's participation code, from stdin.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Open a case; one month to answer starts today.

    With the person's code, restriction and rectification hold their rows until it is answered.
    """
    typed = sys.stdin.readline() if code else ""
    with edge.opened() as parts:
        case = rights.open_for(parts, OPERATOR, kind, concerns, typed)
        parts.sequence()
        edge.say(rights.shown(case, parts.clock()), as_json=as_json)


@app.command("extend")
def extend(
    case_id: str,
    reason: Annotated[str, typer.Option(help=", ".join(rights.EXTENSIONS))],
    as_json: Json = False,
) -> None:
    """Take two more months, within the first one."""
    with edge.opened() as parts:
        case = rights.extend(parts, OPERATOR, case_id, reason)
        parts.sequence()
        edge.say(rights.shown(case, parts.clock()), as_json=as_json)


@app.command("close")
def close(
    case_id: str,
    answer: Annotated[str, typer.Option(help=", ".join(rights.ANSWERS))] = "done",
    ground: Annotated[str, typer.Option(help=", ".join(rights.GROUNDS))] = "",
    as_json: Json = False,
) -> None:
    """Answer a case."""
    with edge.opened() as parts:
        case = rights.close(parts, OPERATOR, case_id, answer, ground)
        parts.sequence()
        edge.say(rights.shown(case, parts.clock()), as_json=as_json)

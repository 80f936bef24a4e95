"""`hub agreement`: versions proposed, signed for the hub's side, and ended."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from hub import agreements
from hub.cli import edge
from hub.errors import Rejected
from hub.parts import OPERATOR

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[int, typer.Argument(help="Number of the version.")]
COLUMNS = ("number", "partner", "dataset", "purpose", "basis", "signatures", "ended_at")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every version, oldest first, and who signed it."""
    with edge.opened() as parts:
        rows: list[Any] = [agreements.shown(one) for one in agreements.versions(parts, OPERATOR)]
        if not as_json:
            rows = [row | {"signatures": ", ".join(row["signatures"])} for row in rows]
        edge.table(rows, COLUMNS, as_json=as_json)


@app.command("show")
def show(
    number: Number,
    odrl: Annotated[bool, typer.Option(help="As linked data (W3C ODRL).")] = False,
) -> None:
    """One version, as JSON."""
    with edge.opened() as parts:
        found = agreements.version(parts, OPERATOR, number)
        said = agreements.odrl(parts, found) if odrl else agreements.shown(found)
        edge.say(said, as_json=True)


@app.command("propose")
def propose(
    file: Annotated[Path, typer.Argument(help="TOML: the keys of one [[agreements]] entry.")],
    as_json: Json = False,
) -> None:
    """Put a version forward; it is in force once both sides have signed."""
    try:
        asked = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Rejected(
            "agreement-unreadable",
            fr="Le fichier de la convention (TOML, UTF-8) ne peut être lu.",
            en="The agreement's file (TOML, UTF-8) cannot be read.",
            who="operator",
        ) from error
    with edge.opened() as parts:
        edge.say(agreements.shown(agreements.propose(parts, OPERATOR, asked)), as_json=as_json)


@app.command("sign")
def sign(number: Number, as_json: Json = False) -> None:
    """Sign for the hub's side; the partner signs for its own."""
    with edge.opened() as parts:
        edge.say(agreements.shown(agreements.sign(parts, OPERATOR, number)), as_json=as_json)


@app.command("end")
def end(number: Number, as_json: Json = False) -> None:
    """End it for the hub's side; the next push is refused."""
    with edge.opened() as parts:
        edge.say(agreements.shown(agreements.end(parts, OPERATOR, number)), as_json=as_json)

"""`hub release`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from analytics import measures
from hub import release
from hub.cli import edge, waiting
from hub.parts import OPERATOR, Parts
from hub.records import Release
from hub.shelf import Shelf

app = typer.Typer(no_args_is_help=True)
OVERSIGHT: Final = "oversight"
"""What the operator reads for at the console: a restricted release needs a purpose."""
STEPS: Final = {
    "opening": "ouverture / opening",
    "measuring": "calcul / measuring",
    "protecting": "protection et attaque / protecting and attacking",
    "publishing": "publication / publishing",
}
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("build")
def build(
    measure: Annotated[str | None, typer.Argument(help="One measure; all without it.")] = None,
    as_json: Json = False,
) -> None:
    """Build releases: measured, protected, attacked, approved, published."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "release_build"})
        made = []
        names = [measure] if measure else list(measures.MEASURES)
        for name in names:
            with waiting.stepping(STEPS, name) as told:
                made.append(release.build(parts, name, told))
        rows = [{**_row(item), "new": new} for item, new in made]
        edge.table(rows, ("id", "published_at", "log_index", "new"), as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Published releases."""
    with edge.opened() as parts:
        rows = [
            _row(item)
            for item in parts.books.releases()
            if release.readable(parts, item, OPERATOR, OVERSIGHT)
        ]
        edge.table(rows, ("id", "measure", "period", "published_at", "log_index"), as_json=as_json)


@app.command("show")
def show(release_id: str, as_json: Json = False) -> None:
    """The manifest of a release."""
    with edge.opened() as parts:
        edge.say(dict(_readable(parts, release_id).manifest), as_json=as_json)


@app.command("get")
def get(
    release_id: str,
    format: Annotated[str, typer.Option(help="csv, json, parquet, geojson")] = "csv",  # noqa: A002 - its name in the interface
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
) -> None:
    """Write the published table to a file or to standard output; the reading is recorded."""
    with edge.opened() as parts:
        shelf = Shelf(parts)
        data, _ = shelf.read(OPERATOR, shelf.release(release_id), format, OVERSIGHT)
    if output is not None:
        output.write_bytes(data)
    else:
        typer.echo(data, nl=False)


@app.command("receipt")
def receipt(release_id: str) -> None:
    """The signed receipt of a release, with its proof."""
    with edge.opened() as parts:
        typer.echo(release.receipt(parts, _readable(parts, release_id)), nl=False)


def _readable(parts: Parts, release_id: str) -> Release:
    """A release, once the policy lets the operator read it."""
    found = Shelf(parts).release(release_id)
    parts.require("release_read", OPERATOR, release.question(parts, found, OVERSIGHT))
    return found


def _row(item: Release) -> dict[str, Any]:
    return {
        "id": item.id,
        "measure": item.measure,
        "period": item.period,
        "version": item.version,
        "digest": item.digest,
        "published_at": item.published_at.isoformat(),
        "log_index": item.log_index,
    }

"""`hub audit events` and `hub audit reconcile`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hub import lookup
from hub.cli import edge, waiting
from hub.errors import Rejected
from hub.identity.sessions import Sessions
from hub.lookup import Question
from hub.parts import OPERATOR, Actor, Parts
from hub.reconcile import reconcile

PARTS: Final = {
    "log": "journal / log",
    "books": "livres / books",
    "quarantine": "lignes mises de côté / rows set aside",
    "vault": "coffre / vault",
    "jobs": "tâches / jobs",
    "tables": "tables",
    "releases": "publications / releases",
}
"""What is compared with the log, in order."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to `hub audit`."""
    app.command("events")(events_command)
    app.command("reconcile")(reconcile_command)


def events_command(
    login: Annotated[
        str,
        typer.Option(help="Account of a dpo or auditor; asks its password, or HUB_PASSWORD."),
    ] = "",
    kind: Annotated[str | None, typer.Option(help="push.stored, consent.withdrawn…")] = None,
    outcome: Annotated[str | None, typer.Option(help="done or refused.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Who did it, or whose partner.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Such as orange/presence.")] = None,
    purpose: Annotated[str | None, typer.Option()] = None,
    about: Annotated[
        str | None, typer.Option(help="A push, grant, withdrawal, release, account.")
    ] = None,
    code: Annotated[
        bool, typer.Option(help="About a participation code; asks it, or HUB_CODE.")
    ] = False,
    since: Annotated[str | None, typer.Option(help="A day or an instant, included.")] = None,
    until: Annotated[str | None, typer.Option(help="A day, included, or an instant.")] = None,
    after: Annotated[
        int, typer.Option(min=0, max=lookup.LARGEST - 1, help="Sequence to go on from.")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    csv: Annotated[Path | None, typer.Option(help="Write all, with proofs, to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Search events, as a dpo or an auditor; the look is itself an event."""
    with edge.opened() as parts:
        actor = _reader(parts, login)
        if code:
            parts.require("audit_read", actor, {})
            typed = os.environ.get("HUB_CODE") or typer.prompt("Code", hide_input=True, err=True)
            about = lookup.code_id(parts, typed)
        asked = Question(kind, outcome, organisation, dataset, purpose, about, since, until)
        if csv is not None:
            _write(csv, parts, actor, asked)
            return
        found = lookup.look(parts, actor, asked, after, limit)
        rows: list[Any] = [lookup.shown(event) for event in found.events]
        if not as_json:
            rows = [{**row, **row["event"]} for row in rows]
        columns = ("sequence", "index", "at", "kind", "actor", "about")
        edge.table(rows, columns, as_json=as_json)
        if found.after is not None:
            edge.err.print(f"… --after {found.after}", markup=False)


def _reader(parts: Parts, login: str) -> Actor:
    """Who reads. The operator's console is not the DPO: the policy says no without a login."""
    if not login:
        return OPERATOR
    password = os.environ.get("HUB_PASSWORD") or typer.prompt(
        "Mot de passe / password", hide_input=True, err=True
    )
    people = Sessions(parts.books, parts.clock)
    token = people.login(login, password)
    account = people.who(token)
    people.logout(token)
    assert account is not None
    return Actor.of(account)


def _write(path: Path, parts: Parts, actor: Actor, asked: Question) -> None:
    pieces = lookup.table(parts, actor, asked)
    if str(path) == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise Rejected(
            "file-unwritable",
            fr=f"Le fichier ne peut être écrit : {error.strerror}.",
            en=f"The file cannot be written: {error.strerror}.",
            who="person",
        ) from error


def reconcile_command(as_json: Json = False) -> None:
    """Compare books, tables, releases and vault with the log; name whatever does not fit."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "audit_reconcile"})
        with waiting.stepping(PARTS) as begun:
            report = reconcile(parts, begun)
        checked = ", ".join(f"{name} {count}" for name, count in report.checked.items())
        told = "\n".join(map(str, report.problems)) or f"Tout concorde, all agrees: {checked}"
        edge.say(report.shown(), as_json=as_json, text=told)
    if not report.ok:
        raise typer.Exit(3)

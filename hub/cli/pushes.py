"""`hub push`, `hub pushes`, `hub quarantine`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress, TaskID

from connectors.report import Finding, written
from hub import progress, pull, push, quarantine
from hub.cli import edge, waiting
from hub.cli.partners import Reference, named
from hub.cli.remote import Remote, Say, part
from hub.errors import Rejected
from hub.parts import OPERATOR, Parts
from hub.records import Push, PushState

STAGES: Final = {
    "waiting": "en attente / waiting",
    "receiving": "envoi / receiving",
    "assembling": "assemblage / assembling",
    "opening": "ouverture / opening",
    "reading": "lecture / reading",
    "recording": "enregistrement / recording",
    "logging": "journal / log",
    "done": "terminé / done",
}
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
quarantine_app = typer.Typer(no_args_is_help=True)


def saying(bars: Progress, task: TaskID, name: str, size: int) -> Say:
    """Move the bar of a push of so many bytes as far as the push is."""

    def say(state: Mapping[str, Any]) -> None:
        bars.update(
            task,
            description=f"{name} · {STAGES.get(state['stage'], '')}",
            completed=size * state["percentage"] // 100,
        )

    return say


def push_command(
    file: Annotated[Path, typer.Argument(help="The partner's file, in its published layout.")],
    partner: Annotated[str, typer.Option(help="region, orange, transdev, coachco2…")],
    dataset: Annotated[str, typer.Option(help="Name of the dataset, as in the catalogue.")],
    key: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
    reference: Reference = None,
    server: Annotated[
        str | None,
        typer.Option(help="A hub's address; credentials in HUB_CLIENT_ID and HUB_CLIENT_SECRET."),
    ] = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Also write the signed receipt to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Push a file, wait, and print what became of it and the signed receipt.

    To a server, a large file goes in pieces: the same command goes on where a cut one stopped.
    """
    reference = reference or named(file, partner, dataset)
    try:
        size = file.stat().st_size
        with waiting.in_bytes() as progress:
            task = progress.add_task(f"{partner}/{dataset}", total=size)

            def sent(there: int) -> None:
                progress.update(task, completed=there)

            say = saying(progress, task, f"{partner}/{dataset}", size)

            if server:
                with Remote(server) as hub:
                    shown = hub.push(partner, dataset, file, key=key, reference=reference,
                                     sent=sent, say=say)  # fmt: skip
                    note = hub.receipt(shown["id"]) if shown["log_index"] is not None else b""
            else:
                body = part(file, 0, size, sent)
                shown, note = _push_here(partner, dataset, body, key, say, reference)
    except OSError as error:
        raise Rejected(
            "file-unreadable",
            fr=f"Le fichier ne peut être lu : {error.strerror}.",
            en=f"The file cannot be read: {error.strerror}.",
            who="partner",
        ) from error
    if receipt is not None:
        receipt.write_bytes(note)
    edge.say(shown, as_json=as_json, text=f"{text_of(shown)}\n\n{note.decode()}")
    if shown["state"] == PushState.REFUSED:
        problem = shown["problem"]
        raise Rejected(problem["code"], fr=problem["fr"], en=problem["en"], who="partner",
                       where=problem["where"])  # fmt: skip


def text_of(shown: Mapping[str, Any]) -> str:
    """A push for a person: its facts, then what was wrong, in French and in English."""
    facts = {key: value for key, value in shown.items() if key != "findings"}
    findings = [Finding.told(each) for each in shown.get("findings", ())]
    told = [written(findings, language) for language in ("fr", "en")] if findings else []
    return "\n".join([edge.plain(facts), *told])


def _push_here(
    partner: str,
    dataset: str,
    body: Iterator[bytes],
    key: str | None,
    say: Say,
    reference: str | None,
) -> tuple[dict[str, Any], bytes]:
    """Accept and process with the parts of `HUB_HOME`. Returns the push and its receipt."""
    with edge.opened() as parts:
        made, _ = push.accept(parts, OPERATOR, partner, dataset, body, key, reference)
        done = finish(parts, made.id, say)
        return push.shown(done, operator=True), push.receipt(parts, done)


def finish(parts: Parts, push_id: str, say: Say) -> Push:
    """Work, or wait for a worker that does, until a push is finished; `say` is told meanwhile."""

    def told() -> Push:
        made = parts.books.push(push_id)
        if made is None:
            raise push.unknown_push()
        say(progress.told(parts, made))
        return made

    return waiting.finished(parts, told, lambda made: made.state is PushState.ACCEPTED)


def pull_command(
    dataset: Annotated[
        str | None, typer.Argument(help="partner/dataset; all that have an address without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch datasets from their addresses in the territory file, if they changed, and push them."""
    with edge.opened() as parts:
        names = [dataset] if dataset else [terms.dataset for terms in parts.territory.pulls]
        rows = []
        with waiting.in_bytes() as progress:
            for name in names:
                task = progress.add_task(name, total=None)
                made = pull.fetch(parts, name)
                if made is None:
                    rows.append({"dataset": name, "outcome": "unchanged", "push": None})
                else:
                    progress.update(task, total=made.file_bytes)
                    say = saying(progress, task, name, made.file_bytes)
                    done = finish(parts, made.id, say)
                    rows.append({"dataset": name, "outcome": str(done.state), "push": done.id})
                progress.remove_task(task)
        edge.table(rows, ("dataset", "outcome", "push"), as_json=as_json)


def pushes_command(
    push_id: Annotated[str | None, typer.Argument(help="One push; all without it.")] = None,
    as_json: Json = False,
) -> None:
    """List pushes, or show one."""
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "push_list"})
        if push_id is None:
            rows = [push.shown(made, operator=True) for made in parts.books.pushes(limit=1000)]
            columns = ("id", "partner", "dataset", "state", "received", "valid", "rejected", "kept")
            edge.table(rows, columns, as_json=as_json)
            return
        made = parts.books.push(push_id)
        if made is None:
            raise push.unknown_push()
        shown = push.shown(made, operator=True)
        edge.say(shown, as_json=as_json, text=text_of(shown))


@quarantine_app.command("list")
def quarantine_list(
    push_id: Annotated[str | None, typer.Option("--push")] = None,
    partner: Annotated[str | None, typer.Option()] = None,
    reason: Annotated[str | None, typer.Option(help="A reason's code.")] = None,
    as_json: Json = False,
) -> None:
    """Rows set aside: position, column and reason; never content."""
    with edge.opened() as parts:
        rows = [
            {
                "push": row.push,
                "position": row.position,
                "code": row.code,
                "column": row.column,
                "until": row.until.isoformat() if row.until else None,
                "sealed": row.sealed is not None,
            }
            for row in quarantine.listed(parts, OPERATOR, push_id, partner, reason)
        ]
        columns = ("push", "position", "code", "column", "until", "sealed")
        edge.table(rows, columns, as_json=as_json)


@quarantine_app.command("show")
def quarantine_show(
    push_id: Annotated[str, typer.Argument(help="The push whose rows were set aside.")],
    position: Annotated[int | None, typer.Argument(help="One row; all without it.")] = None,
    as_json: Json = False,
) -> None:
    """Where and why, with the shape of each row (letters as a, digits as 9); never content."""
    with edge.opened() as parts:
        rows = quarantine.show(parts, OPERATOR, push_id, position)
        columns = ("position", "code", "column", "fr", "en", "until", "pattern")
        edge.table(rows, columns, as_json=as_json)


@quarantine_app.command("replay")
def quarantine_replay(
    push_id: Annotated[str, typer.Argument(help="The push whose rows are read again.")],
    as_json: Json = False,
) -> None:
    """Read set-aside rows again, after a connector was mended; good ones enter the table."""
    with edge.opened() as parts:
        edge.say(quarantine.replay(parts, OPERATOR, push_id).shown(), as_json=as_json)


@quarantine_app.command("drop")
def quarantine_drop(
    push_id: Annotated[str, typer.Argument(help="The push whose rows are destroyed.")],
    as_json: Json = False,
) -> None:
    """Destroy the rows set aside of one push."""
    with edge.opened() as parts:
        dropped = quarantine.drop(parts, OPERATOR, push_id)
        edge.say({"push": push_id, "dropped": dropped}, as_json=as_json)

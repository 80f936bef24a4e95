"""`hub demo`: the demo territory, pushed through the front door, and its releases.

The partners' files are written beside the hub's home, not in it: they are the partners'.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from analytics import measures
from hub import consents, demo, release, withdraw
from hub.cli import edge
from hub.cli.operate import Serving, add_partner, add_user
from hub.cli.remote import Remote
from hub.main import compose
from hub.parts import OPERATOR, Parts
from hub.records import Role
from hub.settings import Settings

ACCOUNTS: Final = (("dpo", Role.DPO, "region"), ("intendant", Role.STEWARD, "region"))


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("demo")(demo_command)


def demo_command(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve when built.")] = True,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 2026,
    scale: Annotated[float, typer.Option(help="Multiplies people and taps.")] = 1.0,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Any free one with --no-serve.")] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON at the end.")] = False,
) -> None:
    """Build the demo territory in HUB_HOME and serve it."""
    settings = Settings()
    parts = compose(settings, opens=True)
    try:
        built = parts.books.latest_release("modal-split") is not None
        summary: dict[str, Any] = {}
        with Serving(host, port if serve else 0) as serving:
            if not built:
                summary = _build(parts, serving.url, seed, scale)
            edge.say(summary | {"url": serving.url}, as_json=as_json, text=_told(summary, serving))
            if serve:
                serving.wait()
    finally:
        parts.books.close()


def _build(parts: Parts, url: str, seed: int, scale: float) -> dict[str, Any]:
    home = parts.settings.home
    folder = home.parent / f"{home.name}-partners"
    with _steps() as progress:
        task = progress.add_task("Fichiers des partenaires / partners' files", total=None)

        def made(label: str, done: int, total: int) -> None:
            progress.update(task, description=label, completed=done, total=total)

        territory = demo.generate(folder, seed=seed, scale=scale, progress=made)
        progress.update(task, description="Fichiers écrits / files written", completed=1, total=1)
    credentials: dict[str, tuple[str, str]] = {}
    for terms in parts.territory.partners:
        client, secret = add_partner(parts, terms.id)
        credentials[terms.id] = (client.id, secret)
    passwords: dict[str, str] = {}
    for login, role, organisation in ACCOUNTS:
        passwords[login] = parts.token(6)
        add_user(parts, login, role, organisation, passwords[login])
    given = consents.import_file(parts, OPERATOR, "coachco2", territory.grants)
    objections = _object(parts, territory.objections)
    pushed = [_push(url, credentials[file.partner], file) for file in territory.files]
    with _steps() as progress:
        task = progress.add_task("Publications / releases", total=len(measures.MEASURES))
        releases = []
        for name in measures.MEASURES:
            progress.update(task, description=f"Publication / release : {name}")
            releases.append(release.build(parts, name)[0].id)
            progress.advance(task)
    return {
        "partners": str(folder),
        "grants": given,
        "objections": objections,
        "pushes": pushed,
        "releases": releases,
        "clients": {k: {"id": v[0], "secret": v[1]} for k, v in credentials.items()},
        "accounts": passwords,
    }


def _push(url: str, credentials: tuple[str, str], file: demo.DemoFile) -> dict[str, Any]:
    state = file.path.parent / ".uploads"
    with _steps() as progress, Remote(url, *credentials, state=state) as remote:
        # One step more than the file has bytes: the bar is full when the push is processed.
        task = progress.add_task(
            f"{file.partner}/{file.dataset} — {file.label}", total=file.path.stat().st_size + 1
        )

        def sent(there: int) -> None:
            progress.update(task, completed=there)

        key = f"demo-{file.path.name}"
        shown = remote.push(file.partner, file.dataset, file.path, key=key, sent=sent)
        progress.advance(task)
        return shown


def _object(parts: Parts, path: Path) -> int:
    """Record the objections of the demo; their rows are not there yet, so nothing is rewritten."""
    with path.open(encoding="utf-8", newline="") as stream:
        references = [row["reference"] for row in csv.DictReader(stream, delimiter=";")]
    for reference in references:
        subject = consents.digest_of(parts, "transdev", reference)
        withdraw.withdraw(parts, OPERATOR, "transdev", subject, via="cli")
    return len(references)


def _steps() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=edge.err,
    )


def _told(summary: dict[str, Any], serving: Serving) -> str:
    lines = []
    if summary:
        lines += [f"Dépôts / pushes : {len(summary['pushes'])}"]
        lines += [
            f"  {p['partner']}/{p['dataset']:<16} {p['state']:<8} "
            f"reçus {p['received']:>7}  valides {p['valid']:>7}  écartés {p['rejected']:>5}"
            for p in summary["pushes"]
        ]
        lines += [f"Publications / releases : {', '.join(summary['releases'])}"]
        lines += ["Comptes / accounts (montrés une fois, shown once) :"]
        lines += [f"  {login:<10} {word}" for login, word in summary["accounts"].items()]
        lines += ["Clients OAuth 2 :"]
        lines += [f"  {c['id']:<20} {c['secret']}" for c in summary["clients"].values()]
        lines += [f"Fichiers des partenaires / partners' files : {summary['partners']}"]
    lines += [
        f"Indicateurs / indicators : {serving.url}/indicators",
        f"Carte / map : {serving.url}/map",
    ]
    return "\n".join(lines)

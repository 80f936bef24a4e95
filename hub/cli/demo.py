"""`hub demo`: the demo territory, pushed through the front door, and its releases.

1. The home must be empty, or a demo's: its mark says which, and whether it was finished.
2. The partners' files are written beside the home, not in it: they are the partners'.
3. What an interrupted demo left in the home is removed, so that it begins anew. Only now: a worker
   that outlived it has seen by then that it is alone, and ended.
4. Clients, accounts, consents and objections; every file through the front door; the releases.
5. The mark says that all of it is there: from now on the same command only serves it.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from analytics import measures
from hub import consents, demo, participation, release, withdraw
from hub.cli import edge
from hub.cli.operate import add_partner, add_user
from hub.cli.remote import Remote
from hub.cli.serving import Serving
from hub.errors import Conflict, HubError
from hub.main import compose
from hub.participation import Handed
from hub.parts import OPERATOR, Parts
from hub.records import PushState, Role
from hub.settings import Settings

MARK: Final = "demo.json"
ACCOUNTS: Final = (("dpo", Role.DPO, "region"), ("intendant", Role.STEWARD, "region"))


def demo_command(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve when built.")] = True,
    seed: Annotated[int | None, typer.Option(help="Same seed, same files. [2026]")] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.01, help="Multiplies people and taps. [1]")
    ] = None,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Any free one with --no-serve.")] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON at the end.")] = False,
) -> None:
    """Build the demo territory in HUB_HOME and serve it."""
    settings = Settings()
    mark = _begun(settings.home, seed, scale)  # 1
    territory = None if mark.built else _files(_partners(settings.home), mark)  # 2
    if territory and (settings.home / MARK).exists():
        shutil.rmtree(settings.home)  # 3
    if territory:
        mark.write(settings.home)
    parts = compose(settings, opens=True)
    try:
        with Serving(host, port if serve else 0) as serving:
            summary = _build(parts, serving.url, territory) if territory else {}  # 4
            msgspec.structs.replace(mark, built=True).write(settings.home)  # 5
            told = _told(summary, serving.url if serve else "")
            edge.say(summary | {"url": serving.url}, as_json=as_json, text=told)
            if serve:
                serving.wait()
    finally:
        parts.books.close()


class _Mark(msgspec.Struct, frozen=True):
    """What a home says of the demo in it."""

    seed: int
    scale: float
    built: bool = False

    def write(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        beside = home / f"{MARK}.new"
        beside.write_bytes(msgspec.json.encode(self))
        beside.replace(home / MARK)


def _begun(home: Path, seed: int | None, scale: float | None) -> _Mark:
    """The demo of a home, or the one to build there. Raises `Conflict` where neither can be."""
    try:
        mark = msgspec.json.decode((home / MARK).read_bytes(), type=_Mark)
    except FileNotFoundError:
        # Keys may be there before: they are whose the hub will be.
        if home.exists() and {path.name for path in home.iterdir()} - {"keys"}:
            raise Conflict(
                "home-not-empty",
                fr=f"{home} n’est pas vide et ne contient pas de démonstration : indiquez dans "
                "HUB_HOME un autre dossier.",
                en=f"{home} is not empty and holds no demo: name another folder in HUB_HOME.",
                who="operator",
                where=str(home),
            ) from None
        return _Mark(2026 if seed is None else seed, 1.0 if scale is None else scale)
    if (seed, scale) not in {(s, x) for s in (None, mark.seed) for x in (None, mark.scale)}:
        raise Conflict(
            "demo-of-another-seed",
            fr=f"{home} contient la démonstration --seed {mark.seed} --scale {mark.scale} : "
            "supprimez ce dossier, ou indiquez-en un autre dans HUB_HOME.",
            en=f"{home} holds the demo --seed {mark.seed} --scale {mark.scale}: "
            "remove this folder, or name another in HUB_HOME.",
            who="operator",
            where=str(home),
        )
    return mark


def _partners(home: Path) -> Path:
    return home.parent / f"{home.name}-partners"


def _files(folder: Path, mark: _Mark) -> demo.Demo:
    with _steps() as progress:
        task = progress.add_task("Fichiers des partenaires / partners' files", total=None)

        def made(label: str, done: int, total: int) -> None:
            progress.update(task, description=label, completed=done, total=total)

        territory = demo.generate(folder, seed=mark.seed, scale=mark.scale, progress=made)
        progress.update(task, description="Fichiers écrits / files written", completed=1, total=1)
    return territory


def _build(parts: Parts, url: str, territory: demo.Demo) -> dict[str, Any]:
    credentials: dict[str, tuple[str, str]] = {}
    for terms in parts.territory.partners:
        client, secret = add_partner(parts, terms.id)
        credentials[terms.id] = (client.id, secret)
    passwords: dict[str, str] = {}
    for login, role, organisation in ACCOUNTS:
        passwords[login] = parts.token(6)
        add_user(parts, login, role, organisation, passwords[login])
    given = consents.import_file(parts, OPERATOR, "coachco2", territory.grants)
    participant = _participant(parts, territory.grants)
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
        "partners": str(territory.folder),
        "grants": given,
        "objections": objections,
        "pushes": pushed,
        "releases": releases,
        "clients": {k: {"id": v[0], "secret": v[1]} for k, v in credentials.items()},
        "accounts": passwords,
        "participant": {"code": participant.code, "secret": participant.secret},
    }


def _participant(parts: Parts, grants: Path) -> Handed:
    """Code and secret of somebody who said yes, for a look at one's own page."""
    with grants.open(encoding="utf-8", newline="") as stream:
        said_yes = next(
            row for row in csv.DictReader(stream, delimiter=";") if row["state"] == "given"
        )
    subject = consents.digest_of(parts, "coachco2", said_yes["reference"])
    (grant,) = parts.books.grants_of(subject)
    return participation.again(parts, OPERATOR, grant)[0]


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
    if shown["state"] != PushState.STORED:
        raise HubError(
            "demo-refused",
            fr=f"Le hub a refusé un fichier de sa démonstration : {file.path.name}.",
            en=f"The hub refused a file of its own demo: {file.path.name}.",
            who="developer",
            where=file.path.name,
        )
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


def _told(summary: dict[str, Any], url: str) -> str:
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
        mine = summary["participant"]
        lines += ["Un participant / a participant (« Mon accord », “My consent”) :"]
        lines += [f"  code {mine['code']}  mot secret / secret {mine['secret']}"]
        lines += ["Clients OAuth 2 :"]
        lines += [f"  {c['id']:<20} {c['secret']}" for c in summary["clients"].values()]
        lines += [f"Fichiers des partenaires / partners' files : {summary['partners']}"]
    if not url:
        return "\n".join([*lines, "Pour servir / to serve it: hub serve"])
    lines += [
        f"Indicateurs / indicators : {url}/indicators",
        f"Carte / map : {url}/map",
        f"Mon accord / my consent : {url}/my-consent",
        f"Contrôle / oversight (dpo) : {url}/dpo",
    ]
    return "\n".join(lines)

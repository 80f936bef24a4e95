"""`hub policy`: the decisions of the log put again, to these policies or to new ones."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli import edge, waiting
from hub.errors import Unavailable
from hub.parts import OPERATOR
from hub.policy.decisions import policy_sources
from hub.policy.gate import POLICIES, EmbeddedGate
from hub.policy.module import make_module, read_manifest, write_module
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
    """Put each decision again; fails (5) where one comes out otherwise.

    The interpreter answers, by the policies' text: not the compiled module that decided.
    """
    try:
        at = datetime.fromisoformat(since).replace(tzinfo=UTC) if since else None
    except ValueError as error:
        raise typer.BadParameter("not an ISO 8601 day or instant", param_hint="--since") from error
    with edge.opened() as parts:
        parts.require("admin", OPERATOR, {"action": "policy_replay"})
        gate = EmbeddedGate(folder or POLICIES, by_text=True)
        with waiting.counting("Décisions / decisions") as told:
            made = replay(parts, gate, Search(since=at), lambda done: told(done, None))
        shown: dict[str, Any] = made.as_json()
        edge.say(shown, as_json=as_json)
    if not made.same:
        raise typer.Exit(5)


@app.command("compile")
def compile_command(
    folder: Annotated[
        Path, typer.Option("--policies", help="The policies, by default this hub's.")
    ] = POLICIES,
    opa: Annotated[str, typer.Option(help="OPA's program, which compiles.")] = "opa",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail (5) where it would change.")
    ] = False,
) -> None:
    """Compile the policies to the module that decides in process.

    A hub whose policies were changed decides by their text until then: the same, more slowly.
    """
    gate = EmbeddedGate(folder, by_text=True)  # whatever it refuses is not compiled either
    program = shutil.which(opa)
    try:
        if program is None:
            raise FileNotFoundError(opa)
        module, manifest = make_module(str(Path(program).absolute()), policy_sources(folder))
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            "policy-compiler",
            fr="OPA manque ou ne compile pas ces politiques. Indiquez-le par --opa ; la version "
            "employée est dans policies/compiled/manifest.json.",
            en="OPA is missing or does not compile these policies. Name it by --opa; the version "
            "used is in policies/compiled/manifest.json.",
            who="operator",
            where=opa,
        ) from error
    same = manifest == read_manifest(folder)
    if not check:
        write_module(folder, module, manifest)
    edge.say(
        {
            "policies": gate.bundle_digest,
            "module": manifest.module,
            "opa": manifest.opa,
            "same": same,
        },
        as_json=False,
    )
    if check and not same:
        raise typer.Exit(5)

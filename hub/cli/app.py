"""The `hub` command: one table of what there is. A command's own module is read when asked for.

To read them all takes two seconds of processor time, which `hub --help` and a misspelt word need
not wait for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from hub.cli import edge
from hub.errors import HubError, fault

if TYPE_CHECKING:
    from typer._click import Command, Context

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "push": (
        "pushes:push_command",
        "Push a file, wait, and print what became of it and the signed receipt.",
    ),
    "pull": (
        "pushes:pull_command",
        "Fetch datasets from their addresses in the territory file, if they changed, and push "
        "them.",
    ),
    "pushes": ("pushes:pushes_command", "List pushes, or show one."),
    "withdraw": (
        "consents:withdraw_command",
        "End a person's consent (or record an objection), and wait until their rows are gone.",
    ),
    "serve": ("serving:serve", "Serve the interface and the pages, with a worker beside them."),
    "work": (
        "working:work",
        "Work on jobs until told to stop, or until the process that started this one is gone.",
    ),
    "demo": ("demo:demo_command", "Build the demo territory in HUB_HOME and serve it."),
    "doctor": (
        "doctor:doctor",
        "Look at every part and say what is well, what is not, and who must act.",
    ),
    "usage": ("usage:usage", "Who used what, how often, from which partner's data."),
    "quarantine": ("pushes:quarantine_app", "Rows set aside, with their reasons."),
    "consent": ("consents:app", "Record and show what people allowed."),
    "release": ("releases:app", "Build, list, show and get releases."),
    "partner": ("operate:partner", "Organisations that push, and their clients."),
    "user": ("operate:user", "Local accounts of people who work with the hub."),
    "keys": ("operate:keys", "Public halves of the hub's keys."),
    "agreement": ("agreements:app", "Terms partners push under."),
    "policy": ("policies:app", "Policies: compile; put decisions again."),
    "share": ("sharing:app", "Recipients of releases over Delta Sharing."),
    "request": ("requests:app", "What is asked for, and decisions about it."),
    "audit": ("audit:app", "The log: verify, events, proofs."),
    "witness": ("witness:app", "Watch a log, and cosign its checkpoints."),
    "rights": ("rights:app", "Claims under persons' rights, and their clock."),
    "retention": ("retention:app", "What is kept for how long."),
    "backup": ("backups:app", "Sealed copies that expire."),
    "receipt": ("receipts:app", "Verify any receipt, offline."),
}
"""By name: where it is (module of this package and name in it), and what it does."""


class _Hub(TyperGroup):
    """Lists every command by the table, and reads the module of the one that is asked for."""

    def __init__(self, **attributes: Any) -> None:
        listed = [TyperCommand(name, help=does) for name, (_, does) in COMMANDS.items()]
        super().__init__(**attributes | {"commands": listed})

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and command(str(name)), rest


app = typer.Typer(
    cls=_Hub,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def hub() -> None:
    """Le hub de mobilité des lycées. A trusted third party for mobility data around lycées."""


def command(name: str) -> Command:
    """A command of the table, with all it can do."""
    place, does = COMMANDS[name]
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"hub.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        made = typer.main.get_command(found)
        made.help = does
        return made
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


def main() -> None:
    """Run a command; every error the hub raises on purpose ends as its exit code."""
    edge.quiet_logs()
    try:
        app()
    except HubError as error:
        edge.tell(error)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the edge: a fault's message may hold content
        edge.err.print(f"✗ fault: {fault(error)}", markup=False)
        sys.exit(1)

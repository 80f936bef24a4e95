"""The `hub` command."""

from __future__ import annotations

import sys

import typer

from hub.cli import (
    agreements,
    audit,
    backups,
    consents,
    demo,
    doctor,
    edge,
    events,
    operate,
    policies,
    pushes,
    releases,
    requests,
    retention,
    rights,
    sharing,
    usage,
    witness,
)
from hub.errors import HubError, fault

app = typer.Typer(
    name="hub",
    help="Le hub de mobilité des lycées. A trusted third party for mobility data around lycées.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (pushes, consents, releases, operate, demo):
    part.add_to(app)
app.command("doctor")(doctor.doctor)
app.command("usage")(usage.usage)
events.add_to(audit.app)
app.add_typer(agreements.app, name="agreement", help="Terms partners push under.")
app.add_typer(policies.app, name="policy", help="Policies: compile; put decisions again.")
app.add_typer(sharing.app, name="share", help="Recipients of releases over Delta Sharing.")
app.add_typer(requests.app, name="request", help="What is asked for, and decisions about it.")
app.add_typer(audit.app, name="audit", help="The log: verify, events, proofs.")
app.add_typer(witness.app, name="witness", help="Watch a log, and cosign its checkpoints.")
app.add_typer(rights.app, name="rights", help="Claims under persons' rights, and their clock.")
app.add_typer(retention.app, name="retention", help="What is kept for how long.")
app.add_typer(backups.app, name="backup", help="Sealed copies that expire.")
app.add_typer(audit.receipts_app, name="receipt", help="Verify any receipt, offline.")


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

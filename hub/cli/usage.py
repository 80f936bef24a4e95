"""`hub usage`: the monthly statement of what was used, from whose data."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hub import metering
from hub.cli import edge
from hub.parts import OPERATOR


def usage(
    month: Annotated[str, typer.Option(help="2026-03; empty: this month.")] = "",
    organisation: Annotated[str, typer.Option(help="Only what it read, or is made of it.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the statement as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Who used what, how often, from which partner's data."""
    with edge.opened() as parts:
        month = month or metering.this_month(parts.clock())
        uses = [
            one
            for one in metering.statement(parts, OPERATOR, month)
            if not organisation or organisation in {one.organisation, *one.partners}
        ]
        if as_csv:
            sys.stdout.write(metering.as_csv(uses))
        else:
            edge.table([one.as_json() for one in uses], metering.COLUMNS, as_json=as_json)

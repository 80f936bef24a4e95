"""What a command loads before it does anything: each start of `hub` pays for it."""

import subprocess
import sys

import pytest
from typer.core import TyperGroup

from hub.cli.app import COMMANDS, command

LATE = (
    *("gtfs_kit", "pandas", "minio", "opa_client", "psycopg", "alembic", "rdflib"),
    *("fastapi", "xlsxwriter"),
)
"""Slow to load, and needed by few commands or by few hubs."""
COMPUTING = ("ibis", "sqlglot")
THE_HUB = ("sqlalchemy", "deltalake", "wasmtime", "duckdb", "pyproj")
LIGHT = {
    "app": (*LATE, *COMPUTING, *THE_HUB, "pyarrow", "pydantic"),  # `hub --help`
    "receipts": (*LATE, *COMPUTING, *THE_HUB),  # verifies without a hub
    "operate": (*LATE, *COMPUTING),
    "pushes": LATE,
}
"""By module of the command line, what it must do without."""


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_a_command_loads_no_part_it_may_not_need(module: str) -> None:
    named = f"*(m for m in {LIGHT[module]!r} if m in sys.modules)"
    asked = f"import sys, hub.cli.{module}; print({named})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_table_says_of_a_command_what_it_says_of_itself() -> None:
    for name, (_, does) in COMMANDS.items():
        made = command(name)
        if isinstance(made, TyperGroup):  # a group is told about in the table alone
            assert made.commands, name
        else:
            first, *_ = str(made.help).split("\n\n")
            assert " ".join(first.split()) == does

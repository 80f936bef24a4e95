"""What a command loads before it does anything: each start of `hub` pays for it."""

import subprocess
import sys

LATE = (
    *("gtfs_kit", "pandas", "minio", "opa_client", "psycopg", "alembic", "rdflib"),
    *("fastapi", "xlsxwriter"),
)
"""Slow to load, and needed by few commands or by few hubs."""


def test_a_command_loads_no_part_it_may_not_need() -> None:
    asked = f"import sys, hub.cli; print(*(m for m in {LATE!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

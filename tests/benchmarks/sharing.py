"""Reading a release of a million rows: the official client beside pandas on the same link."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks.peers import Missing
from tests.benchmarks.runner import Row, Timed, paired
from tests.sharing import editions
from tests.sharing.served import PYTHON, Sharing

ROWS: Final = 1_000_000
TABLE: Final = f"centre-val-de-loire.places.{editions.PERIOD}"


def client(folder: Path) -> Row:
    """A load by the client, with its questions and ours, beside the bytes alone."""
    if not PYTHON.exists():
        raise Missing("build/sharing-venv is not there; `make services` makes it")
    served = Sharing(folder / "sharing" / "var")
    with served:
        editions.publish(served.parts, 1, rows=ROWS)
        _, reader = served.admitted()

        def read(by: str) -> Timed:
            told = reader.do("time", table=TABLE, reads=by)
            assert told["rows"] == ROWS
            return Timed(told["seconds"])

        row = paired(
            "Delta Sharing, 1,000,000 rows loaded by the official client",
            "pandas reading the same Parquet over HTTP",
            lambda: read("client"),
            lambda: read("pandas"),
            1.5,
        )
        reader.close()
        served.parts.books.close()
    return row

"""Files of partners: reading them, and whole pushes."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb

from connectors.contract import Reading
from connectors.registry import DATASETS
from hub import push, worker
from hub.parts import OPERATOR
from tests.benchmarks.runner import Row, paired
from tests.flows import world

ROWS: Final = 300_000


def tides(rows: int) -> bytes:
    """A TIDES file of that many taps."""
    people = rows // 50
    return world.taps((f"CARD-{n:06d}" for n in range(people)), days=50)


def reading(folder: Path) -> Row:
    """The validations connector beside DuckDB's CSV reader on the same file."""
    data = tides(ROWS)
    path = folder / "taps.csv"
    path.write_bytes(data)
    dataset = DATASETS["transdev/validations"]
    at = Reading(now=datetime.now(UTC))

    def ours() -> int:
        return sum(batch.received for batch in dataset.read(io.BytesIO(data), at))

    def peer() -> object:
        query = f"SELECT count(DISTINCT token_id) FROM read_csv('{path}')"
        return duckdb.connect().execute(query).fetchall()

    return paired("read TIDES (validated)", "duckdb read_csv", ours, peer)


def whole_push(folder: Path) -> Row:
    """A push with everything on beside DuckDB's COPY of the same CSV to Parquet."""
    data = tides(ROWS)
    path = folder / "push.csv"
    path.write_bytes(data)
    homes = iter(range(1000))

    def ours() -> None:
        parts = world.hub_in(folder / f"home-{next(homes)}")
        push.accept(parts, OPERATOR, "transdev", "validations", [data])
        worker.drain(parts)
        parts.books.close()

    def peer() -> None:
        target = folder / "peer.parquet"
        duckdb.sql(f"COPY (FROM read_csv('{path}')) TO '{target}' (COMPRESSION zstd)")

    return paired("push TIDES, everything on", "duckdb COPY", ours, peer)

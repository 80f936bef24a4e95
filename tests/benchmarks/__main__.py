"""`make bench`: every benchmark beside its peer, in the same run, as medians of several rounds.

Only ratios travel between machines. Prints one table and writes `benchmarks.json`.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from connectors.contract import Reading
from connectors.registry import DATASETS
from consent import pseudonyms
from hub import push, worker
from hub.main import policies_folder
from hub.parts import OPERATOR
from hub.policy.gate import EmbeddedGate
from tests.flows import world

ROUNDS = 5
ROWS = 300_000
OUT = Path("benchmarks.json")


@dataclass(frozen=True)
class Row:
    """One line of the table: medians in `unit`, and ours over the peer's."""

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    peer_name: str


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def paired(
    name: str, peer_name: str, ours: Callable[[], object], peer: Callable[[], object]
) -> Row:
    """Run both in turn, so that a drifting machine slows both alike."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(ROUNDS)]
    mine = statistics.median(pair[0] for pair in pairs)
    theirs = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(name, round(mine, 4), round(theirs, 4), round(ratio, 3), "s", peer_name)


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


def names(_: Path) -> Row:
    """Pseudonyms of distinct people beside a loop over `hmac.digest`."""
    digests = [hashlib.sha256(str(n).encode()).digest() for n in range(200_000)]
    column = pa.array(digests, pa.binary())
    key = b"k" * 32
    return paired(
        "pseudonyms of 200,000 people",
        "hmac.digest loop",
        lambda: pseudonyms.pseudonyms(key, column),
        lambda: [hmac.digest(key, digest, "sha256")[:16] for digest in digests],
    )


def decisions(_: Path) -> Row:
    """A policy decision beside the audit it comes with: hashing its question."""
    gate = EmbeddedGate(policies_folder())
    question = {
        "actor": OPERATOR.facts(),
        "partner": "transdev",
        "dataset": "validations",
        "agreement": {
            "basis": "public_task",
            "purpose": "school-mobility",
            "demo": True,
            "legal_text": "",
            "impact_assessment": "",
        },
    }
    text = json.dumps(question).encode()
    return paired(
        "1,000 policy decisions",
        "1,000 × 100 SHA-256 of the question",
        lambda: [gate.decide("push", question) for _ in range(1000)],
        lambda: [hashlib.sha256(text).digest() for _ in range(100_000)],
    )


BENCHMARKS = (reading, whole_push, names, decisions)


def main() -> int:
    """Run them all."""
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for benchmark in BENCHMARKS:
            rows.append(benchmark(Path(folder)))
            console.print(f"· {rows[-1].name}")
    table = Table("benchmark", "ours", "peer", "ratio", "unit", "peer is")
    for row in rows:
        table.add_row(row.name, f"{row.ours}", f"{row.peer}", f"{row.ratio}", row.unit,
                      row.peer_name)  # fmt: skip
    console.print(table)
    OUT.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: every benchmark beside its peer, in the same run, as medians of several rounds.

Only ratios travel between machines. Prints one table and writes `benchmarks.json`. Words after
the command keep only the benchmarks whose functions have one of them in their names.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from hub import worker
from tests.benchmarks import (
    access,
    contributors,
    gates,
    log,
    partners,
    peers,
    services,
    sharing,
    withdrawals,
    writers,
)
from tests.benchmarks.runner import Row

OUT: Final = Path("benchmarks.json")

Benchmark = Callable[[Path], Row]
BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    partners.whole_push,
    partners.bad_rows,
    partners.gates,
    partners.small,
    partners.memory,
    partners.sealing,
    partners.reading,
    partners.documents,
    partners.beside_dlt,
    partners.beside_frictionless,
    gates.names,
    gates.decisions,
    contributors.building,
    contributors.hashing,
    contributors.beside_pymerkle,
    contributors.verifying,
    log.whole_tiles,
    log.across_tiles,
    log.verifying,
    log.proving,
    log.proof_limit,
    log.growing,
    withdrawals.one,
    withdrawals.thousand,
    withdrawals.growing,
    withdrawals.scanning,
    writers.together,
    access.decision_median,
    access.decision_slowest,
    access.decision_beside_opa,
    access.release_as_json,
    access.catalogue,
    sharing.client,
    services.push_on_services,
    services.release_on_services,
    services.push_to_minio,
    services.push_to_versitygw,
)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder for both sides, where nobody removed files a moment ago.

    When ext4 makes a file it steps over every inode of that part of the disk that was removed in
    the last minutes, one by one (`recently_deleted`): 20 µs a file become 700 µs where tests or the
    last run of a benchmark left 10,000. Who makes more files than the peer would pay for those. So
    each run asks for another part of the disk (`chattr +T`: folders made here are unrelated, spread
    them). Elsewhere than on ext4 this asks for nothing.
    """
    with tempfile.TemporaryDirectory() as outer:
        subprocess.run(["chattr", "+T", outer], check=False, capture_output=True)
        with tempfile.TemporaryDirectory(dir=outer) as folder:
            yield Path(folder)


def main(words: list[str]) -> int:
    """Run them all, or those asked for."""
    console = Console()
    rows: list[Row] = []
    missing: list[str] = []
    # Settled as every worker: else a walk of the collector falls now here, now there.
    with worker.settled(), fresh_folder() as folder:
        for benchmark in BENCHMARKS:
            name = f"{benchmark.__module__}.{benchmark.__name__}"
            if not words or any(word in name for word in words):
                try:
                    rows.append(benchmark(folder))
                except peers.Missing as error:
                    missing.append(f"{name}: {error}")
                    continue
                row = rows[-1]
                span = "" if row.least is None else f" ({row.least} to {row.most})"
                cpu = "" if row.cpu is None else f", {row.cpu} of processor time"
                console.print(f"· {row.name}, beside {row.peer_name}: {row.ratio}{span}{cpu}")
                # Each time: a run that is cut short has told what it measured.
                OUT.write_text(json.dumps([asdict(r) | {"met": r.met} for r in rows], indent=1))
    table = Table(
        "benchmark", "ours", "peer", "ratio", "least", "most", "cpu", "goal", "unit", "peer is"
    )
    for row in rows:
        goal = "" if row.at_most is None else f"≤ {row.at_most:.2f} {'✓' if row.met else '✗'}"
        table.add_row(
            row.name,
            f"{row.ours}",
            f"{row.peer}",
            f"{row.ratio}",
            "" if row.least is None else f"{row.least}",
            "" if row.most is None else f"{row.most}",
            "" if row.cpu is None else f"{row.cpu}",
            goal,
            row.unit,
            row.peer_name,
        )
    console.print(table)
    for line in missing:
        console.print(f"not measured: {line}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

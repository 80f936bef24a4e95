"""Leaving a large table: one person, many at once, and the scan that shows that they are gone.

The whole verb is measured: leases, events, rewrite, purge, receipt's place in the log. Rows of the
largest table: HUB_BENCH_ROWS, 10 million without it, a million at least. Draws `withdrawals.svg`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from consent import pseudonyms
from hub import upkeep, withdraw
from hub.parts import OPERATOR, Parts
from hub.stages import Pseudonymous
from hub.storage.rows import PARTITIONS
from tests.benchmarks.runner import Row, alternated, limited, seconds
from tests.flows import world
from tests.storage.making import TRIPS
from tests.storage.scan import find

ROWS: Final = max(int(os.environ.get("HUB_BENCH_ROWS", "10000000")), 1_000_000)
EACH: Final = 100
"""Rows of a person in a school year."""
PERIOD: Final = "2025-2026"
NAME: Final = "coachco2/trips/trips"
BATCHES: Final = (1, 10, 100, 1000)
PUSHES: Final = 10
ROUNDS: Final = 3
SVG: Final = Path("withdrawals.svg")


def one(folder: Path) -> Row:
    """One person out of a table, beside the time to write that table anew."""
    parts = filled(folder, ROWS)
    pairs = [
        (leaving(parts, ROWS, 1), seconds(lambda: rewritten(parts, folder))) for _ in range(ROUNDS)
    ]
    return alternated(f"one person out of {ROWS:,} rows", "writing the table anew", pairs, 1 / 20)


def thousand(folder: Path) -> Row:
    """A thousand people in one batch, beside one."""
    parts = filled(folder, ROWS)
    pairs = []
    for _ in range(ROUNDS):
        many = leaving(parts, ROWS, 1000)
        gathered(parts)
        pairs.append((many, leaving(parts, ROWS, 1)))
    return alternated(f"1,000 people out of {ROWS:,} rows", "one person", pairs, 5.0)


def growing(folder: Path) -> Row:
    """Cost against size of the table and of the batch, drawn; ours is the largest table's."""
    sizes = sorted({ROWS // 100, ROWS // 10, ROWS})
    lines: dict[str, list[tuple[int, float]]] = {}
    for size in sizes:
        parts = filled(folder, size)
        for batch in (b for b in BATCHES if b * EACH * 4 <= size):
            lines.setdefault(f"{size:,} rows", []).append((batch, leaving(parts, size, batch)))
            gathered(parts)
    SVG.write_text(drawn(lines))
    small, large = (lines[f"{size:,} rows"][0][1] for size in (sizes[0], sizes[-1]))
    return Row(
        f"one person, table of {sizes[-1]:,} rows", round(large, 3), round(small, 3),
        round(large / small, 2), "s", f"a table of {sizes[0]:,}",
    )  # fmt: skip


def scanning(folder: Path) -> Row:
    """The scan of all storage; its speed is told in MB/s."""
    home = filled(folder, min(ROWS, 1_000_000)).settings.home
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
    needles = [hashlib.sha256(b"nobody").digest(), b"nobody-of-this-name"]
    row = limited("scan of all storage", lambda: find(home, needles), 60.0)
    print(f"  scan: {size:.0f} MB at {size / row.ours:.0f} MB/s")  # noqa: T201
    return row


def filled(folder: Path, rows: int) -> Parts:
    """A hub whose table of trips has so many rows, from ten pushes, gathered as every night."""
    return _filled(folder, rows)


@cache
def _filled(folder: Path, rows: int) -> Parts:
    parts = world.hub_in(folder / f"hub-{rows}")
    parts.period_key("school-mobility", PERIOD)
    for number in range(PUSHES):
        chunk = trips(parts, rows, number)
        parts.tables.append(NAME, [chunk], f"push-{number}", personal=True)
    gathered(parts)
    return parts


def gathered(parts: Parts) -> None:
    """What the worker does every night."""
    with parts.holding_tables("coachco2/trips"):
        upkeep.rewrite(parts, NAME, "gathering", lambda: parts.tables.gather(NAME))


def digest_of(person: int) -> bytes:
    """What the hub knows a person by."""
    return hashlib.sha256(str(person).encode()).digest()


@cache
def _names(folder: Path, rows: int) -> tuple[pa.Array, pa.Array]:
    key = world.hub_in(folder).keyring.period_key("school-mobility", PERIOD)
    digests = [digest_of(person) for person in range(rows // EACH)]
    names = pseudonyms.pseudonyms(key, pa.array(digests, pa.binary()))
    return names, pseudonyms.buckets(names)


def trips(parts: Parts, rows: int, number: int) -> Pseudonymous:
    """A push of a tenth of the rows: everybody is in it."""
    names, buckets = _names(parts.settings.home, rows)
    random = np.random.default_rng(number)
    count = rows // PUSHES
    who = pa.array(random.permutation(np.resize(np.arange(len(names)), count)))

    def of(values: list[str]) -> pa.Array:
        return pa.array(values).take(pa.array(random.integers(0, len(values), count)))

    table = pa.table(
        {
            "date": pa.array(random.integers(20_330, 20_630, count, np.int32)).cast(pa.date32()),
            "quarter_hour": pa.array(random.integers(28, 72, count), pa.int16()),
            "uai": of([f"045{n:04}X" for n in range(200)]),
            "direction": of(["there", "back"]),
            "commune": of([f"45{n:03}" for n in range(300)]),
            "cell": of([f"CRS3035RES1000mN{n}E{n * 7}" for n in range(3000)]),
            "mode": of(["car", "bus", "walk", "bike"]),
            "distance_m": pa.array(random.integers(300, 20_000, count), pa.float64()),
            "duration_s": pa.array(random.integers(120, 5_000, count), pa.float64()),
            "population": pa.array(["pupil"] * count),
            "period": pa.array([PERIOD] * count),
            "pseudonym": names.take(who),
            "bucket": buckets.take(who),
        }
    )
    return Pseudonymous._mint(TRIPS, "trips", table)


_left: dict[Path, Iterator[int]] = {}


def leaving(parts: Parts, rows: int, people: int) -> float:
    """Seconds from the first of these jobs to the last receipt; nobody leaves twice."""
    order = _left.setdefault(
        parts.settings.home, iter(np.random.default_rng(5).permutation(rows // EACH).tolist())
    )
    made = [
        withdraw.withdraw(parts, OPERATOR, "coachco2", digest_of(next(order)), via="cli")
        for _ in range(people)
    ]
    before = parts.tables.periods(NAME)[PERIOD]
    took = seconds(lambda: withdraw.complete(parts, made[0].id))
    assert before - parts.tables.periods(NAME)[PERIOD] == people * EACH
    assert parts.books.pending_withdrawals(1) == []
    return took


def rewritten(parts: Parts, folder: Path) -> None:
    """The table read and written by Delta's own writer, as large files."""
    files = list(parts.tables.snapshot([NAME]).files[NAME])
    rows = pads.dataset(files, partitioning=pads.partitioning(PARTITIONS, flavor="hive"))
    deltalake.write_deltalake(
        str(folder / "anew"), rows.scanner().to_reader(), mode="overwrite",
        partition_by=PARTITIONS.names,
    )  # fmt: skip


def drawn(lines: dict[str, list[tuple[int, float]]]) -> str:
    """Seconds (logarithmic, upwards) against people in a batch (logarithmic): a line a table."""
    width, height, margin = 640, 400, 60
    top = max(cost for line in lines.values() for _, cost in line)
    low = min(cost for line in lines.values() for _, cost in line)

    def x(batch: int) -> float:
        return float(margin + np.log10(batch) / 3 * (width - 2 * margin - 80))

    def y(cost: float) -> float:
        share = np.log(cost / low) / max(np.log(top / low), 1e-9)
        return float(height - margin - share * (height - 2 * margin))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        "<title>Seconds to erase people from a table, by batch and by table size</title>",
        f'<text x="{margin}" y="30">seconds; people in one batch →</text>',
    ]
    parts += [f'<text x="{x(b):.0f}" y="{height - 30}">{b:,}</text>' for b in BATCHES]
    for number, (name, line) in enumerate(lines.items()):
        colour = ("#0072b2", "#d55e00", "#009e73")[number % 3]
        points = " ".join(f"{x(batch):.1f},{y(cost):.1f}" for batch, cost in line)
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
        for batch, cost in line:
            at = f'x="{x(batch):.0f}" y="{y(cost) - 6:.0f}"'
            parts.append(f'<text {at} fill="{colour}">{cost:.2f}</text>')
        last = line[-1]
        at = f'x="{x(last[0]) + 36:.0f}" y="{y(last[1]):.0f}"'
        parts.append(f'<text {at} fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])

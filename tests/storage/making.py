"""Rows to store: what comes out of the stages, without the stages."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.dataset as pads

from connectors.contract import Dataset
from consent import pseudonyms
from hub.stages import Opened, Pseudonymous
from hub.storage.rows import PARTITIONS

NAME = "coachco2/trips/trips"
OPEN = "region/lycees/lycees"
PERIODS = ("2024-2025", "2025-2026")

TRIPS = Dataset("coachco2", "trips", {}, "", {}, lambda _file, _reading: iter(()), "subject")
LYCEES = Dataset("region", "lycees", {}, "", {}, lambda _file, _reading: iter(()))


def pseudonym(person: int, period: str) -> bytes:
    return hashlib.sha256(f"{person} in {period}".encode()).digest()[:16]


def trips(people: Iterable[int], each: int = 2, periods: Sequence[str] = PERIODS) -> Pseudonymous:
    """`each` trips of each person in each period, typed as the last stage leaves them."""
    rows = [(p, period, n) for period in periods for p in people for n in range(each)]
    names = pa.array([pseudonym(p, period) for p, period, _ in rows], pa.binary())
    table = pa.table(
        {
            "date": pa.array([date(2025, 9, 1 + p % 28) for p, _, _ in rows], pa.date32()),
            "quarter_hour": pa.array([30 + n for _, _, n in rows], pa.int16()),
            "uai": pa.array([f"045{p:04}X" for p, _, _ in rows], pa.string()).dictionary_encode(),
            "sections": pa.array(
                [[{"mode": "BUS", "distance_m": 1.5}] * n for _, _, n in rows],
                pa.list_(pa.struct([("mode", pa.string()), ("distance_m", pa.float64())])),
            ),
            "period": pa.array([period for _, period, _ in rows], pa.string()),
            "population": pa.array(["app"] * len(rows), pa.large_string()),
            "pseudonym": names,
            "bucket": pseudonyms.buckets(names),
        }
    )
    return Pseudonymous._mint(TRIPS, "trips", table)


def lycees(*names: str) -> Pseudonymous:
    rows = pa.table({"uai": list(names), "seen": pa.array([0] * len(names), pa.timestamp("ms"))})
    return Pseudonymous._mint(LYCEES, "lycees", rows)


def nobody() -> Pseudonymous:
    """A chunk without rows, of which none was refused: nobody's trip was a school trip."""
    return Pseudonymous._mint(TRIPS, "trips", trips([]).rows)


def refused(*places: tuple[str, int], people: Iterable[int] = ()) -> Pseudonymous:
    """A chunk some rows of which were refused that would have been in these periods and buckets."""
    return Pseudonymous._mint(TRIPS, "trips", trips(people).rows, frozenset(places))


def read(opened: Opened, name: str) -> pa.Table:
    """All rows of a pinned table, partition columns included, without delta-rs."""
    files = opened.files[name]
    if not files:
        return pa.table({"pseudonym": pa.array([], pa.binary()), "uai": pa.array([], pa.string())})
    return pads.dataset(
        list(files), partitioning=pads.partitioning(PARTITIONS, flavor="hive")
    ).to_table()


def people_in(opened: Opened, name: str = NAME) -> list[bytes]:
    """The pseudonym of every row, sorted."""
    return sorted(read(opened, name).column("pseudonym").to_pylist())


def expected(people: Iterable[int], each: int = 2, periods: Sequence[str] = PERIODS) -> list[bytes]:
    return sorted(pseudonym(p, period) for period in periods for p in people for _ in range(each))


def gone(people: Iterable[int], periods: Sequence[str] = PERIODS) -> dict[str, list[bytes]]:
    people = list(people)
    return {period: [pseudonym(p, period) for p in people] for period in periods}


def parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


class Interrupted(Exception):
    pass


def interrupted(chunks: Iterable[Pseudonymous]) -> Iterator[Pseudonymous]:
    yield from chunks
    raise Interrupted

"""Three months of school-card taps as TIDES `fare_transactions` (formats §3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hub.demo.csvs import write_csv
from hub.demo.facts import Facts
from hub.demo.school_buses import Line

MONTHS: Final = ((date(2026, 1, 1), date(2026, 1, 31)), (date(2026, 2, 1), date(2026, 2, 28)),
                 (date(2026, 3, 1), date(2026, 3, 31)))  # fmt: skip
CARDS: Final = 2_600
TAPS: Final = 0.86
"""Share of boardings that are tapped."""
COLUMNS: Final = (
    "transaction_id", "service_date", "event_timestamp", "location_ping_id", "amount",
    "currency_type", "fare_action", "trip_id_performed", "trip_id_scheduled", "pattern_id",
    "trip_stop_sequence", "scheduled_stop_sequence", "vehicle_id", "device_id", "fare_id",
    "stop_id", "num_riders", "fare_media_id", "rider_category", "fare_product", "fare_period",
    "fare_capped", "token_id", "balance",
)  # fmt: skip
FAULTS: Final = ("no-card", "unknown-action", "impossible-date")
"""Three rows in each file are wrong on purpose, one of each kind."""


@dataclass(frozen=True, slots=True)
class Cards:
    """Who holds a card: by card, the stop they live at and their runs, as rows of `calls`."""

    names: list[str]
    runs: NDArray[np.int64]
    """(cards, 5): morning, Wednesday morning, early evening, late evening, Wednesday noon."""


def write(
    facts: Facts,
    lines: Sequence[Line],
    enrolled: NDArray[np.int64],
    seed: int,
    scale: float,
    paths: Sequence[Path],
) -> tuple[list[str], int]:
    """Write one file a month. Returns every card's name and the number of taps written."""
    rng = np.random.default_rng([seed, 7])
    calls, weights = _boardings(facts, lines, enrolled)
    trips, stops, sequences, times = (np.array(column) for column in zip(*calls, strict=True))
    count = max(20, round(CARDS * scale))
    homes = rng.choice(len(weights), count, p=weights / weights.sum())
    cards = Cards(
        [f"SYN-CARD-{number:07d}" for number in range(1, count + 1)],
        homes[:, None] * 5 + np.arange(5),
    )
    names = np.array(cards.names)
    late = rng.random(count) < 0.5
    total = 0
    for (first, last), path in zip(MONTHS, paths, strict=True):
        parts: list[tuple[NDArray[np.int64], NDArray[np.int64], date]] = []
        for day in facts.school_days(first, last):
            wednesday = day.weekday() == 2
            evening = np.where(rng.random(count) < 0.8, np.where(late, 3, 2), np.where(late, 2, 3))
            slots = (
                (np.full(count, 1), np.full(count, 4))
                if wednesday
                else (np.zeros(count, int), evening)
            )
            for slot in slots:
                on_board = np.flatnonzero(rng.random(count) < TAPS * 0.95)
                parts.append((on_board, cards.runs[on_board, slot[on_board]], day))
        who = np.concatenate([part[0] for part in parts])
        call = np.concatenate([part[1] for part in parts])
        day_of = np.concatenate(
            [np.full(len(part[0]), part[2], dtype="datetime64[D]") for part in parts]
        )
        at = times[call].astype(np.int64) + rng.integers(-60, 240, len(call))
        order = np.lexsort((who, at, day_of))
        who, call, day_of, at = who[order], call[order], day_of[order], at[order]
        stamps = day_of.astype("datetime64[s]") + at.astype("timedelta64[s]")
        table = _table(
            f"SYN-{first:%Y%m}", day_of, stamps, trips[call], stops[call], sequences[call],
            names[who],
        )  # fmt: skip
        write_csv(table, path)
        total += table.num_rows
    return cards.names, total


def _boardings(
    facts: Facts, lines: Sequence[Line], enrolled: NDArray[np.int64]
) -> tuple[list[tuple[str, str, int, int]], NDArray[np.float64]]:
    """For each commune on each line, five boardings (trip, stop, sequence, time), and its weight.

    In the morning one boards where one lives, in the evening at the lycée.
    """
    columns = {commune.code: n for n, commune in enumerate(facts.communes)}
    rows = {lycee.uai: n for n, lycee in enumerate(facts.lycees)}
    calls: list[tuple[str, str, int, int]] = []
    weights: list[float] = []
    for line in lines:
        morning, wednesday, early, late, noon = line.runs
        for number, commune in enumerate(line.communes):
            at_home = [
                (run.trip, run.calls[number][0], number + 1, run.calls[number][1])
                for run in (morning, wednesday)
            ]
            at_lycee = [
                (run.trip, run.calls[0][0], 1, run.calls[0][1]) for run in (early, late, noon)
            ]
            calls += at_home + at_lycee
            weights.append(float(enrolled[rows[line.lycee.uai], columns[commune.code]]))
    return calls, np.array(weights)


def _table(
    prefix: str,
    days: NDArray[np.datetime64],
    stamps: NDArray[np.datetime64],
    trips: NDArray[np.str_],
    stops: NDArray[np.str_],
    sequences: NDArray[np.str_],
    cards: NDArray[np.str_],
) -> pa.Table:
    """The rows in the order of the schema, three of them wrong on purpose."""
    n = len(days)
    empty = pa.nulls(n, pa.string())
    date_texts = np.datetime_as_string(days).astype(object)
    tokens, actions = cards.astype(object), np.full(n, "Enter", dtype=object)
    tokens[n // 4] = None
    actions[n // 2] = "Boarded"
    date_texts[3 * n // 4] = "2026-02-30"
    constant = {
        "amount": "0.00",
        "currency_type": "EUR",
        "num_riders": "1",
        "fare_media_id": "Smart card or ticket",
        "rider_category": "Scolaire",
        "fare_product": "Scolaire (synthétique)",
        "fare_capped": "false",
    }
    known = {
        "transaction_id": pa.array([f"{prefix}-{row:06d}" for row in range(1, n + 1)]),
        "service_date": pa.array(date_texts.tolist()),
        "event_timestamp": pa.array(np.datetime_as_string(stamps).tolist()),
        "fare_action": pa.array(actions.tolist()),
        "trip_id_performed": pa.array(trips.tolist()),
        "trip_id_scheduled": pa.array(trips.tolist()),
        "scheduled_stop_sequence": pa.array([str(value) for value in sequences.tolist()]),
        "stop_id": pa.array(stops.tolist()),
        "token_id": pa.array(tokens.tolist()),
    }
    known |= {name: pa.repeat(pa.scalar(value), n) for name, value in constant.items()}
    return pa.table({name: known.get(name, empty) for name in COLUMNS})

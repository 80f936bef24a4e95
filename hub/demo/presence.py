"""A month of 30-minute presence around lycées, in Orange's attested layout (formats §2.1).

Everyone in the zone is counted, not pupils. As Orange does, volumes under 20 are not delivered: a
missing row means "withheld or none", never zero.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hub.demo.csvs import write_csv
from hub.demo.facts import Facts, days

FIRST: Final = date(2026, 3, 1)
LAST: Final = date(2026, 3, 31)
FLOOR: Final = 20
SLOTS: Final = tuple(f"{n // 2:02d}:{30 * (n % 2):02d}:00" for n in range(48))


def write(facts: Facts, seed: int, path: Path) -> int:
    """Write the delivery; returns its number of rows."""
    rng = np.random.default_rng([seed, 8])
    hours = np.arange(48) / 2
    school = 1 / (1 + np.exp(-(hours - 7.7) * 4)) - 1 / (1 + np.exp(-(hours - 17.2) * 2.5))
    town = 0.35 + 0.65 * np.exp(-(((hours - 14.5) / 5.5) ** 2))
    columns: dict[str, list[str]] = {"Zone": [], "Date": [], "Heures": [], "Type": []}
    volumes: list[int] = []
    calendar = list(days(FIRST, LAST))
    for lycee in facts.lycees:
        people = facts.commune_of(lycee).population ** 0.55 * rng.uniform(1.2, 2.4)
        pupils = rng.uniform(500, 1200)
        for day in calendar:
            level = people * town * (1.0 if day.weekday() < 5 else 0.75)
            if facts.is_school_day(day):
                level = level + pupils * school * (0.62 if day.weekday() == 2 else 1.0)
            everyone = np.round(level * rng.uniform(0.92, 1.08, 48)).astype(int)
            for kind, count in (
                ("Français", everyone),
                ("Etrangers", np.round(everyone * 0.02 * rng.uniform(0.5, 1.6, 48)).astype(int)),
            ):
                kept = np.flatnonzero(count >= FLOOR).tolist()
                columns["Zone"] += [f"Zone synthétique {lycee.uai}"] * len(kept)
                columns["Date"] += [day.isoformat()] * len(kept)
                columns["Heures"] += [SLOTS[slot] for slot in kept]
                columns["Type"] += [kind] * len(kept)
                volumes += count[kept].tolist()
    table = pa.table({**columns, "Volume": volumes})
    write_csv(table, path, delimiter=";")
    return int(table.num_rows)

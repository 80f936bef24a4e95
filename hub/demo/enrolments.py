"""How many pupils of each commune go to each lycée: drawn, but gravity-like."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hub.demo.facts import Facts

SIZES: Final = {"LEGT": (900, 1500), "LPO": (800, 1300), "LP": (350, 600)}
PULL_METRES: Final = 6_000.0
REACH_METRES: Final = 45_000.0


def draw(facts: Facts, seed: int) -> NDArray[np.int64]:
    """Pupils by lycée (rows) and commune (columns).

    A commune's pupils choose among lycées by exp(−distance / 6 km) (Huff's model), so that a
    rural commune goes to its nearest lycée however far, and a city spreads over its own.
    """
    rng = np.random.default_rng([seed, 1])
    pull = np.exp(-facts.distance / PULL_METRES)
    pupils = np.array([commune.population for commune in facts.communes], dtype=np.float64)
    weight = pupils * pull / pull.sum(axis=0)
    weight[facts.distance > REACH_METRES] = 0.0
    counts = [
        rng.multinomial(rng.integers(*SIZES[lycee.kind]), row / row.sum())
        for lycee, row in zip(facts.lycees, weight, strict=True)
    ]
    return np.array(counts, dtype=np.int64)

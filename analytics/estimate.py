"""From people's contributions to cells, with their sampling error.

Each person weighs one, whatever the number of their trips, in the lycée where most of them go.
The error comes from resampling *people*: in each replicate every person is drawn a Poisson(1)
number of times. Unlike a draw of exactly n, this adds up: the replicates of a department are the
sums of its lycées' replicates, so areas may still be merged after the people are gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from analytics.model import Stratum
from analytics.places import Floats, Ints
from analytics.plan import Plan

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class People:
    """One row per contributor: stratum and lycée as indices, and a value per label."""

    stratum: Ints
    lycee: Ints
    values: Floats


def strata(
    people: People,
    keys: tuple[tuple[str, str], ...],
    lycees: int,
    plan: Plan,
    rng: Generator,
) -> tuple[Stratum, ...]:
    """Sum contributions by (school year, population) and lycée.

    Who is drawn how often depends on the order of people: pass them sorted, by nothing that a key
    of the hub decides.
    """
    labels = people.values.shape[1]
    spots = len(keys) * lycees
    spot = people.stratum * lycees + people.lycee
    count = np.bincount(spot, minlength=spots)
    totals = np.zeros((spots, labels))
    largest = np.zeros((spots, labels))
    np.add.at(totals, spot, people.values)
    np.maximum.at(largest, spot, people.values)
    weights = np.zeros((plan.replicates, spots))
    replicates = np.zeros((plan.replicates, spots, labels))
    for first in range(0, spot.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        order = np.argsort(spot[block], kind="stable")
        here = spot[block][order]
        starts = np.flatnonzero(np.r_[True, here[1:] != here[:-1]])
        draws = rng.poisson(1.0, (plan.replicates, here.size)).astype(np.float64)
        weights[:, here[starts]] += np.add.reduceat(draws, starts, axis=1)
        for label in range(labels):
            drawn = draws * people.values[block][order, label]
            replicates[:, here[starts], label] += np.add.reduceat(drawn, starts, axis=1)
    return tuple(
        Stratum(
            year,
            population,
            count[i * lycees : (i + 1) * lycees],
            totals[i * lycees : (i + 1) * lycees],
            largest[i * lycees : (i + 1) * lycees],
            weights[:, i * lycees : (i + 1) * lycees],
            replicates[:, i * lycees : (i + 1) * lycees],
        )
        for i, (year, population) in enumerate(keys)
    )

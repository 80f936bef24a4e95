"""Stored school trips for measure tests, and cells straight from contributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from analytics.estimate import People, strata
from analytics.model import Cells
from analytics.plan import Plan
from analytics.recognise import TRIPS, stored

SCHEMA = stored(TRIPS)

LYCEES = pa.schema(
    [
        ("uai", pa.string()),
        ("name", pa.string()),
        ("commune", pa.string()),
        ("commune_name", pa.string()),
        ("department", pa.string()),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("nature", pa.string()),
    ]
)
UAIS = ("0180001A", "0180002B", "0450001A", "0450002B", "0450003C", "0450004D")


def trip(
    person: str,
    uai: str = UAIS[2],
    mode: str = "CAR",
    *,
    day: int = 0,
    quarter: int = 30,
    metres: float = 10_000.0,
    population: str = "pupil",
    sections: Sequence[tuple[str, float]] | None = None,
    period: str = "2025-2026",
) -> dict[str, Any]:
    """One stored trip."""
    legs = [(mode, metres)] if sections is None else sections
    return {
        "period": period,
        "date": date(2025, 9, 8) + timedelta(days=day),
        "quarter_hour": quarter,
        "uai": uai,
        "direction": "outward" if quarter < 48 else "return",
        "origin_commune": "45147",
        "origin_cell": "CRS3035RES1000mN2770000E3660000",
        "distance_m": metres,
        "duration_s": 1200.0,
        "main_mode": mode,
        "sections": [{"mode": m, "distance_m": d, "duration_s": 600.0} for m, d in legs],
        "app_co2_kg": None,
        "population": population,
        "pseudonym": person.encode().ljust(16, b"."),
        "bucket": 0,
    }


def directory(uais: Sequence[str] = UAIS) -> pa.Table:
    """The lycées, with one of them pushed twice."""
    rows = [
        {
            "uai": uai,
            "name": f"Lycée {uai}",
            "commune": "45234",
            "commune_name": "Orléans",
            "department": uai[1:3],
            "lon": 1.9,
            "lat": 47.9,
            "nature": "LEGT",
        }
        for uai in (*uais, uais[0])
    ]
    return pa.Table.from_pylist(rows, schema=LYCEES)


def places() -> dict[str, pa.Table]:
    """What the map shows, under its Delta names: a stop pushed twice, one closed car-pool place."""
    stops = {
        "stop_id": ["s1", "s1", "s2"],
        "name": ["A", "B", "C"],
        "lon": [1.0, 1.0, 2.0],
        "lat": [47.0, 47.0, 48.0],
        "parent": pa.array([None, None, "s1"], pa.string()),
    }
    carpool = {
        "id": ["c1", "c2"],
        "name": ["Aire", "Fermée"],
        "commune": ["45234", "45234"],
        "kind": ["Parking", "Parking"],
        "lon": [1.0, 1.0],
        "lat": [47.0, 47.0],
        "open": [True, False],
    }
    return {
        "region/lycees/lycees": directory(),
        "region/gtfs/stops": pa.table(stops),
        "region/carpool-places/carpool_places": pa.table(carpool),
    }


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ibis tables under their Delta names."""
    return {
        "coachco2/trips/trips": ibis.memtable(pa.Table.from_pylist(list(rows), schema=SCHEMA)),
        "region/lycees/lycees": ibis.memtable(directory()),
    }


def cells(
    people: Mapping[str, Sequence[Sequence[float]]],
    plan: Plan,
    labels: Sequence[str] = (),
    measure: str = "modal-split",
    uais: Sequence[str] = UAIS,
) -> Cells:
    """Cells of one stratum from each lycée's people's values."""
    names = tuple(labels or plan.categories)
    spots = [i for i, uai in enumerate(uais) for _ in people.get(uai, ())]
    values = [list(one) for uai in uais for one in people.get(uai, ())]
    who = People(
        np.zeros(len(spots), np.int64),
        np.array(spots, np.int64),
        np.array(values, np.float64).reshape(len(spots), len(names)),
    )
    return Cells(
        measure,
        names,
        tuple(uais),
        tuple(f"Lycée {one}" for one in uais),
        tuple(one[1:3] for one in uais),
        strata(who, (("2025-2026", "pupil"),), len(uais), plan, np.random.default_rng(1)),
    )

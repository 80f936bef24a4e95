"""Editions to share, published as the hub publishes them but for where the figures come from."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from analytics.measures import MEASURES
from analytics.model import schema_of
from hub import formats
from hub.events import AuditEvent, Kind
from hub.parts import Parts
from hub.records import Release
from hub.release import object_name

PLACES: Final = MEASURES["places"]
PERIOD: Final = "2025-2026"
FIRST: Final = datetime(2026, 1, 10, 8, tzinfo=UTC)


def table(rows: int, edition: int) -> pa.Table:
    """Places that nobody lives at; their names tell the edition."""
    made = {
        "layer": ["stop"] * rows,
        "id": [str(n) for n in range(rows)],
        "name": [f"Arrêt {n}, édition {edition}" for n in range(rows)],
        "commune": [None] * rows,
        "kind": [None] * rows,
        "lon": [1.9 + n / 1e6 for n in range(rows)],
        "lat": [47.9] * rows,
    }
    return pa.table(made, schema=schema_of(PLACES.columns))


def publish(
    parts: Parts,
    edition: int,
    rows: int = 3,
    measure: str = "places",
    *,
    kinds: tuple[str, ...] = ("parquet",),
    period: str = PERIOD,
    **manifest: Any,
) -> Release:
    """An edition of a measure; each is published a day after the one before it."""
    figures = table(rows, edition)
    digest = hashlib.sha256(f"{measure} {period} {edition} {rows}".encode()).hexdigest()
    prepared = {kind: formats.WRITERS[kind](figures) for kind in kinds}
    name = f"{measure}-{period}-{edition}"
    at = FIRST + timedelta(days=edition)
    parts.books.intend_release(
        digest, {"release": name}, event=AuditEvent(Kind.RELEASE_INTENDED, "hub", name, at)
    )
    for kind, data in prepared.items():
        parts.objects.put(object_name(digest, kind), [data])
    level = "open" if measure == "places" else "estimates"
    said: dict[str, Any] = {
        "id": name,
        "title": dict(PLACES.title),
        "licence": PLACES.licence,
        "columns": [],
        "embargo_until": None,
        "plan": {"k": 11},
        "protection": {"lane": level},
        "policy": {"obligations": {"protection": level}},
        "digest": {
            kind: f"sha256:{hashlib.sha256(data).hexdigest()}" for kind, data in prepared.items()
        },
    }
    return parts.books.publish_release(
        Release(name, measure, period, edition, digest, said | manifest, at),
        event=AuditEvent(Kind.RELEASE_PUBLISHED, "hub", name, at, {"contributors": 0}),
    )

"""The map's layers: the `places` release as GeoJSON, and as lists for those who do not see it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec

from hub.web.figures import department_of, plain
from hub.web.shelf import Shelf

LAYERS: Final = ("lycee", "stop", "carpool")
EMPTY_BOUNDS: Final = (-0.2, 46.3, 3.2, 48.9)
"""Longitudes and latitudes shown before there is anything to show."""


@dataclass(frozen=True, slots=True)
class Place:
    """One point of a layer."""

    layer: str
    id: str
    name: str
    commune: str
    kind: str
    department: str
    lon: float
    lat: float

    @property
    def words(self) -> str:
        """What a text search looks in."""
        return plain(f"{self.name} {self.commune} {self.id}")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer ready to be handed out: GeoJSON bytes, their ETag, their places by name."""

    name: str
    body: bytes
    etag: str
    places: tuple[Place, ...]


def _places(rows: Iterable[Mapping[str, Any]], departments: Mapping[str, str]) -> list[Place]:
    places: list[Place] = []
    for row in rows:
        lon, lat = row.get("lon"), row.get("lat")
        if not (isinstance(lon, (int, float)) and isinstance(lat, (int, float))):
            continue
        if not (math.isfinite(lon) and math.isfinite(lat)):
            continue
        text = {
            name: str(row.get(name) or "") for name in ("layer", "id", "name", "commune", "kind")
        }
        # A lycée's code names its department, and so does a commune's INSEE code.
        department = department_of("lycee", text["id"], departments) or next(
            (code for code in departments if text["commune"].startswith(code)), ""
        )
        places.append(Place(**text, department=department, lon=float(lon), lat=float(lat)))
    return sorted(places, key=lambda place: (place.department, plain(place.name), place.id))


def _layer(name: str, places: Iterable[Place], departments: Mapping[str, str]) -> Layer:
    own = tuple(place for place in places if place.layer == name)
    body = msgspec.json.encode(
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "properties": {
                        "layer": place.layer,
                        "id": place.id,
                        "name": place.name,
                        "place": departments.get(place.department, ""),
                    },
                    "geometry": {
                        "type": "Point",
                        # A metre: finer digits only make the answer longer.
                        "coordinates": [round(place.lon, 5), round(place.lat, 5)],
                    },
                }
                for place in own
            ],
        }
    )
    return Layer(name, body, f'"{sha256(body).hexdigest()[:32]}"', own)


@dataclass(slots=True)
class Layers:
    """Layers of the newest `places` release, prepared once per release."""

    shelf: Shelf
    _kept: tuple[str, dict[str, Layer]] | None = field(default=None, repr=False)

    def all(self) -> dict[str, Layer]:
        """Every layer by name; empty layers before the first release."""
        shown = self.shelf.latest("places")
        digest = shown.release.digest if shown else ""
        kept = self._kept
        if kept is None or kept[0] != digest:
            departments = self.shelf.territory.departments
            places = _places(shown.rows if shown else [], departments)
            kept = (digest, {name: _layer(name, places, departments) for name in LAYERS})
            # One assignment: two threads may both prepare, and both are right.
            self._kept = kept
        return kept[1]

    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the lycées (of everything where there is none)."""
        layers = self.all()
        places = layers["lycee"].places or [
            place for layer in layers.values() for place in layer.places
        ]
        if not places:
            return EMPTY_BOUNDS
        lons, lats = [place.lon for place in places], [place.lat for place in places]
        return (min(lons), min(lats), max(lons), max(lats))

    def search(self, text: str, limit: int) -> tuple[list[Place], int]:
        """The first `limit` places whose name or commune holds every word, and how many do."""
        words = plain(text).split()
        found = [
            place
            for layer in self.all().values()
            for place in layer.places
            if all(word in place.words for word in words)
        ]
        return found[:limit], len(found)

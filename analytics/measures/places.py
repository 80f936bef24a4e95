"""`places`: the layers of the map: lycées, public transport stops, car-pool places.

Inputs: the directory of lycées, GTFS stops, the national base of car-pool places: open data.
Population: none; no row is about a person, and nothing here is protected.
Dimensions: layer × place.
Computation: one row per place, the last name by order where a place was pushed twice; stops that
belong to a station are left to their station; car-pool places that are closed are left out, and
every place without a position. Car-pool places are context, not coverage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ibis
from numpy.random import Generator

from analytics.model import ODBL, Cells, Column, Measure, Protected, schema_of
from analytics.plan import Plan

LYCEES: Final = "region/lycees/lycees"
STOPS: Final = "region/gtfs/stops"
CARPOOL: Final = "region/carpool-places/carpool_places"

COLUMNS: Final = (
    Column("layer", "string", "Couche : lycee, stop, carpool", "Layer: lycee, stop, carpool"),
    Column("id", "string", "Identifiant publié par la source", "Identifier of the source"),
    Column("name", "string", "Nom", "Name"),
    Column("commune", "string", "Code INSEE, vide si inconnu", "INSEE code, empty if unknown"),
    Column("lon", "double", "Longitude (WGS 84)", "Longitude (WGS 84)", "degree"),
    Column("lat", "double", "Latitude (WGS 84)", "Latitude (WGS 84)", "degree"),
    Column("kind", "string", "Nature du lieu", "Kind of place"),
)


def _layer(table: Any, layer: str, *, id_: str, commune: str | None, kind: str | None) -> Any:
    """One layer in the published columns, once per identifier."""
    empty = ibis.literal("").cast("string")
    named = table.mutate(
        id=table[id_].cast("string"),
        place=ibis.coalesce(table[commune].cast("string"), "") if commune else empty,
        nature=ibis.coalesce(table[kind].cast("string"), "") if kind else empty,
    )
    named = named.filter(named["lon"].notnull() & named["lat"].notnull())
    once = named.mutate(
        turn=ibis.row_number().over(
            ibis.window(
                group_by="id",
                order_by=[named["name"].desc(), named["lon"], named["lat"], named["nature"]],
            )
        )
    )
    once = once.filter(once["turn"] == 0)
    return once.select(
        layer=ibis.literal(layer),
        id=once["id"],
        name=ibis.coalesce(once["name"], ""),
        commune=once["place"],
        lon=once["lon"],
        lat=once["lat"],
        kind=once["nature"],
    )


def compute(tables: Mapping[str, Any], plan: Plan, rng: Generator) -> Cells:
    """The three layers, one under the other."""
    del plan, rng  # one signature for every measure
    stops, carpool = tables[STOPS], tables[CARPOOL]
    layers = [
        _layer(tables[LYCEES], "lycee", id_="uai", commune="commune", kind="nature"),
        _layer(
            stops.filter(ibis.coalesce(stops["parent"], "") == ""),
            "stop",
            id_="stop_id",
            commune=None,
            kind=None,
        ),
        _layer(
            carpool.filter(carpool["open"]), "carpool", id_="id", commune="commune", kind="kind"
        ),
    ]
    together = ibis.union(*layers, distinct=False).order_by(["layer", "id"])
    return Cells("places", open_table=together.to_pyarrow().cast(schema_of(COLUMNS)))


def protect(cells: Cells, plan: Plan) -> Protected:
    """Nothing to protect: the table is about places."""
    del plan
    if cells.open_table is None:
        raise ValueError("cells about people are not places")
    return Protected(cells.open_table, {"lane": "open", "personal": False})


PLACES: Final = Measure(
    "places",
    {"fr": "Lycées, arrêts et lieux de covoiturage", "en": "Lycées, stops and car-pool places"},
    (LYCEES, STOPS, CARPOOL),
    COLUMNS,
    compute,
    protect,
    {
        "fr": "Lycées, arrêts de transport et lieux de covoiturage, pour les situer les uns par "
        "rapport aux autres. Aucune personne n’y figure.",
        "en": "Lycées, public transport stops and car-pool places, to see where they lie. "
        "Nobody is in it.",
    },
    # The national base of car-pool places is published under it, and it asks to share alike.
    licence=ODBL,
)

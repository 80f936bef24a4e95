"""The map's layers: valid GeoJSON of places, prepared once per release."""

from __future__ import annotations

import json

import pytest

from hub.web.layers import EMPTY_BOUNDS, Layers
from hub.web.shelf import MemoryShelf
from tests.web import published


def test_layers_hold_the_places_of_the_release() -> None:
    layers = Layers(published.full_shelf())
    collections = {name: json.loads(layer.body) for name, layer in layers.all().items()}
    assert {name: len(found["features"]) for name, found in collections.items()} == {
        "lycee": 10,
        "stop": 600,
        "carpool": 10,
    }
    first = next(
        feature
        for feature in collections["lycee"]["features"]
        if feature["properties"]["id"] == "0450049A"
    )
    assert first["geometry"] == {"type": "Point", "coordinates": [1.9056, 47.9033]}
    assert layers.all() is layers.all()
    assert layers.bounds() == (0.6868, 46.8035, 2.735, 48.4433)


def test_a_new_release_is_taken_up() -> None:
    shelf = published.full_shelf()
    layers = Layers(shelf)
    before = layers.all()
    shelf.shown["places"] = published.shown("places", published.place_rows()[:3])
    assert layers.all() is not before
    assert json.loads(layers.all()["stop"].body)["features"] == []


def test_before_a_release_layers_are_empty() -> None:
    layers = Layers(MemoryShelf(published.TERRITORY))
    assert layers.bounds() == EMPTY_BOUNDS
    assert all(json.loads(layer.body)["features"] == [] for layer in layers.all().values())
    assert layers.search("x", 5) == ([], 0)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "1.9"])
def test_a_place_without_a_position_is_left_out(value: object) -> None:
    row = published.place_rows()[0] | {"lon": value}
    shelf = MemoryShelf(published.TERRITORY, {"places": published.shown("places", [row])})
    assert json.loads(Layers(shelf).all()["lycee"].body)["features"] == []

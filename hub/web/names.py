"""What people call organisations: pages show names, addresses and books have ids."""

from __future__ import annotations

from collections.abc import Callable

from hub.parts import Parts


def names(parts: Parts) -> Callable[[str], str]:
    """An organisation's name: as it was registered, else as the territory says, else its id."""
    known = {one.id: one.name for one in parts.books.organisations() if one.name != one.id}
    return lambda organisation: known.get(organisation) or parts.territory.named(organisation)

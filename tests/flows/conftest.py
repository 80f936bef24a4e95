"""What hubs in tests are copies of is made first of all."""

from __future__ import annotations

import pytest

from tests.flows import world


@pytest.fixture(scope="session", autouse=True)
def first_hubs() -> None:
    """Before any test changes what they would be made with."""
    world.make_first()

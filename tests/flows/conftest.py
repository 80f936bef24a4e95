"""A hub with every partner, made once and copied: hashing its partners' secrets takes a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.parts import Parts
from tests.flows import world


@pytest.fixture(scope="session")
def hub_copied(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Parts]:
    """Makes a hub of its own in the folder it is given."""
    first = tmp_path_factory.mktemp("first") / "var"
    world.hub_in(first).books.close()

    def copied(home: Path) -> Parts:
        shutil.copytree(first, home)
        return world.hub_in(home)

    return copied

"""Argon2 is slow on purpose; only its own test needs that."""

from collections.abc import Iterator

import pytest

from hub.identity import passwords
from tests.identity.helpers import QUICK


@pytest.fixture(autouse=True)
def quick_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.module.__name__.endswith("test_passwords"):
        yield
        return
    passwords._nobody.cache_clear()
    monkeypatch.setattr(passwords, "_HASHER", QUICK)
    yield
    passwords._nobody.cache_clear()

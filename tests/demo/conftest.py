"""A small demo territory, generated once per worker."""

from pathlib import Path

import pytest

from hub.demo import Demo, generate

SCALE = 0.04


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return generate(tmp_path_factory.mktemp("demo"), seed=2026, scale=SCALE)


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real partners' files (../shared/data) are absent")
    return folder

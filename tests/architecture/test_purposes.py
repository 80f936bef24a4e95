"""No table holds the pseudonyms of two purposes, and linking is a purpose of its own."""

from pathlib import Path

import pytest

from connectors.registry import DATASETS
from consent.purposes import PURPOSES
from hub.settings import load_territory
from hub.stages import ACTS
from hub.storage.keyring import Keyring

TERRITORIES = sorted((Path(__file__).parents[2] / "hub" / "territories").glob("*.toml"))
ABOUT_PEOPLE = {key for key, dataset in DATASETS.items() if dataset.subject} - ACTS


def test_tables_belong_to_one_dataset() -> None:
    names = [f"{key}/{table}" for key, dataset in DATASETS.items() for table in dataset.tables]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", TERRITORIES, ids=lambda path: path.stem)
def test_a_dataset_about_people_has_one_purpose(path: Path) -> None:
    """A dataset's tables are keyed by its agreement's purpose: with two they would mix."""
    asked: dict[str, set[str]] = {}
    for terms in load_territory(path).agreements:
        asked.setdefault(f"{terms.partner}/{terms.dataset}", set()).add(terms.purpose)
    assert set(asked) >= ABOUT_PEOPLE
    for key in ABOUT_PEOPLE:
        assert len(asked[key]) == 1, key
        assert asked[key] <= set(PURPOSES), key
        assert "linking" not in asked[key], f"{key} would be joined without its own consent"


def test_each_purpose_and_period_has_a_key_of_its_own(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys")
    periods = ("2024-2025", "2025-2026", "2026-01")
    keys = {keyring.period_key(purpose, period) for purpose in PURPOSES for period in periods}
    assert len(keys) == len(PURPOSES) * len(periods)
    keyring.destroy("linking", "2026-01")
    assert "2026-01" not in keyring.periods("linking")
    assert "2026-01" in keyring.periods("school-mobility")
    assert keyring.period_key("linking", "2026-01") not in keys, "a destroyed key does not return"

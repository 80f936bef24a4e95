"""What is synced, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.storage import durable


def test_folders_are_synced_once_and_inner_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path | str] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    year, other = tmp_path / "period=2025", tmp_path / "period=2026"
    durable.sync_all_up([year / "bucket=1", year / "bucket=2", other / "bucket=1"], tmp_path)
    assert sorted(map(str, synced)) == sorted(
        map(str, [tmp_path, year, other, year / "bucket=1", year / "bucket=2", other / "bucket=1"])
    )
    for place, parent in ((year / "bucket=1", year), (year / "bucket=2", year), (other, tmp_path)):
        assert synced.index(place) < synced.index(parent)
    synced.clear()
    durable.sync_all_up([], tmp_path)
    assert synced == [], "nothing was made, the root neither"

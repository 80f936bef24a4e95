"""The demo, as a newcomer meets it: files pushed through the front door, releases served."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.storage.scan import find

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("demo") / "var"
    done = run(home, "demo", "--no-serve", "--scale", "0.2", "--json")
    return home, json.loads(done.stdout)


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub.cli", *words],
        cwd=ROOT,
        env={**os.environ, "HUB_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_pilots_receipt_counts_its_4800_trips(demo: tuple[Path, dict[str, Any]]) -> None:
    home, summary = demo
    pilot = next(push for push in summary["pushes"] if push["received"] == 4800)
    assert (pilot["partner"], pilot["dataset"], pilot["valid"]) == ("coachco2", "trips", 4800)
    listed = json.loads(run(home, "pushes", "--json").stdout)
    kept = next(push["kept"] for push in listed if push["id"] == pilot["id"])
    # 980 home–lycée trips, less those of people who did not agree.
    assert 800 <= kept <= 980


def test_every_push_is_stored_and_every_row_accounted_for(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    _, summary = demo
    assert {push["state"] for push in summary["pushes"]} == {"stored"}
    assert all(p["received"] == p["valid"] + p["rejected"] for p in summary["pushes"])
    assert sum(push["rejected"] for push in summary["pushes"]) == 9


def test_releases_are_computed_and_show_no_such_count(demo: tuple[Path, dict[str, Any]]) -> None:
    home, summary = demo
    assert len(summary["releases"]) == 3
    for release in summary["releases"]:
        rows = json.loads(run(home, "release", "get", release, "--format", "json").stdout)
        assert rows
        assert not {4800, 980, 100} & {v for row in rows for v in row.values() if type(v) is int}
    split = json.loads(
        run(home, "release", "get", summary["releases"][0], "--format", "json").stdout
    )
    region = [r for r in split if r["geography"] == "region" and r["population"] == "pupil"]
    assert region
    assert all(row["contributors"] in {"51-100", "101+"} for row in region)


def test_the_log_verifies_and_no_raw_reference_is_at_rest(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    home, summary = demo
    assert json.loads(run(home, "audit", "verify", "--json").stdout)["ok"] is True
    pushed = Path(summary["partners"])
    needles = [b"coachco2-synth-000001", b"SYN-CARD-0000001"]
    assert find(pushed, needles), "the scan finds them in the partners' own files"
    assert find(home, needles) == []


def test_a_second_demo_finds_what_is_there(demo: tuple[Path, dict[str, Any]]) -> None:
    home, _ = demo
    again = json.loads(run(home, "demo", "--no-serve", "--json").stdout)
    assert "pushes" not in again

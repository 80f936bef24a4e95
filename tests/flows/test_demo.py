"""The demo, as a newcomer meets it: files pushed through the front door, releases served."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from hub import participation, push, rights
from hub.audit import receipts
from hub.main import compose
from hub.participation import PERSON
from hub.reconcile import reconcile
from hub.settings import Settings
from tests.flows import command, real
from tests.services import needed
from tests.storage.scan import find
from tests.thorough import EVERYTHING

ROOT = Path(__file__).parents[2]
HUB = (sys.executable, "-m", "hub.cli")
SCALE = "1" if EVERYTHING else "0.2"
OF_THE_RUN = {"id", "accepted_at", "finished_at", "log_index"}
"""What no two runs share: names, times, places in the log. All else must be the same."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Built by a command typed a second time, the first having been killed half-way."""
    home = tmp_path_factory.mktemp("demo") / "var"
    words = "demo", "--no-serve", "--scale", SCALE, "--json"
    first = subprocess.Popen(
        [*HUB, *words],
        cwd=ROOT,
        env={**os.environ, "HUB_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    while not (home / "tables" / "region").is_dir() and first.poll() is None:
        time.sleep(0.05)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    return home, json.loads(run(home, *words).stdout)


def run(
    home: Path, *words: str, check: bool = True, told: Mapping[str, str] = MappingProxyType({})
) -> command.Done:
    done = command.run(words, {"HUB_HOME": str(home), **told})
    assert not check or done.returncode == 0, done.stderr
    return done


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


def test_a_participants_code_opens_a_page_with_rows(demo: tuple[Path, dict[str, Any]]) -> None:
    home, summary = demo
    parts = compose(Settings(home=home), opens=True)
    door = participation.Door(parts)
    mine = summary["participant"]
    code = door.who(door.enter(mine["code"], mine["secret"], "127.0.0.1"))
    assert code is not None
    assert sum(one.rows.num_rows for one in rights.own_rows(parts, PERSON, code, "page")) > 0
    parts.books.close()


def test_what_is_not_served_is_not_given_an_address(demo: tuple[Path, dict[str, Any]]) -> None:
    told = run(demo[0], "demo", "--no-serve").stdout
    assert "hub serve" in told
    assert "http" not in told


def test_the_commands_of_the_readme_work_on_the_demo(demo: tuple[Path, dict[str, Any]]) -> None:
    typed = re.findall(
        r"^\.venv/bin/hub (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert typed
    for words in typed:
        assert run(demo[0], *words.split()).stdout, words


def test_releases_are_computed_and_show_no_such_count(demo: tuple[Path, dict[str, Any]]) -> None:
    home, summary = demo
    assert len(summary["releases"]) == 4
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
    other = run(home, "demo", "--no-serve", "--seed", "7", check=False)
    assert (other.returncode, "[demo-of-another-seed]" in other.stderr) == (5, True)


def test_a_home_that_is_no_demo_s_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "var"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    refused = run(home, "demo", "--no-serve", check=False)
    assert (refused.returncode, "[home-not-empty]" in refused.stderr) == (5, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["var", "thesis.txt"]


def given_out(home: Path, **settings: Any) -> dict[str, Any]:
    """Every push, what its verified receipt says, and each release's bytes in each format."""
    parts = compose(Settings(home=home, **settings), opens=True)
    pushes = sorted(parts.books.pushes(limit=100), key=lambda made: made.accepted_at)
    notes = [receipts.verify(push.receipt(parts, made), parts.log.keys) for made in pushes]
    said = [push.shown(made, operator=True) for made in pushes]
    told = {
        "pushes": [{k: v for k, v in one.items() if k not in OF_THE_RUN} for one in said],
        "receipts": [{k: v for k, v in one.items() if k not in OF_THE_RUN} for one in notes],
        "releases": {
            name: parts.objects.get(name)
            for made in parts.books.releases()
            for name in parts.objects.list(f"releases/{made.digest}/")
            if not name.endswith("/manifest.json")  # it names when and by whom
        },
    }
    assert reconcile(parts).problems == []
    parts.books.close()
    return told


def test_on_real_services_it_gives_the_same_digit_for_digit(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Two hubs that share nothing but the partners' files: no key, hence no pseudonym either."""
    needed("postgres")
    home, summary = demo
    settings, other = real.settings_on(real.SERVERS[0]), tmp_path / "var"
    run(other, "demo", "--no-serve", "--scale", SCALE, told=real.environment(settings))
    expected, found = given_out(home), given_out(other, **settings)
    assert len(expected["pushes"]) == len(summary["pushes"])
    assert len(expected["releases"]) > len(summary["releases"])
    for what, said in expected.items():
        assert found[what] == said, what

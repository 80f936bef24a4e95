"""The official Delta Sharing client against a real server process.

`deploy/services` makes its environment, `build/sharing-venv`, from `requirements.lock` beside this
file. Without it these tests are skipped, or fail where SERVICES=required.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from hub import recipients
from hub.records import Role
from tests.flows import world
from tests.flows.served import Served
from tests.services import missing
from tests.sharing import editions

PYTHON: Final = Path(__file__).parents[2] / "build" / "sharing-venv" / "bin" / "python"
SHARE: Final = "centre-val-de-loire"
TABLE: Final = f"{SHARE}.places.2025-2026"
ASKED: Final = recipients.Asked("cd37", Role.COLLECTIVITY)
ROWS: Final = {1: 40, 2: 60, 3: 50}


class Client:
    """The official client with one profile."""

    def __init__(self, profile: Path) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-W", "ignore", Path(__file__).with_name("client.py"), profile],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def send(self, **command: Any) -> Any:
        """Say one thing, hear one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def do(self, what: str, **command: Any) -> Any:
        """The answer, where there must be one."""
        heard = self.send(do=what, **command)
        assert "answer" in heard, heard
        return heard["answer"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Sharing(Served):
    """A hub with three editions of a table, served under an address it knows."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._environment["HUB_PUBLIC_URL"] = self.url
        self.parts = world.hub_in(home, public_url=self.url)
        for edition, rows in ROWS.items():
            editions.publish(self.parts, edition, rows=rows)
        self._folder = home.parent

    def admitted(
        self, *, oauth: bool = False, ago: timedelta = timedelta(), **changed: Any
    ) -> tuple[str, Client]:
        """A recipient's id, and the client with its profile."""
        now = self.parts.clock() - ago
        at = replace(self.parts, clock=lambda: now)
        client, profile = recipients.add(at, ASKED, oauth=oauth)
        file = self._folder / f"{client.id}.share"
        file.write_text(json.dumps(profile | changed))
        return client.id, Client(file)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    if not PYTHON.exists():
        missing("build/sharing-venv is not there; `make services` makes it")
    home = tmp_path_factory.mktemp("served") / "var"
    made = Sharing(home)
    with made:
        yield made
    made.parts.books.close()


@pytest.fixture(scope="module")
def client(hub: Sharing) -> Iterator[Client]:
    _, made = hub.admitted()
    yield made
    made.close()


def names(edition: int) -> list[str]:
    return sorted(f"Arrêt {n}, édition {edition}" for n in range(ROWS[edition]))[:10]


def test_it_lists_what_is_shared(client: Client) -> None:
    assert client.do("list") == [TABLE]
    assert client.do("version", table=TABLE) == 3
    assert client.do("version", table=TABLE, starting_timestamp="2026-01-11T00:00:00Z") == 1
    assert '"lon"' in client.do("columns", table=TABLE)


@pytest.mark.parametrize("delta", [False, True, None])
def test_it_loads_the_figures(client: Client, delta: bool | None) -> None:
    loaded = client.do("load", table=TABLE, use_delta_format=delta)
    figures = editions.table(ROWS[3], 3)
    assert (loaded["columns"], loaded["rows"]) == (figures.column_names, ROWS[3])
    assert loaded["names"] == names(3)
    assert loaded["sum"] == pytest.approx(sum(figures["lon"].to_pylist()))


@pytest.mark.parametrize("delta", [False, True])
def test_it_limits_and_travels_in_time(client: Client, delta: bool) -> None:
    how: dict[str, Any] = {"table": TABLE, "use_delta_format": delta}
    assert client.do("load", limit=7, **how)["rows"] == 7
    assert client.do("load", version=1, **how)["names"] == names(1)
    earlier = client.do("load", timestamp="2026-01-12T12:00:00Z", **how)
    assert earlier["names"] == names(2)
    hinted = client.do("load", jsonPredicateHints='{"op":"x"}', **how)
    assert hinted["rows"] == ROWS[3]
    assert client.send(do="load", version=9, **how)["status"] == 400


@pytest.mark.parametrize("delta", [False, True])
def test_it_reads_what_changed(client: Client, delta: bool) -> None:
    how: dict[str, Any] = {"table": TABLE, "use_delta_format": delta}
    read = client.do("changes", starting_version=1, **how)
    assert read["changes"] == ["delete 2", "delete 3", "insert 1", "insert 2", "insert 3"]
    assert read["rows"] == 2 * ROWS[1] + 2 * ROWS[2] + ROWS[3]
    some = client.do("changes", starting_version=2, ending_version=2, **how)
    assert some["changes"] == ["delete 2", "insert 2"]
    assert some["rows"] == ROWS[1] + ROWS[2]


def test_an_oauth_profile_loads_too(hub: Sharing) -> None:
    name, client = hub.admitted(oauth=True)
    assert client.do("load", table=TABLE)["rows"] == ROWS[3]
    recipients.revoke(hub.parts, name)
    assert client.send(do="load", table=TABLE)["status"] == 401
    client.close()


def test_a_wrong_an_expired_and_a_revoked_token_get_nothing(hub: Sharing) -> None:
    _, wrong = hub.admitted(bearerToken="wrong")
    name, revoked = hub.admitted()
    assert revoked.do("list") == [TABLE]
    recipients.revoke(hub.parts, name)
    _, expired = hub.admitted(ago=timedelta(days=ASKED.days, seconds=1))
    for client in (wrong, revoked, expired):
        assert client.send(do="list")["status"] == 401
        assert client.send(do="load", table=TABLE)["status"] == 401
        client.close()


def test_a_revocation_in_the_middle_of_a_load_stops_the_next_file(hub: Sharing) -> None:
    name, client = hub.admitted()
    load: dict[str, Any] = {"table": TABLE, "starting_version": 1, "pause": True}
    try:
        assert client.send(do="changes", **load) == {"read": 1}
        assert client.send(go="on")["answer"]["rows"] > ROWS[1]
        assert client.send(do="changes", **load) == {"read": 1}
        recipients.revoke(hub.parts, name)
        # The 403 of the file is told as a file that is not there.
        assert client.send(go="on")["error"] == "FileNotFoundError"
    finally:
        client.close()

"""The official Delta Sharing client against a real server process.

`deploy/services` makes its environment, `build/sharing-venv`, from `requirements.lock` beside this
file. Without it these tests are skipped, or fail where SERVICES=required.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from hub import recipients
from hub.records import Role
from tests.flows import world
from tests.flows.world import People
from tests.services import missing
from tests.sharing import editions
from tests.sharing.served import ASKED, PYTHON, Client, Sharing

SHARE: Final = "centre-val-de-loire"
TABLE: Final = f"{SHARE}.places.2025-2026"
ROWS: Final = {1: 40, 2: 60, 3: 50}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    if not PYTHON.exists():
        missing("build/sharing-venv is not there; `make services` makes it")
    home = tmp_path_factory.mktemp("served") / "var"
    made = Sharing(home)
    for edition, rows in ROWS.items():
        editions.publish(made.parts, edition, rows=rows)
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


@pytest.fixture(scope="module")
def people(hub: Sharing) -> People:
    """Who asks and who decides about a restricted release, and the release."""
    cited = {"code": "business_secret", "partners": ["coachco2"], "legal_text": "L. 151-1"}
    for edition, rows in ((1, 25), (2, 30)):
        editions.publish(
            hub.parts, edition, rows, "modal-split", open=False, exception=cited, plan={"k": 11}
        )
    accounts = {"asker": (Role.COLLECTIVITY, "orleans"), "steward": (Role.STEWARD, "hub")}
    return world.signed_in(hub.parts, accounts)


@pytest.mark.parametrize("oauth", [False, True])
@pytest.mark.parametrize("delta", [False, True])
def test_a_request_s_profile_loads_what_was_approved_until_it_is_revoked(
    hub: Sharing, people: People, client: Client, tmp_path: Path, delta: bool, oauth: bool
) -> None:
    """All of it over HTTP: asked, approved, the profile handed out, loaded, revoked."""

    def say(name: str, path: str, **body: Any) -> httpx2.Response:
        answer = httpx2.post(f"{hub.url}/v1/requests{path}", json=body, headers=people[name])
        assert answer.is_success, answer.text
        return answer

    restricted = f"{SHARE}.modal-split.2025-2026"
    assert client.do("list") == [TABLE]  # nobody is shown it who was not given it
    asked = say("asker", "", measure="modal-split", purpose="evaluation").json()
    at = f"/{asked['id']}"
    assert say("steward", f"{at}/decision", approve=True).json()["state"] == "approved"
    file = tmp_path / "orleans.share"
    file.write_bytes(say("asker", f"{at}/profile?oauth={str(oauth).lower()}").content)
    given = Client(file)
    try:
        assert given.do("list") == [restricted]
        loaded = given.do("load", table=restricted, use_delta_format=delta)
        assert loaded["rows"] == 30
        assert loaded["sum"] == pytest.approx(sum(editions.table(30, 2)["lon"].to_pylist()))
        assert given.do("load", table=restricted, use_delta_format=delta, version=1)["rows"] == 25
        say("steward", f"{at}/revocation", ground="misuse")
        assert given.send(do="load", table=restricted)["status"] in {401, 403}
    finally:
        given.close()


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

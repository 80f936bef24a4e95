"""Release: computed from the pushes, protected, attacked, approved, immutable."""

import io
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from analytics import measures
from analytics.plan import Plan
from hub import release, withdraw, worker
from hub.application import application
from hub.consents import digest_of
from hub.errors import Denied, NotFound, Rejected
from hub.parts import OPERATOR, Parts
from hub.policy.gate import DenyAll
from hub.shelf import Shelf
from tests.flows import world

PEOPLE = [f"acc-{n:03d}" for n in range(60)]
MODES = ("CAR", "BUS", "WALKING", "BICYCLING")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    parts = world.hub_with_places(tmp_path / "var")
    world.agree(parts, *PEOPLE)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE, days=4, modes=MODES))
    return parts


def test_a_modal_split_is_computed_from_the_pushes(parts: Parts) -> None:
    made, new = release.build(parts, "modal-split")
    assert new
    rows = [
        row
        for row in Shelf(parts).rows(made)
        if row["geography"] == "region" and not row["suppressed"]
    ]
    assert rows, "sixty people of one lycée make a region"
    step = 2  # 51 to 100 contributors
    for row in rows:
        assert row["contributors"] == "51-100"
        assert row["estimate"] % step == 0
        assert row["low"] <= row["estimate"] <= row["high"]
    by_mode = {row["mode"]: row["estimate"] for row in rows}
    # A quarter goes by each mode; walking and cycling are one.
    assert abs(by_mode["active"] - 50) <= step
    assert abs(by_mode["car"] - 25) <= step


def test_no_count_is_in_what_is_published(parts: Parts) -> None:
    made, _ = release.build(parts, "modal-split")
    with TestClient(application(parts)) as client:
        shown = client.get(f"/v1/releases/{made.id}/manifest").json()
        data = client.get(f"/v1/releases/{made.id}/data?format=json").json()
    assert "contributors" not in {key for key in shown if key != "columns"}
    assert not any(isinstance(v, int) and v in (60, 480) for row in data for v in row.values())


def test_the_manifest_tells_how_it_was_made(parts: Parts) -> None:
    made, _ = release.build(parts, "carbon-balance")
    manifest = made.manifest
    assert {"policy", "plan", "protection", "attack", "inputs", "digest"} <= set(manifest)
    assert {"table": "coachco2/trips/trips", "version": 1} in manifest["inputs"] or any(
        entry["table"] == "coachco2/trips/trips" for entry in manifest["inputs"]
    )
    rows = Shelf(parts).rows(made)
    assert all(row["factors"] for row in rows)
    assert made.log_index is not None
    intended = parts.books.events(kind="release.intended", about=made.id)
    published = parts.books.events(kind="release.published", about=made.id)
    assert intended[0].sequence < published[0].sequence


def test_the_same_table_is_published_once(parts: Parts) -> None:
    first, _ = release.build(parts, "modal-split")
    again, new = release.build(parts, "modal-split")
    assert (again.id, new) == (first.id, False)


def test_one_person_leaving_changes_the_measure_and_no_release(parts: Parts) -> None:
    made, _ = release.build(parts, "modal-split")
    shelf = Shelf(parts)
    before = shelf.data(made, "csv")
    opened = release.open_tables(parts, measures.MEASURES["modal-split"])
    counted = release.measure(parts, measures.MEASURES["modal-split"], opened)
    withdraw.withdraw(
        parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", PEOPLE[0]), via="cli"
    )
    # At once, before any row is rewritten: the grants are asked again.
    at_once = release.measure(parts, measures.MEASURES["modal-split"], opened)
    assert counted.contributors - at_once.contributors == 1
    worker.drain(parts)
    for person in PEOPLE[1:10]:  # one person may vanish in the rounding: take away some more
        withdraw.withdraw(
            parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", person), via="cli"
        )
    worker.drain(parts)
    with pytest.raises(Rejected, match="Too few people"):
        release.build(parts, "modal-split")
    assert Shelf(parts).data(made, "csv") == before
    assert [r.id for r in parts.books.releases("modal-split")] == [made.id]


def test_a_dead_policy_engine_publishes_nothing(parts: Parts) -> None:
    with pytest.raises(Denied):
        release.build(replace(parts, policy=DenyAll()), "modal-split")
    assert parts.books.releases() == []
    assert parts.books.events(kind="access.denied")


def test_an_unprotected_table_is_blocked_by_its_attacker(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measures.MEASURES["modal-split"]

    def careless(cells: measures.Cells, plan: Plan) -> measures.Protected:
        made = real.protect(cells, plan)
        raw = made.table.set_column(
            made.table.column_names.index("estimate"),
            "estimate",
            [[33.333] * made.table.num_rows],
        )
        return replace(made, table=raw)

    monkeypatch.setattr(measures, "MEASURES", {"modal-split": replace(real, protect=careless)})
    with pytest.raises(Denied, match="attacker"):
        release.build(parts, "modal-split")
    assert parts.books.releases() == []
    (blocked,) = parts.books.events(kind="release.blocked")
    assert msgspec.json.decode(blocked.body)["facts"]["findings"]


def test_nothing_to_measure_is_said(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="received no push"):
        release.build(world.hub_in(tmp_path / "empty"), "modal-split")
    with pytest.raises(NotFound):
        release.build(world.hub_in(tmp_path / "empty"), "nothing")


def test_every_format_says_the_same(parts: Parts) -> None:
    made, _ = release.build(parts, "modal-split")
    with TestClient(application(parts)) as client:
        base = f"/v1/releases/{made.id}/data"
        csv = pd.read_csv(io.BytesIO(client.get(f"{base}?format=csv").content))
        parquet = pd.read_parquet(io.BytesIO(client.get(f"{base}?format=parquet").content))
        rows = client.get(base, headers={"accept": "application/json"}).json()
        assert client.get(f"{base}?format=exe").status_code == 422
    assert csv["estimate"].tolist() == pytest.approx(parquet["estimate"].tolist(), nan_ok=True)
    assert len(rows) == len(csv)
    assert datetime.fromisoformat(made.manifest["published_at"]) == made.published_at

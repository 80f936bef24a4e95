"""What a push is read with: whom it is about, the communes and schools the hub holds, findings."""

import dataclasses
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from connectors.contract import Batch, Reading
from connectors.partners.coachco2.export_samples import export, line, moment
from connectors.partners.coachco2.samples import measure
from hub import consents, push, quarantine, worker
from hub.application import application
from hub.cli.app import app
from hub.cli.operate import add_partner
from hub.parts import OPERATOR, Parts
from tests.connectors.reading import real
from tests.flows import world
from tests.flows.test_http import bearer, is_problem
from tests.storage import scan

TRIPS = "/v1/partners/coachco2/datasets/trips/pushes"
TAPS = "/v1/partners/transdev/datasets/validations/pushes"
ACCOUNT = "élève-canari-77.example"
HEADER = {"hub-reference": "%C3%A9l%C3%A8ve-canari-77.example"}
DAYS = ("Mon Nov 17 2025", "Tue Nov 18 2025", "Wed Nov 19 2025", "Thu Nov 20 2025")


def trips_of_one(*extra: str) -> bytes:
    """An export of one account: to the lycée and back on four days."""
    home, lycee = world.home_of(1), world.LYCEE
    lines = []
    for number, day in enumerate(DAYS):
        for turn, (here, there, start) in enumerate(
            ((home, lycee, "07:30:00"), (lycee, home, "16:30:00"))
        ):
            end = start[:3] + "50" + start[5:]
            lines.append(
                line(
                    Trip_Id=f"t{number}{turn}",
                    Trip_Start_Date=moment(start, day), Trip_End_Date=moment(end, day),
                    Section_Start_Date=moment(start, day), Section_End_Date=moment(end, day),
                    Section_Coordinates=f"{here[0]},{here[1]},{there[0]},{there[1]}",
                )
            )  # fmt: skip
    return export(*lines, *extra)


def mended(parts: Parts) -> Parts:
    """The hub after a fix: what the app calls far is read as a distance."""
    trips = parts.datasets["coachco2/trips"]

    def read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
        return trips.read(io.BytesIO(file.read().replace(b'"far"', b'"4200"')), reading)

    fixed = dataclasses.replace(trips, read=read)
    return dataclasses.replace(parts, datasets={**parts.datasets, trips.key: fixed})


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.founded(tmp_path / "var")


def joined(parts: Parts, *partners: str) -> Parts:
    for partner in partners:
        add_partner(parts, partner)
    return parts


@pytest.fixture
def client(parts: Parts) -> TestClient:
    return TestClient(application(parts), raise_server_exceptions=False)


def state(client: TestClient, headers: dict[str, str], location: str) -> dict[str, Any]:
    told: dict[str, Any] = client.get(location, headers=headers).json()
    return told


def test_an_export_is_about_the_person_its_header_names(
    client: TestClient, parts: Parts, tmp_path: Path
) -> None:
    headers = bearer(client, parts, "coachco2")
    world.reference_data(joined(parts, "region"))
    world.agree(parts, ACCOUNT)
    bad = line(Trip_Id="bad", Section_Distance="far")
    content = trips_of_one(bad)
    named = client.post(TRIPS, content=content, headers=headers | HEADER)
    unnamed = client.post(TRIPS, content=content, headers=headers)
    tus = {"tus-resumable": "1.0.0", "upload-length": str(len(content))}
    upload = client.post(TRIPS, headers=headers | HEADER | tus).headers["location"]
    patch = headers | {"tus-resumable": "1.0.0", "upload-offset": "0",
                       "content-type": "application/offset+octet-stream"}  # fmt: skip
    assert client.patch(upload, content=content, headers=patch).status_code == 204
    assert {name.partition("/")[0] for name in parts.vault.names()} >= {"references", "pushes"}
    assert scan.find(tmp_path / "var", [ACCOUNT.encode()], parts.vault.unseal) != []
    assert scan.find(tmp_path / "var", [ACCOUNT.encode()]) == [], "sealed only"
    worker.drain(parts)
    assert list(parts.vault.names()) == []
    told = state(client, headers, named.headers["location"])
    assert (told["received"], told["valid"], told["reasons"]) == (9, 8, {"not_a_number": 1})
    pushed = parts.books.push(told["id"])
    assert pushed is not None
    assert pushed.kept == 8
    assert "canari" not in json.dumps(told)
    told = state(client, headers, f"/v1/pushes/{upload.rpartition('/')[2]}")
    assert (told["received"], told["valid"]) == (9, 8)
    told = state(client, headers, unnamed.headers["location"])
    assert told["reasons"]["missing_identifier"] == 9
    # A row set aside can be read again though the file is gone: it carries whom it is about.
    shown = quarantine.show(parts, OPERATOR, pushed.id)
    assert "canari" not in json.dumps(shown)
    (row,) = parts.books.set_aside(push=pushed.id)
    assert row.digest == consents.digest_of(parts, "coachco2", ACCOUNT)
    assert row.sealed is not None
    assert parts.vault.unseal(row.sealed).startswith(b"\0" + ACCOUNT.encode() + b"\n")
    assert quarantine.replay(parts, OPERATOR, pushed.id).left == 1
    again = quarantine.replay(mended(parts), OPERATOR, pushed.id)
    assert (again.replayed, again.left) == (1, 0)


@pytest.mark.parametrize(
    ("address", "reference", "code"),
    [
        (TAPS, "card-1", "reference-not-taken"),
        (TRIPS, "%20", "reference-unreadable"),
        (TRIPS, "a%0Ab", "reference-unreadable"),
        (TRIPS, "%FF", "reference-unreadable"),
        (TRIPS, "x" * 201, "reference-unreadable"),
    ],
)
def test_a_reference_that_cannot_be_taken_is_refused_by_name(
    address: str, reference: str, code: str, client: TestClient, parts: Parts
) -> None:
    headers = bearer(client, parts, address.split("/")[3]) | {"hub-reference": reference}
    upload = headers | {"tus-resumable": "1.0.0", "upload-length": "9"}
    for answer in (
        client.post(address, content=b"x", headers=headers),
        client.post(address, headers=upload),
    ):
        assert is_problem(answer, 422)
        assert answer.json()["code"] == code
    assert list(parts.vault.names()) == []


def test_a_key_counts_within_one_persons_exports(client: TestClient, parts: Parts) -> None:
    headers = bearer(client, parts, "coachco2") | {"idempotency-key": "monday"}
    first = client.post(TRIPS, content=b"x", headers=headers | {"hub-reference": "a"})
    again = client.post(TRIPS, content=b"x", headers=headers | {"hub-reference": "a"})
    other = client.post(TRIPS, content=b"x", headers=headers | {"hub-reference": "b"})
    bytes_ = client.post(TRIPS, content=b"y", headers=headers | {"hub-reference": "a"})
    assert [a.status_code for a in (first, again, other, bytes_)] == [202, 200, 202, 409]
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert len(list(parts.vault.names())) == 4, "what was not new left nothing"


def test_a_real_place_is_held_against_its_commune(parts: Parts) -> None:
    content = real("region/bnlc-cvl.csv").read_bytes()
    joined(parts, "region")
    assert world.pushed(parts, "region/carpool-places", content).findings == []
    header, *_ = world.enrolments().decode().splitlines()
    # Chef-lieu of Noyant-de-Touraine, rounded.
    row = f"2025-2026;{world.UAI};37176;Noyant-de-Touraine;0.55;47.11;30"
    world.pushed(parts, "region/lycees", world.lycees())
    world.pushed(parts, "region/enrolments", f"{header}\n{row}\n".encode())
    made = world.pushed(parts, "region/carpool-places", content)
    assert (made.received, made.valid, made.kept) == (29, 29, 29)
    assert made.warnings == {"far_from_commune": 1}
    (found,) = made.findings or ()
    assert (found["code"], found["lines"], found["kept"]) == ("far_from_commune", [[18, 18]], True)


def posts(*each: tuple[str, float, str]) -> bytes:
    return json.dumps(
        [measure(value=v, school=school) | {"startDate": day} for day, v, school in each]
    ).encode()


def test_measures_sent_again_replace_and_schools_get_their_code(parts: Parts) -> None:
    joined(parts, "coachco2", "region")
    waits = push.accept(parts, OPERATOR, "coachco2", "measures", [posts()])[0]
    worker.drain(parts)
    assert parts.books.push(waits.id).state == "accepted"  # type: ignore[union-attr]
    world.pushed(parts, "region/lycees", world.lycees())
    day = date(2025, 11, 17)
    first = posts((f"{day}", 3, "Lycée d’essai"), (f"{day}", 5, "Chez moi"))
    made = world.pushed(parts, "coachco2/measures", first)
    assert (made.kept, made.warnings) == (2, {"unknown_school": 1})
    made = world.pushed(
        parts, "coachco2/measures", posts((f"{day.replace(day=18)}", 4, "Chez moi"))
    )
    assert (made.received, made.valid) == (1, 1)
    (name,) = parts.tables.snapshot(["coachco2/measures/measures"]).files.values()
    rows = sorted(_rows(name), key=lambda row: row["value"])
    assert [(row["value"], row["uai"]) for row in rows] == [(3.0, world.UAI), (4.0, None)]
    again = push.process(parts, made.id)
    assert again.kept == made.kept


def _rows(files: tuple[str, ...]) -> list[dict[str, Any]]:
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_the_command_line_tells_findings_and_takes_the_account_out_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "var"))
    parts = world.hub_with_places(tmp_path / "var")
    world.agree(parts, "canari.example")
    file = tmp_path / "2025 11 21 - Déplacements canari.example.csv"
    file.write_bytes(trips_of_one(line(Trip_Id="bad", Section_Distance="far")))
    pushed = ["push", str(file), "--partner", "coachco2", "--dataset", "trips"]
    answer = CliRunner().invoke(app, pushed)
    assert answer.exit_code == 0, answer.output
    assert "kept: 8" in answer.output
    for words in ("not_a_number × 1 (mis de côté)", "not_a_number × 1 (set aside)", "lines 10"):
        assert words in answer.output
    assert "canari" not in answer.output
    (made,) = [p for p in parts.books.pushes() if p.dataset == "trips"]
    told = CliRunner().invoke(app, ["pushes", made.id])
    assert "not_a_number × 1 (set aside)" in told.output
    as_json = json.loads(CliRunner().invoke(app, ["pushes", made.id, "--json"]).output)
    assert as_json["findings"][0]["column"] == "Section_Distance"
    check = CliRunner().invoke(app, ["partner", "check", *pushed[1:], "--json"])
    assert json.loads(check.output)["valid"] == 8

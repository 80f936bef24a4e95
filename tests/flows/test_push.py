"""Push, end to end on real embedded parts: what is kept, what is refused, what the receipt says."""

import gzip
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hub import push, withdraw, worker
from hub.audit import receipts
from hub.consents import digest_of
from hub.errors import Conflict, Denied, NotFound, Unavailable
from hub.parts import OPERATOR, Actor, Parts
from hub.policy.gate import DenyAll
from hub.records import PushState
from tests.flows import world

PEOPLE = [f"acc-{n:03d}" for n in range(6)]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.hub_in(tmp_path / "var")


def rows_of(parts: Parts, table: str) -> int:
    return sum(file_rows(f) for f in parts.tables.snapshot([table]).files[table])


def file_rows(path: str) -> int:
    return int(pq.read_metadata(path).num_rows)


def test_only_people_who_agreed_reach_a_table(parts: Parts) -> None:
    world.reference_data(parts)
    world.agree(parts, *PEOPLE[:4])
    done = world.pushed(parts, "coachco2/trips", world.trips(PEOPLE))
    # 8 school days, two school trips each, and one swim on the Saturday.
    assert (done.state, done.received, done.valid, done.rejected) == ("stored", 102, 102, 0)
    assert done.dropped == 6
    assert done.kept == 4 * 16
    assert rows_of(parts, "coachco2/trips/trips") == 64


def test_an_objector_reaches_no_table(parts: Parts) -> None:
    withdraw.withdraw(
        parts, OPERATOR, "transdev", digest_of(parts, "transdev", "CARD-1"), via="cli"
    )
    done = world.pushed(parts, "transdev/validations", world.taps(["CARD-0", "CARD-1", "CARD-2"]))
    assert (done.received, done.kept) == (15, 10)


def test_bad_rows_are_set_aside_with_positions_and_never_contents(parts: Parts) -> None:
    file = world.taps(["CARD-0", "CARD-1"]).replace(b",Enter,", b",Fly,", 1)
    done = world.pushed(parts, "transdev/validations", file)
    assert (done.received, done.valid, done.rejected) == (10, 9, 1)
    assert done.reasons == {"unknown_value": 1}
    (row,) = parts.books.set_aside(push=done.id)
    assert (row.position, row.column, row.code) == (2, "fare_action", "unknown_value")
    assert row.sealed is not None
    assert b"CARD-0" not in row.sealed
    assert b"CARD-0" in parts.vault.unseal(row.sealed)
    assert "CARD-0" not in repr(row)


def test_quarantine_keeps_no_content_of_people_without_consent(parts: Parts) -> None:
    world.reference_data(parts)
    world.agree(parts, PEOPLE[0])
    # A Monday and a Tuesday that have not come yet.
    late = world.trips(PEOPLE[:2], days=2, first=date(2040, 1, 9))
    done = world.pushed(parts, "coachco2/trips", world.trips(PEOPLE[:2]) + late)
    kept = {row.sealed is not None for row in parts.books.set_aside(push=done.id)}
    assert (done.rejected, done.reasons) == (8, {"date_in_future": 8})
    assert kept == {True, False}


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "empty_file"),
        (world.taps(["A"]).replace(b",", b";"), "wrong_delimiter"),
        (b"\xff\xfe\x00bad", "wrong_encoding"),
        (b"transaction_id,service_date\n1,2026-01-01\n", "missing_column"),
        (gzip.compress(b"0" * (64 << 20)), "expands_too_much"),
    ],
)
def test_an_unreadable_file_is_refused_by_name(parts: Parts, file: bytes, code: str) -> None:
    done = world.pushed(parts, "transdev/validations", file)
    assert done.state is PushState.REFUSED
    assert done.problem is not None
    assert done.problem["code"] == code
    assert done.problem["fr"] != done.problem["en"]
    assert rows_of(parts, "transdev/validations/validations") == 0
    assert list(parts.vault.names()) == []


def test_the_same_key_and_bytes_is_one_push(parts: Parts) -> None:
    first = world.pushed(parts, "transdev/validations", world.taps(["C"]), key="k")
    again = world.pushed(parts, "transdev/validations", world.taps(["C"]), key="k")
    assert again.id == first.id
    assert rows_of(parts, "transdev/validations/validations") == 5
    with pytest.raises(Conflict):
        world.pushed(parts, "transdev/validations", world.taps(["D"]), key="k")
    assert list(parts.vault.names()) == []


def test_a_partner_pushes_only_its_own(parts: Parts) -> None:
    orange = Actor("orange-1", "partner", "orange", ("push",))
    with pytest.raises(Denied):
        push.accept(parts, orange, "transdev", "validations", [b"x"])
    with pytest.raises(NotFound):
        push.accept(parts, OPERATOR, "transdev", "nothing", [b"x"])
    assert parts.books.pushes() == []
    assert list(parts.vault.names()) == []
    assert parts.books.events(kind="access.denied")


def test_a_dead_policy_engine_lets_nothing_in(parts: Parts) -> None:
    shut = replace(parts, policy=DenyAll())
    with pytest.raises(Denied):
        push.accept(shut, OPERATOR, "transdev", "validations", [world.taps(["C"])])
    assert parts.books.pushes() == []


def test_trips_wait_for_the_lycee_directory(parts: Parts) -> None:
    world.agree(parts, PEOPLE[0])
    clock = [datetime.now(UTC)]
    slow = replace(parts, clock=lambda: clock[0])
    made, _ = push.accept(slow, OPERATOR, "coachco2", "trips", [world.trips(PEOPLE[:1])])
    with pytest.raises(Unavailable):
        push.process(slow, made.id)
    assert worker.drain(slow) == 1  # it fails for want of the directory, and waits
    waiting = parts.books.push(made.id)
    assert waiting is not None
    assert waiting.state is PushState.ACCEPTED
    world.reference_data(parts)
    clock[0] += timedelta(minutes=10)
    worker.drain(slow)
    done = parts.books.push(made.id)
    assert done is not None
    assert (done.state, done.kept) == (PushState.STORED, 16)


def test_the_receipt_verifies_and_tells_nothing_of_the_gate(parts: Parts) -> None:
    world.reference_data(parts)
    world.agree(parts, PEOPLE[0])
    done = world.pushed(parts, "coachco2/trips", world.trips(PEOPLE))
    note = push.receipt(parts, done)
    facts = receipts.verify(note, [parts.log.signer.verifier])
    assert (facts["kind"], facts["received"], facts["valid"]) == ("push", 102, 102)
    assert facts["log_index"] == done.log_index
    assert not {"kept", "dropped"} & set(facts)
    event = parts.books.event_at(int(facts["log_index"]))
    assert event is not None
    assert b'"push.stored"' in event.body


def test_reference_data_is_replaced_by_its_next_edition(parts: Parts) -> None:
    world.reference_data(parts)
    world.reference_data(parts)
    assert rows_of(parts, "region/lycees/lycees") == 1


def test_orphans_of_a_crash_are_swept_and_waiting_files_kept(parts: Parts) -> None:
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["C"])])
    parts.vault.keep("pushes/20250101T000000-00.age", [b"never acknowledged"], 1000)
    assert push.sweep(parts, parts.clock() + timedelta(days=1)) == 1
    assert list(parts.vault.names()) == [push.sealed_name(made.id)]


@pytest.mark.parametrize("file", [world.taps(["CARD-0"]), b"no,such,columns\n" * 9_000])
def test_a_sealed_file_cut_on_the_disk_waits_for_the_operator(parts: Parts, file: bytes) -> None:
    """Good or bad as far as it goes: nothing is committed, and nobody is told it was his fault."""
    made, _ = push.accept(parts, OPERATOR, "transdev", "validations", [file])
    (sealed,) = parts.settings.home.rglob(f"{made.id}.age*")
    whole = sealed.read_bytes()
    sealed.write_bytes(whole[:-1])
    with pytest.raises(Unavailable) as refusal:
        push.process(parts, made.id)
    assert refusal.value.code == "sealed-file-unreadable"
    table = "transdev/validations/validations"
    assert parts.tables.snapshot([table]).versions == {table: -1}
    sealed.write_bytes(whole)
    done = push.process(parts, made.id)
    assert done.state is (PushState.STORED if file.startswith(b"trans") else PushState.REFUSED)

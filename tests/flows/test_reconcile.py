"""What is changed behind the hub's back is found and named; a hub left alone agrees."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from hub import push, release, withdraw, worker
from hub.cli.operate import add_user
from hub.consents import digest_of
from hub.events import AuditEvent, Kind
from hub.parts import OPERATOR, Parts
from hub.reconcile import Report, reconcile
from hub.records import Role
from tests.flows import world

PEOPLE = [f"acc-{n:03d}" for n in range(60)]
MODES = ("CAR", "BUS", "WALKING", "BICYCLING")
TRIPS = "coachco2/trips/trips"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a hub after pushes, consents, withdrawals, an objection and releases."""
    home = tmp_path_factory.mktemp("lived") / "var"
    parts = world.hub_in(home)
    add_user(parts, "dpo", Role.DPO, "region", "secret")
    world.reference_data(parts)
    world.agree(parts, *PEOPLE)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE[:40], days=4, modes=MODES))
    bad = world.trips(PEOPLE[40:], days=4, modes=MODES) + b'{"_id": "broken"}\n'
    world.pushed(parts, "coachco2/trips", bad)
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", PEOPLE[3]),
                      via="cli")  # fmt: skip
    withdraw.withdraw(parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", "nobody"),
                      via="cli")  # fmt: skip
    worker.drain(parts)
    world.pushed(parts, "transdev/validations", world.taps(["A", "B", "C"]))
    withdraw.withdraw(parts, OPERATOR, "transdev", digest_of(parts, "transdev", "B"), via="cli")
    worker.drain(parts)
    world.pushed(parts, "region/lycees", world.lycees())
    world.pushed(parts, "region/lycees", b"not a directory")
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE[:2], days=2))
    release.build(parts, "modal-split")
    push.accept(parts, OPERATOR, "transdev", "validations", [world.taps(["D"])])
    parts.sequence()
    parts.books.close()
    return home


@pytest.fixture
def parts(lived: Path, tmp_path: Path) -> Iterator[Parts]:
    """A copy to be spoiled."""
    shutil.copytree(lived, tmp_path / "var")
    parts = world.hub_in(tmp_path / "var")
    yield parts
    parts.books.close()


def sql(parts: Parts, statement: str) -> int:
    """What someone with the file does, past every rule of ours."""
    with sqlite3.connect(parts.settings.home / "books.sqlite") as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            raw.execute(f"DROP TRIGGER {name}")
        changed = raw.execute(statement).rowcount
    raw.close()
    return changed


def named(report: Report, table: str) -> list[str]:
    return [problem.id for problem in report.problems if problem.table == table]


def test_a_hub_left_alone_agrees_with_its_log(parts: Parts) -> None:
    report = reconcile(parts)
    assert report.problems == []
    assert report.checked["grants"] >= len(PEOPLE)
    assert report.checked["commits"] >= 7
    for part in ("events", "entries", "pushes", "withdrawals", "releases", "tables", "files",
                 "vault", "jobs", "quarantine"):  # fmt: skip
        assert report.checked[part] > 0, part


def test_it_agrees_still_when_the_rest_is_done(parts: Parts) -> None:
    worker.drain(parts)
    assert reconcile(parts).problems == []


CHANGES = {
    "organisations": "UPDATE organisations SET name = 'x' WHERE id = 'orange'",
    "agreements": "UPDATE agreements SET basis = 'public_task' WHERE partner = 'coachco2'",
    "clients": "UPDATE clients SET scopes = '[\"push\"]' WHERE organisation = 'orange'",
    "accounts": "UPDATE accounts SET role = 'operator'",
    "pushes": "UPDATE pushes SET valid = valid + 1 WHERE dataset = 'trips'",
    "grants": "UPDATE grants SET state = 'given', ended_at = NULL WHERE state = 'withdrawn'",
    "withdrawals": "UPDATE withdrawals SET completed_at = NULL",
    "releases": "UPDATE releases SET period = '2024-2025'",
    "release_intents": "UPDATE release_intents SET digest = 'x'",
}


@pytest.mark.parametrize("table", CHANGES)
def test_a_row_changed_is_named(parts: Parts, table: str) -> None:
    assert sql(parts, CHANGES[table]) > 0
    found = [p for p in reconcile(parts).problems if p.table == table]
    assert found
    assert all("changed" in problem.what for problem in found)


@pytest.mark.parametrize("table", CHANGES)
def test_a_row_removed_is_named(parts: Parts, table: str) -> None:
    assert sql(parts, f"DELETE FROM {table}") > 0
    found = [p for p in reconcile(parts).problems if p.table == table]
    assert found
    assert any("gone" in problem.what for problem in found)


ADDED = {
    "grants": "INSERT INTO grants SELECT 999, 'forged', partner, purpose, x'00', 'given', "
    "population, given_at, expires_at, notice_version, evidence, NULL, event, written, nonce "
    "FROM grants LIMIT 1",
    "accounts": "INSERT INTO accounts SELECT 'forged', 'x', organisation, 'dpo', password_hash, "
    "event, written, nonce FROM accounts",
    "tokens": "INSERT INTO tokens SELECT x'00', id, scopes, '2099-01-01', event, written, nonce "
    "FROM clients LIMIT 1",
    "sessions": "INSERT INTO sessions SELECT x'00', id, '2099-01-01', event, written, nonce "
    "FROM accounts",
}


@pytest.mark.parametrize("table", ADDED)
def test_a_row_added_is_named(parts: Parts, table: str) -> None:
    sql(parts, ADDED[table])
    report = reconcile(parts)
    assert named(report, table) == ["00" if table in ("tokens", "sessions") else "forged"]
    assert len(report.problems) == 1


def test_a_grant_handed_to_another_person_is_named(parts: Parts) -> None:
    grant, = parts.books.grants_of(digest_of(parts, "coachco2", PEOPLE[5]))  # fmt: skip
    sql(parts, f"UPDATE grants SET subject = x'11' WHERE id = '{grant.id}'")
    assert named(reconcile(parts), "grants") == [grant.id]


def test_an_event_made_to_fit_is_named_by_the_log(parts: Parts) -> None:
    sql(
        parts,
        "UPDATE event_bodies SET body = replace(CAST(body AS TEXT), '\"rejected\":1', "
        "'\"rejected\":0') WHERE event IN (SELECT sequence FROM events WHERE kind = 'push.stored')",
    )
    assert "books" in {p.id.split(" ")[0] for p in reconcile(parts).problems if p.table == "log"}
    sql(parts, "UPDATE event_bodies SET body = x'00' WHERE event = 3")
    assert named(reconcile(parts), "events") == ["3"]


def test_an_event_passed_over_is_named(parts: Parts) -> None:
    assert sql(parts, "DELETE FROM event_places WHERE event = 5") == 1
    assert named(reconcile(parts), "events") == ["5"]


def test_an_event_removed_is_named_by_the_log(parts: Parts) -> None:
    sql(parts, "DELETE FROM events WHERE sequence = 5")
    assert any(problem.table == "log" for problem in reconcile(parts).problems)


def test_rows_of_quarantine_are_counted(parts: Parts) -> None:
    assert sql(parts, "DELETE FROM quarantine") == 1
    (problem,) = reconcile(parts).problems
    assert problem.table == "quarantine"
    (trips,) = [p.id for p in parts.books.pushes() if p.rejected]
    assert problem.id == trips


def test_a_row_of_quarantine_too_many_is_named(parts: Parts) -> None:
    push_id = parts.books.set_aside()[0].push
    sql(
        parts,
        'INSERT INTO quarantine (push, position, code, "column") '
        f"SELECT '{push_id}', 9, code, \"column\" FROM quarantine",
    )
    (problem,) = [p for p in reconcile(parts).problems if "too many" in p.what]
    assert (problem.table, problem.id) == ("quarantine", push_id)


def test_rows_of_quarantine_dropped_by_the_hub_are_no_finding(parts: Parts) -> None:
    push_id = parts.books.set_aside()[0].push
    event = AuditEvent(Kind.QUARANTINE_DROPPED, "hub", push_id, parts.clock(), {"because": "test"})
    assert parts.books.drop_set_aside(push=push_id, event=event) == 1
    assert reconcile(parts).problems == []


def test_a_promise_forgotten_is_named(parts: Parts) -> None:
    (waiting,) = parts.books.pending_pushes()
    assert sql(parts, "DELETE FROM jobs") == 1
    assert named(reconcile(parts), "jobs") == [waiting.id]


def test_the_vault_is_compared(parts: Parts) -> None:
    (waiting,) = parts.books.pending_pushes()
    name = push.sealed_name(waiting.id)
    parts.vault.forget(name)
    parts.vault.keep(name, [b"another file"], 1000)
    assert named(reconcile(parts), "vault") == [name]
    (parts.settings.home / "vault" / name).write_bytes(b"no age file")
    assert named(reconcile(parts), "vault") == [name]
    parts.vault.forget(name)
    assert named(reconcile(parts), "vault") == [name]
    parts.vault.keep("pushes/20200101T000000-00.age", [b"x"], 10)
    parts.vault.keep("pushes/x.age", [b"x"], 10)
    assert len(named(reconcile(parts), "vault")) == 3


def files(parts: Parts) -> list[Path]:
    return [Path(name) for name in parts.tables.snapshot([TRIPS]).files[TRIPS]]


def altered(parts: Parts) -> None:
    path = files(parts)[0]
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.slice(1), path)


def deleted(parts: Parts) -> None:
    files(parts)[0].unlink()


def extended(parts: Parts) -> None:
    folder = str(parts.settings.home / "tables" / TRIPS)
    rows = DeltaTable(folder).to_pyarrow_table()
    write_deltalake(folder, rows.slice(0, 1), mode="append")


def removed(parts: Parts) -> None:
    DeltaTable(str(parts.settings.home / "tables" / TRIPS)).delete()


def unlogged(parts: Parts) -> None:
    shutil.rmtree(parts.settings.home / "tables" / TRIPS / "_delta_log")


def gone(parts: Parts) -> None:
    shutil.rmtree(parts.settings.home / "tables" / TRIPS)


@pytest.mark.parametrize("spoil", [altered, deleted, extended, removed, unlogged, gone])
def test_a_table_changed_is_named(parts: Parts, spoil: Callable[[Parts], None]) -> None:
    spoil(parts)
    report = reconcile(parts)
    assert TRIPS in {problem.table for problem in report.problems}
    assert {problem.table for problem in report.problems} == {TRIPS}


def test_a_commit_between_two_of_ours_is_named_even_after_a_purge(parts: Parts) -> None:
    extended(parts)
    person = digest_of(parts, "coachco2", PEOPLE[7])
    withdraw.withdraw(parts, OPERATOR, "coachco2", person, via="cli")
    worker.drain(parts)
    assert TRIPS in {problem.table for problem in reconcile(parts).problems}


def test_a_file_altered_before_the_next_push_is_named_after_it(parts: Parts) -> None:
    altered(parts)
    world.pushed(parts, "coachco2/trips", world.trips(PEOPLE[:1], days=1))
    assert TRIPS in {problem.table for problem in reconcile(parts).problems}


def test_a_push_that_a_crash_cut_off_is_no_finding(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.drain(parts)
    made, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips(PEOPLE[:3], days=2)])

    class Crash(Exception):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(push, "replace", crash)
        with pytest.raises(Crash):
            push.process(parts, made.id)
    assert reconcile(parts).problems == []
    worker.drain(parts)
    assert reconcile(parts).problems == []
    assert reconcile(parts).checked["commits"] > 0


@pytest.mark.parametrize("cut_off", [PEOPLE[:3], ["another stranger"]])
def test_pushes_that_overtake_one_cut_off_are_no_finding(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, cut_off: list[str]
) -> None:
    worker.drain(parts)
    made, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips(cut_off, days=2)])

    class Crash(Exception):
        pass

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(push, "replace", crash)
        with pytest.raises(Crash):
            push.process(parts, made.id)
    # One keeps nothing, since nobody in it agreed; another keeps some.
    overtaking = [["stranger"], PEOPLE[4:6]]
    for people in overtaking:
        later, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips(people, days=2)])
        push.process(parts, later.id)
        assert reconcile(parts).problems == []
    worker.drain(parts)
    assert reconcile(parts).problems == []


def test_a_release_s_files_are_compared(parts: Parts) -> None:
    (made,) = parts.books.releases()
    folder = parts.settings.home / "objects" / "releases" / made.digest
    for name in ("data.csv", "data.parquet"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"9")
    assert named(reconcile(parts), "releases") == [made.id, made.id]
    (folder / "data.csv").unlink()
    assert len(reconcile(parts).problems) == 2
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "licence": "none"}), "utf-8")
    assert len(reconcile(parts).problems) == 3
    (folder / "manifest.json").write_text("{", "utf-8")
    (folder / "data.xlsx").write_bytes(b"more")
    assert len(reconcile(parts).problems) == 4


def test_a_log_that_lost_its_checkpoint_is_named(parts: Parts) -> None:
    (parts.settings.home / "log" / "checkpoint").unlink()
    assert "log" in {problem.table for problem in reconcile(parts).problems}

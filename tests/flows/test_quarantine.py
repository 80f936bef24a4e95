"""Rows set aside: refused whole where they are too many, read again, shown as shapes, expired."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from connectors.contract import Batch, Dataset, Malformed, Reading, Rejected
from hub import push, quarantine, withdraw
from hub.cli.app import app
from hub.consents import digest_of
from hub.errors import Conflict, Denied, NotFound
from hub.parts import OPERATOR, Actor, Parts
from hub.reconcile import reconcile
from hub.records import PushState
from hub.settings import DEFAULT_TERRITORY
from hub.stages import Tally, Tolerance
from hub.storage.sealing import Opener
from hub.storage.vault import Vault
from tests.flows import world

TABLE = "transdev/validations/validations"
PARTNER = Actor("c", "partner", "transdev", ("push",))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return world.hub_in(tmp_path / "var")


def taps(good: int, bad: int) -> bytes:
    """Rows of TIDES, the last ones with a fare action nobody publishes."""
    text = world.taps([f"card-{n}" for n in range(good + bad)], days=1).decode().splitlines()
    rows = [r if n < good else r.replace(",Enter,", ",Sneak,") for n, r in enumerate(text[1:])]
    return "\n".join([text[0], *rows, ""]).encode()


def mended(dataset: Dataset) -> Dataset:
    """The dataset after a fix: what its partner calls Sneak is read as Enter."""

    class Mended:
        def __init__(self, file: BinaryIO) -> None:
            self._file = file

        def read(self, size: int, /) -> bytes:
            return self._file.read(size).replace(b",Sneak,", b",Enter,")

    def read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
        return dataset.read(Mended(file), reading)  # type: ignore[arg-type]

    return dataclasses.replace(dataset, read=read)


def fixed(parts: Parts) -> Parts:
    key = "transdev/validations"
    return dataclasses.replace(parts, datasets={**parts.datasets, key: mended(parts.datasets[key])})


def rows(parts: Parts) -> int:
    return sum(pq.read_metadata(f).num_rows for f in parts.tables.snapshot([TABLE]).files[TABLE])


@pytest.mark.parametrize(
    ("good", "bad", "state"),
    [(499, 501, "refused"), (500, 500, "stored"), (0, 1200, "refused"), (10, 400, "stored")],
)
def test_a_mostly_bad_file_is_refused_whole(good: int, bad: int, state: str, parts: Parts) -> None:
    made = world.pushed(parts, "transdev/validations", taps(good, bad))
    assert made.state == state
    if state == "stored":
        assert (made.received, made.valid, made.rejected, rows(parts)) == (
            good + bad, good, bad, good,
        )  # fmt: skip
        assert len(parts.books.rejections(made.id)) == bad
        return
    assert made.problem is not None
    assert made.problem["code"] == "mostly_rejected"
    assert made.problem["reasons"] == {"unknown_value": bad}
    assert made.problem["first"]["position"] == good + 2
    assert (made.received, rows(parts)) == (0, 0)
    assert parts.books.set_aside() == []
    assert parts.books.rejections(made.id) == []
    assert push.receipt(parts, made)


def batch(dataset: Dataset, count: int, raw: bytes) -> Batch:
    (table,) = dataset.tables
    empty = dataset.tables[table].empty_table().combine_chunks().to_batches()
    records = empty[0] if empty else None
    bad = tuple(Rejected(n, "wrong_type", raw=raw) for n in range(count))
    return Batch(table, records, count, bad)


def test_a_tally_holds_no_more_than_it_may(parts: Parts) -> None:
    dataset = parts.datasets["transdev/validations"]
    tally = Tally(tolerance=Tolerance(raw_bytes=100, most=30))
    tally.take(batch(dataset, 30, b"x" * 9))
    assert sum(len(row.raw or b"") for row in tally.rejected) == 99
    assert len(tally.rejected) == 30
    with pytest.raises(Malformed, match="mostly_rejected"):
        tally.take(batch(dataset, 1, b""))


def test_a_replay_after_a_fix_stores_what_is_good_now(parts: Parts) -> None:
    made = world.pushed(parts, "transdev/validations", taps(5, 3))
    assert quarantine.replay(parts, OPERATOR, made.id).shown() == {
        "push": made.id, "replayed": 0, "kept": 0, "left": 3,
    }  # fmt: skip
    done = quarantine.replay(fixed(parts), OPERATOR, made.id)
    assert (done.replayed, done.kept, done.left, rows(parts)) == (3, 3, 0, 8)
    assert parts.books.set_aside() == []
    assert quarantine.replay(fixed(parts), OPERATOR, made.id).replayed == 0
    assert rows(parts) == 8
    (event,) = parts.books.events(kind="quarantine.replayed")
    facts = json.loads(event.body)["facts"]
    assert (facts["push"], facts["rows"], facts["kept"]) == (made.id, 3, 3)
    assert reconcile(parts).problems == []
    assert parts.books.push(made.id) == made  # its receipt says what was sent


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replay_that_dies_adds_no_row_twice(
    when: str, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.pushed(parts, "transdev/validations", taps(5, 3))
    original = type(parts.tables).append

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        if when == "after":
            original(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(parts.tables), "append", dies)
        with pytest.raises(KeyboardInterrupt):
            quarantine.replay(fixed(parts), OPERATOR, made.id)
    assert len(parts.books.set_aside()) == 3
    # Read by the old connector: what had been appended is known without reading it again.
    again = quarantine.replay(parts, OPERATOR, made.id)
    assert (again.replayed, rows(parts)) == ((3, 8) if when == "after" else (0, 5))
    quarantine.replay(fixed(parts), OPERATOR, made.id)
    assert rows(parts) == 8
    assert parts.books.set_aside() == []
    assert reconcile(parts).problems == []


def test_who_objected_since_is_not_replayed(parts: Parts) -> None:
    made = world.pushed(parts, "transdev/validations", taps(1, 2))
    digest = digest_of(parts, "transdev", "card-2")
    before = parts.books.rejections(made.id)
    withdraw.withdraw(parts, OPERATOR, "transdev", digest, via="cli")
    done = quarantine.replay(fixed(parts), OPERATOR, made.id)
    assert (done.kept, rows(parts)) == (1, 2)
    # What the partner is shown says nothing of it, whether replayed or withdrawn.
    assert parts.books.rejections(made.id) == before
    assert [place for place, _, _ in before] == [3, 4]


def test_duplicates_among_replayed_rows_stay(parts: Parts) -> None:
    rows_of = taps(1, 2).decode().splitlines()
    twice = "\n".join([*rows_of, rows_of[-1], ""]).encode()
    made = world.pushed(parts, "transdev/validations", twice)
    assert made.rejected == 3
    done = quarantine.replay(fixed(parts), OPERATOR, made.id)
    assert (done.replayed, done.left, rows(parts)) == (2, 1, 3)


def test_an_older_edition_is_not_replayed_into_a_newer(parts: Parts) -> None:
    bad = world.lycees().replace(b"047.91", b"x") + b"short\n"
    first = world.pushed(parts, "region/lycees", bad)
    assert first.state is PushState.STORED
    world.pushed(parts, "region/lycees", world.lycees() + b" \n")
    with pytest.raises(Conflict, match="later edition"):
        quarantine.replay(parts, OPERATOR, first.id)


def test_showing_gives_shapes_and_no_content(parts: Parts) -> None:
    made = world.pushed(parts, "transdev/validations", taps(1, 2))
    (shown,) = quarantine.show(parts, OPERATOR, made.id, 3)
    assert (shown["code"], shown["column"]) == ("unknown_value", "fare_action")
    assert shown["fr"]
    assert shown["en"]
    assert shown["pattern"].startswith("a-9-9,9999-99-99,9999-99-99a99:99:99,9,a,a,")
    assert "card" not in json.dumps(shown)
    assert "Sneak" not in json.dumps(shown)
    with pytest.raises(NotFound):
        quarantine.show(parts, OPERATOR, made.id, 99)
    for allowed in (quarantine.show, quarantine.replay):
        with pytest.raises(Denied):
            allowed(parts, PARTNER, made.id)


def test_all_rows_of_a_push_are_opened_with_one_key(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.pushed(parts, "transdev/validations", taps(2, 5))
    asked: list[Vault] = []
    opener = Vault.opener

    def counted(vault: Vault) -> Opener:
        asked.append(vault)
        return opener(vault)

    monkeypatch.setattr(Vault, "opener", counted)
    assert len(quarantine.show(parts, OPERATOR, made.id)) == 5
    assert len(asked) == 1
    quarantine.replay(parts, OPERATOR, made.id)
    assert len(asked) == 2


def test_rows_without_content_are_shown_where_nothing_can_be_opened(parts: Parts) -> None:
    dataset = parts.datasets["transdev/validations"]

    def read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
        for one in dataset.read(file, reading):
            bare = tuple(dataclasses.replace(row, raw=None) for row in one.rejected)
            yield dataclasses.replace(one, rejected=bare)

    silent = {**parts.datasets, dataset.key: dataclasses.replace(dataset, read=read)}
    told = dataclasses.replace(parts, datasets=silent)
    made = world.pushed(told, "transdev/validations", taps(2, 5))
    seals = Vault(parts.objects, parts.keyring.recipient)
    shown = quarantine.show(dataclasses.replace(told, vault=seals), OPERATOR, made.id)
    assert [row["pattern"] for row in shown] == [None] * 5


def test_rows_are_listed_by_partner_and_reason(parts: Parts) -> None:
    world.pushed(parts, "transdev/validations", taps(1, 2))
    listed = quarantine.listed(parts, OPERATOR, None, "transdev", "unknown_value")
    assert len(listed) == 2
    assert quarantine.listed(parts, OPERATOR, None, "orange", None) == []
    assert quarantine.listed(parts, OPERATOR, None, None, "wrong_date") == []


def test_rows_expire_with_an_event(parts: Parts) -> None:
    made = world.pushed(parts, "transdev/validations", taps(1, 2))
    last = made.accepted_at + push.QUARANTINE
    assert quarantine.expire(parts, last) == 0
    assert len(parts.books.rejections(made.id)) == 2
    assert quarantine.expire(parts, last + timedelta(days=1)) == 2
    assert parts.books.rejections(made.id) == []
    assert [json.loads(e.body)["facts"]["because"]
            for e in parts.books.events(kind="quarantine.dropped")] == ["expired"]  # fmt: skip
    parts.sequence()
    assert reconcile(parts).problems == []


def test_documents_are_replayed_one_by_one(parts: Parts) -> None:
    world.reference_data(parts)
    people = [f"acc-{n}" for n in range(3)]
    world.agree(parts, *people)
    spoiled = world.trips(people).replace(
        b'"distance": 4000.0, "start_loc"', b'"distance": "far", "start_loc"'
    )
    made = world.pushed(parts, "coachco2/trips", spoiled)
    assert made.valid == 0
    dataset = parts.datasets["coachco2/trips"]

    class Mended:
        def __init__(self, file: BinaryIO) -> None:
            self._data = file.read(-1).replace(b'"far"', b"4000.0")

        def read(self, size: int, /) -> bytes:
            head, self._data = self._data[:size], self._data[size:]
            return head

    def read(file: BinaryIO, reading: Reading) -> Iterator[Batch]:
        return dataset.read(Mended(file), reading)  # type: ignore[arg-type]

    mended_parts = dataclasses.replace(
        parts,
        datasets={**parts.datasets, dataset.key: dataclasses.replace(dataset, read=read)},
    )
    done = quarantine.replay(mended_parts, OPERATOR, made.id)
    assert parts.books.set_aside(push=made.id) == []
    assert done.replayed == made.received
    assert done.kept == 48


def test_the_command_line_shows_replays_and_lists(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.pushed(parts, "transdev/validations", taps(1, 2))
    monkeypatch.setenv("HUB_HOME", str(parts.settings.home))
    fetching_nothing = parts.settings.home / "territory.toml"
    before, _, pulls = DEFAULT_TERRITORY.read_text("utf-8").partition("[[pulls]]")
    fetching_nothing.write_text(before + pulls[pulls.index("[recognition]") :], "utf-8")
    monkeypatch.setenv("HUB_TERRITORY", str(fetching_nothing))

    def said(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert len(said("quarantine", "list", "--reason", "unknown_value")) == 2
    assert said("quarantine", "list", "--reason", "wrong_date") == []
    assert [row["position"] for row in said("quarantine", "show", made.id, "3")] == [3]
    assert said("quarantine", "replay", made.id)["left"] == 2
    assert said("pull") == []

"""Back-ups: sealed, whole, expiring; and nobody who has left comes back with one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub import (
    backup,
    consents,
    corrections,
    journal,
    participation,
    push,
    rights,
    withdraw,
    worker,
)  # fmt: skip
from hub.cli.app import app
from hub.errors import Conflict, Rejected, Unavailable
from hub.main import bucket_of, compose, zones_of
from hub.participation import PERSON
from hub.parts import OPERATOR, Parts
from hub.reconcile import reconcile
from hub.records import Backup
from hub.settings import Settings
from hub.storage import age
from tests.flows import real, world
from tests.flows.test_withdraw import kept, names_of
from tests.services import needed
from tests.storage.scan import find

STAYS, LEAVES = "acc-who-stays", "acc-who-leaves"
KEY = age.Identity.make()


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    home, folder = tmp_path / "var", tmp_path / "elsewhere"
    parts = world.hub_with_places(home, backup_recipient=KEY.recipient.text, backups=folder)
    world.agree(parts, STAYS, LEAVES)
    world.pushed(parts, "coachco2/trips", world.trips([STAYS, LEAVES]))
    return parts


def file_of(parts: Parts, made: Backup) -> Path:
    return parts.settings.backup_folder / "backups" / f"{made.id}.age"


def restored(parts: Parts, made: Backup, to: Path) -> tuple[Parts, int]:
    with file_of(parts, made).open("rb") as sealed:
        told = backup.unpack(sealed, KEY, to, parts.clock())
    there = compose(Settings(home=to, lease_seconds=2), opens=True)
    count = backup.resume(there, told, parts.settings.backup_folder, KEY)
    return there, count


def leave(parts: Parts, person: str) -> str:
    digest = consents.digest_of(parts, "coachco2", person)
    return withdraw.withdraw(parts, OPERATOR, "coachco2", digest, via="cli").id


def test_what_is_restored_is_what_was(parts: Parts, tmp_path: Path) -> None:
    waiting, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips([STAYS], days=3)])
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    worker.drain(parts)
    assert made.size == file_of(parts, made).stat().st_size
    there, count = restored(parts, made, tmp_path / "new")
    assert count == 0
    assert kept(there) == 32
    worker.drain(there)
    done = there.books.push(waiting.id)
    assert done is not None
    assert done.kept == 6, "what was acknowledged before is processed after"
    assert reconcile(there).problems == []
    assert there.log.signer.verifier == parts.log.signer.verifier


def test_who_left_since_does_not_come_back(parts: Parts, tmp_path: Path) -> None:
    names = names_of(parts, LEAVES)
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    leave(parts, LEAVES)
    worker.drain(parts)
    assert find(parts.settings.home, names, parts.vault.unseal) == []
    with file_of(parts, made).open("rb") as sealed:
        backup.unpack(sealed, KEY, tmp_path / "looked-into", parts.clock())
    assert find(tmp_path / "looked-into", names, parts.vault.unseal) != [], "the back-up has them"
    there, count = restored(parts, made, tmp_path / "new")
    assert count == 1
    assert kept(there) == 16
    assert find(there.settings.home, names, there.vault.unseal) == []
    assert world.pushed(there, "coachco2/trips", world.trips([LEAVES])).kept == 0
    assert reconcile(there).problems == []


def test_days_taken_out_since_do_not_come_back(parts: Parts, tmp_path: Path) -> None:
    digest = consents.digest_of(parts, "coachco2", STAYS)
    (grant,) = parts.books.grants_of(digest)
    (handed,) = participation.again(parts, OPERATOR, grant)
    code = rights.holder_of(parts, handed.code)
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    days = rights.days(parts, code)["coachco2/trips"]
    corrections.ask(parts, PERSON, code, "coachco2/trips", days[1].isoformat(), days[0].isoformat())
    worker.drain(parts)
    assert rights.days(parts, code)["coachco2/trips"] == days[2:]
    assert find(parts.settings.backup_folder, [days[0].isoformat().encode()]) == []
    there, _ = restored(parts, made, tmp_path / "new")
    assert rights.days(there, rights.holder_of(there, handed.code))["coachco2/trips"] == days[2:]
    assert kept(there) == kept(parts)


def test_objections_in_a_file_are_in_the_journal_too(parts: Parts) -> None:
    before = parts.clock()
    world.pushed(parts, "transdev/objections", b"reference\nCARD-9\n")
    [entry] = journal.since(parts.settings.backup_folder, KEY, before)
    assert entry.subject == consents.digest_of(parts, "transdev", "CARD-9")


def test_the_receipt_says_when_the_last_back_up_expires(parts: Parts) -> None:
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    done = withdraw.complete(parts, leave(parts, LEAVES))
    assert withdraw.shown(done)["backups_expire_at"] == made.expires_at.isoformat()
    assert withdraw.receipt(parts, done)


def test_nothing_of_a_person_is_readable_in_the_folder(parts: Parts) -> None:
    backup.create(parts, OPERATOR, zones_of(parts.settings))
    leave(parts, LEAVES)
    names = names_of(parts, LEAVES)
    assert find(parts.settings.backup_folder, names) == []
    assert not list(parts.settings.home.glob(f"{backup.COPY}*"))


def test_a_back_up_expires_after_thirty_days(parts: Parts, tmp_path: Path) -> None:
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    leave(parts, LEAVES)
    almost = replace(parts, clock=lambda: made.created_at + timedelta(days=29, hours=23))
    assert backup.expire(almost) == 0
    later = replace(parts, clock=lambda: made.created_at + timedelta(days=30))
    with file_of(parts, made).open("rb") as sealed, pytest.raises(Rejected, match="expired"):
        backup.unpack(sealed, KEY, tmp_path / "new", later.clock())
    assert backup.expire(later) == 1
    assert not file_of(parts, made).exists()
    assert parts.books.backups() == []
    assert parts.books.backups_until() is None
    much_later = replace(parts, clock=lambda: made.created_at + timedelta(days=32))
    backup.expire(much_later)
    assert list(journal.since(parts.settings.backup_folder, KEY, made.created_at)) == []


def test_a_damaged_back_up_is_refused_whole(parts: Parts, tmp_path: Path) -> None:
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    whole = file_of(parts, made).read_bytes()
    flipped = bytearray(whole)
    flipped[9_999] ^= 1
    for number, bad in enumerate((whole[:-1], whole[:-70_000], bytes(flipped))):
        to = tmp_path / f"bad-{number}"
        with pytest.raises(Unavailable):
            backup.unpack(io.BytesIO(bad), KEY, to, parts.clock())
        assert not to.exists()
    other = age.Identity.make()
    with pytest.raises(Unavailable):
        backup.unpack(io.BytesIO(whole), other, tmp_path / "other", parts.clock())


def test_a_restore_is_refused_where_it_could_bring_someone_back(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="journal"):
        backup.check_home(tmp_path / "new", None, none_since=False)
    backup.check_home(tmp_path / "new", None, none_since=True)
    (tmp_path / "books.sqlite").touch()
    with pytest.raises(Conflict):
        backup.check_home(tmp_path, tmp_path, none_since=False)


def test_without_a_recipient_there_is_no_back_up(tmp_path: Path) -> None:
    parts = world.hub_in(tmp_path / "var")
    with pytest.raises(Rejected, match="RECIPIENT"):
        backup.create(parts, OPERATOR, zones_of(parts.settings))
    assert parts.books.backups() == []


# On services ----------------------------------------------------------------------------------


def typed(*words: str, home: Path, **settings: Any) -> dict[str, Any]:
    """`hub backup …` as an operator types it, with these settings in the environment."""
    env = environment(settings) | {"HUB_HOME": str(home), "HUB_LEASE_SECONDS": "2"}
    done = CliRunner().invoke(app, ["backup", *words, "--json"], env=env)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("server", real.SERVERS)
@pytest.mark.parametrize("to", ["services", "folder"])
def test_a_hub_on_services_is_backed_up_and_restored(server: str, to: str, tmp_path: Path) -> None:
    needed("postgres")
    kept_at = {"backup_recipient": KEY.recipient.text, "backups": tmp_path / "elsewhere"}
    settings = services_on(server) | kept_at
    parts = world.hub_with_places(tmp_path / "var", **settings)
    world.agree(parts, STAYS, LEAVES)
    world.pushed(parts, "coachco2/trips", world.trips([STAYS, LEAVES]))
    waiting, _ = push.accept(parts, OPERATOR, "coachco2", "trips", [world.trips([STAYS], days=3)])
    names = names_of(parts, LEAVES)
    made = typed("create", home=parts.settings.home, **settings)
    leave(parts, LEAVES)
    worker.drain(parts)
    parts.books.close()

    identity = tmp_path / "identity.txt"
    identity.write_text(KEY.text)
    file = tmp_path / "elsewhere" / "backups" / f"{made['id']}.age"
    assert find(tmp_path / "elsewhere", names) == []
    fresh: dict[str, Any] = kept_at | (services_on(server) if to == "services" else {})
    words = ("restore", str(file), "--identity", str(identity))
    journal_at = ("--withdrawals", str(tmp_path / "elsewhere"))
    told = typed(*words, *journal_at, home=tmp_path / "new", **fresh)
    assert told["withdrawals"] == 1

    there = compose(Settings(home=tmp_path / "new", lease_seconds=2, **fresh), opens=True)
    assert kept(there) == 16, "who left since is not back"
    worker.drain(there)
    done = there.books.push(waiting.id)
    assert done is not None
    assert done.kept == 6, "what was acknowledged before is processed after"
    assert world.pushed(there, "coachco2/trips", world.trips([LEAVES])).kept == 0
    assert reconcile(there).problems == []
    assert there.log.signer.verifier == parts.log.signer.verifier
    if to == "services":
        left = {path.name for path in (tmp_path / "new").iterdir()}
        assert left <= {"keys", "scratch", "backup.json"}, "files are in the bucket, books on it"
        again = CliRunner().invoke(
            app, ["backup", *words, *journal_at],
            env={"HUB_HOME": str(tmp_path / "third"), **environment(fresh)},
        )  # fmt: skip
        assert isinstance(again.exception, Conflict), "a hub that is there is not overwritten"
        bucket = bucket_of(there.settings)
        stored = b"".join(bucket.get(key) for key in bucket.keys(bucket.key("")))
        assert [name for name in names if name in stored] == []
    there.books.close()


def services_on(server: str) -> dict[str, Any]:
    """An empty database and bucket; the policies embedded, whichever bundle the OPA server has."""
    return real.settings_on(server, ways={"policy": "127.0.0.1:1"}) | {"policy_url": ""}


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as an operator exports them."""
    return {f"HUB_{name.upper()}": str(value) for name, value in settings.items()}

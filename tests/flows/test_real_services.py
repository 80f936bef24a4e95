"""The same hub on PostgreSQL, S3 and OPA: the same receipts and releases, digit for digit.

And what happens when each of them goes away in the middle of a push, a release, a withdrawal.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from hub import push, reconcile, release, withdraw, worker
from hub.audit import receipts
from hub.consents import digest_of
from hub.errors import Unavailable
from hub.main import bucket_of
from hub.parts import OPERATOR, Parts
from hub.records import PushState
from hub.storage.keyring import Keyring
from tests import own
from tests.faulty import Faulty
from tests.flows import real, world
from tests.policy.cases import policy_url
from tests.services import needed
from tests.storage import buckets
from tests.storage.books.real import address
from tests.thorough import EVERYTHING

BEGIN = datetime(2026, 2, 2, 8, tzinfo=UTC)
ACCOUNTS = [f"account-{n}" for n in range(60)]
MEASURES = ("modal-split", "carbon-balance")
MODES = ("CAR", "BUS", "WALKING", "BICYCLING")


def predictable(parts: Parts) -> Parts:
    """The hub with a clock that stands and dice of its own: two of them do the same."""
    dice, keys = random.Random(6), random.Random(7)
    return replace(
        parts,
        clock=lambda: BEGIN,
        token=lambda size: dice.randbytes(size).hex(),
        keyring=Keyring(parts.settings.home / "keys", keys.randbytes),
    )


def signed(receipt: bytes) -> bytes:
    """A receipt as it was signed, without the proof that names the log's other entries."""
    return receipts._split(receipt)[0]


def story(parts: Parts) -> dict[str, Any]:
    """Everything a hub gives out after pushes, releases, a withdrawal and another release."""
    world.reference_data(parts)
    world.agree(parts, *ACCOUNTS)
    made = [
        world.pushed(parts, "coachco2/trips", world.trips(ACCOUNTS, days=4, modes=MODES)),
        world.pushed(parts, "transdev/validations", world.taps(ACCOUNTS)),
        world.pushed(parts, "coachco2/trips", b"not json\n"),
    ]
    told: dict[str, Any] = {"pushes": [push.shown(p, operator=True) for p in made]}
    told["releases"] = [published(parts, measure) for measure in MEASURES]
    gone = withdraw.withdraw(
        parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", ACCOUNTS[7]), via="cli"
    )
    worker.drain(parts)
    parts.sequence()
    done = parts.books.withdrawal(gone.id)
    assert done is not None
    assert done.completed_at is not None
    # Its receipt also holds random numbers of the books: what they stand for is the same.
    told["withdrawal"] = withdraw.shown(done)
    assert withdraw.receipt(parts, done)
    told["receipts"] = [
        signed(push.receipt(parts, found))
        for found in (parts.books.push(p.id) for p in made)
        if found is not None
    ]
    report = reconcile.reconcile(parts)
    assert report.ok, report.problems
    told["checked"] = dict(report.checked)
    return told


def published(parts: Parts, measure: str) -> Any:
    made, new = release.build(parts, measure)
    assert new
    objects = [parts.objects.get(n) for n in parts.objects.list(f"releases/{made.digest}/")]
    return made.id, made.digest, release.shown(made), objects


@pytest.mark.parametrize("server", real.SERVERS)
def test_the_same_receipts_and_releases_digit_for_digit(server: str, tmp_path: Path) -> None:
    needed("postgres")
    first = predictable(world.hub_in(tmp_path / "embedded"))
    # The key that signs is made when it is first asked for.
    assert first.log.signer.name
    shutil.copytree(tmp_path / "embedded" / "keys", tmp_path / "services" / "keys")
    other = predictable(world.hub_in(tmp_path / "services", **real.settings_on(server)))
    expected, found = story(first), story(other)
    assert [p["state"] for p in expected["pushes"]] == ["stored", "stored", "refused"]
    for what, said in expected.items():
        assert found[what] == said, what
    assert not [name for name in ("vault", "objects", "tables", "log", "public", "books.sqlite")
                if (tmp_path / "services" / name).exists()]  # fmt: skip
    for parts in (first, other):
        parts.books.close()


BEHIND = {
    "grants": "UPDATE grants SET population = 'staff' WHERE number = 2",
    "pushes": "UPDATE pushes SET valid = valid + 1 WHERE dataset = 'trips'",
    "organisations": "DELETE FROM organisations WHERE id = 'orange'",
    "log": r"UPDATE event_bodies SET body = body || '\x20' WHERE event = 5",
    "events": "DELETE FROM event_places WHERE event = 6",
}


def test_what_is_changed_behind_the_hub_s_back_is_named_there_too(tmp_path: Path) -> None:
    needed("postgres")
    parts = world.hub_with_places(tmp_path / "var", **real.settings_on(real.SERVERS[0]))
    world.agree(parts, *ACCOUNTS[:12])
    world.pushed(parts, "coachco2/trips", world.trips(ACCOUNTS[:12], days=2))
    parts.sequence()
    assert reconcile.reconcile(parts).problems == []
    owner = create_engine(address("owner", make_url(parts.settings.database_url).database or ""))
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in BEHIND.values():
            assert connection.execute(text(statement)).rowcount == 1
    owner.dispose()
    bucket = bucket_of(parts.settings)
    files = [key for key in bucket.keys(bucket.key("tables/coachco2")) if key.endswith(".parquet")]
    bucket.delete(files[0])
    named = {problem.table for problem in reconcile.reconcile(parts).problems}
    parts.books.close()
    assert named == {*BEHIND, "coachco2/trips/trips"}


# The plug of each, pulled in the middle ---------------------------------------------------------

PLUGS = ("postgres", "s3", "policy")
CUTS = range(1, 40, 6) if EVERYTHING else (2, 9)


def ways() -> dict[str, Faulty]:
    s3 = buckets.address(real.SERVERS[0]).endpoint
    return {
        "postgres": Faulty(needed("postgres")["HUB_TEST_POSTGRES"]),
        "s3": Faulty(urlsplit(s3).netloc),
        "policy": Faulty(urlsplit(policy_url()).netloc),
    }


def until_done(act: Callable[[], Any], way: Faulty) -> Any:
    """Cut after so and so many requests of an act, mend, and do it again until it is done.

    What the act raises meanwhile is a named error of a part, and no other.
    """
    for cut in (*CUTS, None):
        way.requests, way.cut_after = 0, cut
        try:
            return act()
        except Unavailable:
            continue
        finally:
            way.renew()
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("plug", PLUGS)
def test_a_plug_pulled_in_the_middle_loses_nothing_and_opens_nothing(
    plug: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        through = {name: stack.enter_context(way) for name, way in ways().items()}
        addresses = {name: each.address for name, each in through.items()}
        settings = real.settings_on(real.SERVERS[0], ways=addresses)
        goes_on_through(through[plug], tmp_path, settings)


OWN: Final[Mapping[str, Callable[[Path], AbstractContextManager[own.Service]]]] = {
    "postgres": lambda _: own.postgres(),
    "minio": own.minio,
    "versitygw": own.versitygw,
    "policy": own.policy,
}


@pytest.mark.parametrize("name", OWN)
def test_a_service_killed_in_the_middle_and_started_again_loses_nothing(
    name: str, tmp_path: Path
) -> None:
    settings = real.settings_on(real.SERVERS[0])
    with OWN[name](tmp_path / name) as service, own.Plug(service) as plug:
        if name == "postgres":
            settings["database_url"] = f"postgresql://hub_owner@{plug.address}/postgres"
        elif name == "policy":
            settings["policy_url"] = f"http://{plug.address}"
        else:
            own.address(service)
            access_key, secret_key = own.KEYS
            settings |= {
                "storage_url": "s3://hub", "s3_endpoint": f"http://{plug.address}",
                "s3_access_key": access_key, "s3_secret_key": secret_key,
            }  # fmt: skip
        goes_on_through(plug, tmp_path / "var", settings)
        assert plug.kills > len(CUTS)


def goes_on_through(way: Faulty, home: Path, settings: dict[str, Any]) -> None:
    """A push, a withdrawal and a release, each cut again and again on its way to a service."""
    parts = world.hub_in(home, **settings)
    turns = [0]
    later = replace(parts, clock=lambda: parts.clock() + timedelta(hours=turns[0]))

    def work() -> None:
        """A worker's turn; what it could not do waits for a later one."""
        turns[0] += 1
        while worker.step(later):
            pass
        if later.books.promised():
            raise Unavailable("jobs-wait", fr="…", en="…", who="operator")

    try:
        world.reference_data(parts)
        world.agree(parts, *ACCOUNTS)
        content = world.trips(ACCOUNTS, days=4, modes=MODES)
        accepted = until_done(
            lambda: push.accept(parts, OPERATOR, "coachco2", "trips", [content], "key-1")[0],
            way,
        )
        until_done(work, way)
        found = parts.books.push(accepted.id)
        assert found is not None
        assert (found.state, found.kept) == (PushState.STORED, 480)
        gone = until_done(
            lambda: withdraw.withdraw(
                parts, OPERATOR, "coachco2", digest_of(parts, "coachco2", ACCOUNTS[7]), via="cli"
            ),
            way,
        )
        until_done(work, way)
        done = parts.books.withdrawal(gone.id)
        assert done is not None
        assert done.completed_at is not None
        made, _ = until_done(lambda: release.build(parts, MEASURES[0]), way)
        until_done(parts.sequence, way)
        assert [p.id for p in parts.books.pushes()].count(accepted.id) == 1
        assert parts.objects.get(release.object_name(made.digest, "csv"))
        report = reconcile.reconcile(parts)
        assert report.ok, report.problems
    finally:
        parts.books.close()

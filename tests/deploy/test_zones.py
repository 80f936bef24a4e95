"""What `deploy/s3` lets each process do in the bucket is enough for it, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import urllib3
from fastapi.testclient import TestClient

from hub import release, withdraw, worker
from hub.application import application
from hub.audit.tiles import CHECKPOINT
from hub.cli.operate import add_partner
from hub.consents import digest_of
from hub.errors import Unavailable
from hub.main import bucket_of, compose
from hub.parts import OPERATOR, Parts
from hub.settings import Settings
from hub.storage.s3 import Bucket
from tests import own
from tests.flows import world

POLICIES: Final = Path(__file__).parents[2] / "deploy" / "s3"
SECRETS: Final = {zone: f"{zone}-secret-of-sixteen" for zone in ("web", "worker")}
PEOPLE: Final = [f"account-{n}" for n in range(60)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[own.Service]:
    """A server that knows two users, with the bucket's policy made of both files."""
    with own.versitygw(tmp_path_factory.mktemp("zones") / "server", SECRETS) as service:
        owner = Bucket(own.address(service))
        statements = [
            {"Principal": {"AWS": [zone]}} | statement
            for zone in ("web", "worker", "public")
            for statement in json.loads((POLICIES / f"{zone}.json").read_text("utf-8"))["Statement"]
        ]
        policy = {"Version": "2012-10-17", "Statement": statements}
        owner.client.set_bucket_policy(owner.name, json.dumps(policy))
        yield service


def as_user(server: own.Service, home: Path, zone: str) -> Parts:
    """The hub over that bucket, with one user's keys."""
    settings: dict[str, Any] = {
        "storage_url": "s3://hub", "s3_endpoint": f"http://{server.address}",
        "s3_access_key": zone, "s3_secret_key": SECRETS[zone], "home": home, "lease_seconds": 2,
    }  # fmt: skip
    return compose(Settings(**settings), opens=zone == "worker")


def test_each_process_can_do_its_work(server: own.Service, tmp_path: Path) -> None:
    working, web = (as_user(server, tmp_path, zone) for zone in ("worker", "web"))
    secrets = {terms.id: add_partner(working, terms.id) for terms in working.territory.partners}
    client = TestClient(application(web))
    made, secret = secrets["coachco2"]
    token = client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.id, secret)
    ).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    world.reference_data(working)
    world.agree(working, *PEOPLE)
    content = world.trips(PEOPLE, days=4, modes=("CAR", "BUS", "WALKING", "BICYCLING"))
    address = "/v1/partners/coachco2/datasets/trips/pushes"
    sent = client.post(address, content=content, headers=headers)
    assert sent.status_code == 202, sent.text
    # Of two with one key the second file is put away again: the web process removes what it sealed.
    again = {"idempotency-key": "k"}
    assert client.post(address, content=content, headers=headers | again).status_code == 202
    assert client.post(address, content=b"{}", headers=headers | again).status_code == 409
    worker.drain(working)
    state = client.get(f"/v1/pushes/{sent.json()['id']}", headers=headers).json()
    assert state["state"] == "stored"
    assert client.get(f"/v1/pushes/{state['id']}/receipt", headers=headers).status_code == 200
    released, _ = release.build(working, "modal-split")
    assert client.get(f"/v1/releases/{released.id}/data?format=csv").status_code == 200
    withdraw.withdraw(
        working, OPERATOR, "coachco2", digest_of(working, "coachco2", PEOPLE[0]), via="cli"
    )
    worker.drain(working)
    working.publish()
    assert client.get("/audit/checkpoint").status_code == 200
    for parts in (working, web):
        parts.books.close()


def test_the_web_process_can_only_seal_and_writes_no_table(
    server: own.Service, tmp_path: Path
) -> None:
    web = as_user(server, tmp_path, "web")
    web.vault.keep("x", [b"sealed"], 100)
    closed: dict[str, Callable[[], object]] = {
        "opening what is sealed": lambda: web.vault._objects.get("x.age"),
        "a table": lambda: bucket_of(web.settings).create("tables/a/b/c/x", b"x"),
        "a release": lambda: web.objects.put("releases/x", [b"x"]),
        "the log": lambda: web.log.store.write({CHECKPOINT: b"x"}),
    }
    for what, act in closed.items():
        with pytest.raises(Unavailable) as refusal:
            act()
        assert (refusal.value.code, refusal.value.who) == ("storage-credentials", "operator"), what
    web.vault.forget("x")
    web.books.close()


def test_the_public_reads_the_public_log_and_nothing_else(server: own.Service) -> None:
    owner = Bucket(own.address(server))
    for name in ("public/audit/checkpoint", "vault/a", "tables/a", "log/checkpoint", "objects/a"):
        owner.create(name, b"x")
        answer = urllib3.request("GET", f"http://{server.address}/hub/{name}", retries=False)
        assert (answer.status == 200) is name.startswith("public/audit/"), name
        refused = urllib3.request("PUT", f"http://{server.address}/hub/{name}", body=b"y")
        assert refused.status == 403, name

"""`hub doctor`: every part is looked at, whatever fails beside it, and who must act is said."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig
from typer.testing import CliRunner

from hub.cli.app import app
from hub.cli.doctor import examine
from hub.settings import Settings
from hub.storage.s3 import Bucket
from tests import own
from tests.faulty import Faulty, answer
from tests.flows import real
from tests.services import needed
from tests.storage import buckets


def found(home: Path, **settings: Any) -> dict[str, tuple[str, str]]:
    """State and who must act, by part."""
    looked = examine(Settings(home=home, **settings))
    return {each.part: (each.state, each.who) for each in looked}


def ill(told: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {part: said for part, said in told.items() if said != ("ok", "")}


def test_a_new_hub_is_well(tmp_path: Path) -> None:
    told = found(tmp_path)
    assert ill(told) == {}
    assert set(told) == {
        "territory", "keys", "books", "policy", "identity", "storage", "computing", "disk",
        "log", "vault", "tables", "withdrawals", "proofs",
    }  # fmt: skip


@pytest.mark.parametrize("server", real.SERVERS)
def test_a_hub_on_services_is_well(tmp_path: Path, server: str) -> None:
    needed("postgres")
    told = found(tmp_path, **real.settings_on(server))
    assert ill(told) == {}
    assert {"s3 bucket", "s3 no versions", "s3 conditional write", "s3 multipart"} <= set(told)


def test_parts_that_are_away_are_named_each(tmp_path: Path) -> None:
    told = found(
        tmp_path,
        database_url="postgresql://hub@127.0.0.1:1/hub",
        storage_url="s3://bucket",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="k",
        s3_secret_key="s",
        policy_url="http://127.0.0.1:1",
        spark_url="spark://127.0.0.1:1",
        spark_secret="s",
    )
    assert told["books"] == ("books-unreachable", "operator")
    assert told["policy"] == ("policy-server-silent", "operator")
    assert told["s3 bucket"] == told["storage"] == ("storage-unavailable", "operator")
    assert told["computing"][0] in {"spark-missing", "spark-unavailable"}
    assert told["keys"] == told["disk"] == ("ok", "")


def test_settings_that_cannot_be_used_are_named_each(tmp_path: Path) -> None:
    told = found(
        tmp_path, database_url="nonsense", storage_url="s3://bucket", policy_url="opa",
        territory=tmp_path / "none.toml",
    )  # fmt: skip
    assert told["territory"] == ("territory-unreadable", "operator")
    assert told["books"] == ("books-address", "operator")
    assert told["policy"] == ("policy-address", "operator")
    assert told["s3 bucket"] == told["storage"] == ("storage-address", "operator")


def test_a_bucket_that_keeps_versions_is_named(tmp_path: Path) -> None:
    needed("postgres")
    server = real.SERVERS[0]
    bucket = buckets.bucket(server)
    settings = real.settings_on(server)
    name = f"{bucket.name}-doctor"
    bucket.client.make_bucket(name)
    bucket.client.set_bucket_versioning(name, VersioningConfig(ENABLED))
    told = found(tmp_path, **settings | {"storage_url": f"s3://{name}"})
    assert told["s3 no versions"] == told["storage"] == ("bucket-versioned", "operator")
    assert told["s3 bucket"] == ("ok", "")


def test_encryption_is_switched_on_where_the_server_has_it(tmp_path: Path) -> None:
    key = base64.b64encode(bytes(32)).decode()
    with own.minio(tmp_path / "minio", MINIO_KMS_SECRET_KEY=f"own:{key}") as server:
        access_key, secret_key = own.KEYS
        bucket = Bucket(own.address(server))
        assert not bucket.encrypts()
        bucket.create("before", b"x")
        told = found(
            tmp_path / "var", storage_url="s3://hub", s3_endpoint=f"http://{server.address}",
            s3_access_key=access_key, s3_secret_key=secret_key,
        )  # fmt: skip
        assert ill(told) == {}
        assert bucket.encrypts()
        bucket.create("after", b"x")
        # As the server says of each object: the header that it is encrypted.
        said = {
            name: bucket.client.stat_object("hub", name).metadata for name in ("before", "after")
        }
    header = "x-amz-server-side-encryption"
    assert {name: header in (heard or {}) for name, heard in said.items()} == {
        "before": False,
        "after": True,
    }


def test_a_server_without_conditional_writes_is_named(tmp_path: Path) -> None:
    """It takes every write; the two it should not have taken both count as created."""
    needed("postgres")
    settings = real.settings_on(real.SERVERS[0])
    with Faulty(urlsplit(settings["s3_endpoint"]).netloc) as way:
        way.says = answer("200 OK")
        told = found(tmp_path, **settings | {"s3_endpoint": f"http://{way.address}"})
    assert told["s3 conditional write"] == ("storage-no-conditional-write", "operator")


def test_the_command_prints_who_must_act_and_ends_with_six(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path))
    well = CliRunner().invoke(app, ["doctor", "--json"])
    assert (well.exit_code, {row["state"] for row in json.loads(well.stdout)}) == (0, {"ok"})
    monkeypatch.setenv("HUB_POLICY_URL", "http://127.0.0.1:1")
    told = CliRunner().invoke(app, ["doctor", "--json"])
    assert told.exit_code == 6
    (row,) = [row for row in json.loads(told.stdout) if row["state"] != "ok"]
    assert (row["part"], row["who"]) == ("policy", "operator")

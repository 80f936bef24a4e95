"""Where files, tables and log are is a setting: another folder, a bucket, or nothing usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub import backup
from hub.errors import Rejected, Unavailable
from hub.main import compose, zones_of
from hub.parts import OPERATOR
from hub.settings import Settings
from hub.storage import age
from tests.flows import world

KEY = age.Identity.make()
RECIPIENT = KEY.recipient.text


def test_another_folder_holds_everything_but_keys_and_books(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    parts = world.hub_with_places(home, storage_url=elsewhere.as_uri(), backup_recipient=RECIPIENT)
    assert {path.name for path in elsewhere.iterdir()} >= {"tables", "log", "vault", "objects"}
    assert not {path.name for path in home.iterdir()} & {"tables", "log", "vault", "objects"}
    made = backup.create(parts, OPERATOR, zones_of(parts.settings))
    with (parts.settings.backup_folder / "backups" / f"{made.id}.age").open("rb") as sealed:
        backup.unpack(sealed, KEY, tmp_path / "unpacked", parts.clock())
    assert {path.name for path in (tmp_path / "unpacked").iterdir()} >= {"tables", "keys", "log"}
    parts.books.close()


@pytest.mark.parametrize("url", ["ftp://x/y", "elsewhere", "file://host/x", "file:", "s3://bucket"])
def test_an_address_that_cannot_work_is_refused_by_name(tmp_path: Path, url: str) -> None:
    with pytest.raises(Rejected) as raised:
        compose(Settings(home=tmp_path, storage_url=url), opens=True)
    assert (raised.value.code, raised.value.who) == ("storage-address", "operator")


def test_a_bucket_that_is_away_keeps_the_hub_from_starting(tmp_path: Path) -> None:
    away = Settings(
        home=tmp_path,
        storage_url="s3://bucket",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="key",
        s3_secret_key="secret",
    )
    assert "secret" not in repr(away.s3_secret_key)
    with pytest.raises(Unavailable) as raised:
        compose(away, opens=True)
    assert (raised.value.code, raised.value.who) == ("storage-unavailable", "operator")

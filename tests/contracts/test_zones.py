"""Zones: files as they are, the same in a folder and in a bucket."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.errors import NotFound
from hub.storage.s3 import Address, Bucket
from hub.storage.zones import BucketZone, FolderZone, Zone
from tests.storage import buckets

Make = Callable[[Path], Zone]
NAMES = [
    "a/b/c/_delta_log/00000000000000000001.json",
    "a/b/c/period=2025-2026/bucket=3/x.parquet",
    "tile/0/x001/067.p/3",
]


def on(server: str) -> Make:
    """A zone of a bucket with nothing in it."""

    def make(_: Path) -> Zone:
        buckets.bucket(server)
        where = buckets.address(server)
        told = (where.endpoint, where.bucket, where.access_key, where.secret_key, "prefix")
        return BucketZone(Bucket(Address(*told)), "tables")

    return make


ZONES: dict[str, Make] = {
    "folder": lambda path: FolderZone(path / "tables"),
    **{server: on(server) for server in buckets.SERVERS},
}
EVERY = pytest.mark.parametrize("make", ZONES.values(), ids=list(ZONES))


@EVERY
def test_what_is_put_is_there_under_its_name(make: Make, tmp_path: Path) -> None:
    zone = make(tmp_path)
    assert list(zone.names()) == []
    for number, name in enumerate(reversed(NAMES)):
        zone.put(name, io.BytesIO(bytes([number]) * number))
    assert list(zone.names()) == sorted(NAMES)
    for number, name in enumerate(reversed(NAMES)):
        with zone.open(name) as file:
            assert file.read() == bytes([number]) * number
            file.seek(0)
            assert file.read(1) == bytes([number])[:number]


@EVERY
def test_a_file_that_is_gone_says_so(make: Make, tmp_path: Path) -> None:
    zone = make(tmp_path)
    with pytest.raises(NotFound):
        zone.open("a/gone")


@EVERY
def test_a_large_file_is_whole(make: Make, tmp_path: Path) -> None:
    zone = make(tmp_path)
    data = bytes(range(256)) * 50_000
    zone.put("large", io.BytesIO(data))
    with zone.open("large") as file:
        assert file.read() == data

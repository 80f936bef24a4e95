"""Buckets on the real S3 servers: one for each test process and server, emptied each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from hub.storage.objects import FolderObjects, MemoryObjects, Objects
from hub.storage.s3 import Address, Bucket, S3Objects
from tests.services import needed

SERVERS: Final = ("minio", "versitygw")


@cache
def address(server: str) -> Address:
    """The bucket of this test process, made if need be."""
    told = needed(server)
    name = f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}-{os.getpid()}"
    made = Address(
        told["HUB_TEST_S3_ENDPOINT"],
        name,
        told["HUB_TEST_S3_ACCESS_KEY"],
        told["HUB_TEST_S3_SECRET_KEY"],
    )
    client = Bucket(made).client
    if not client.bucket_exists(name):
        client.make_bucket(name)
    return made


def bucket(server: str) -> Bucket:
    """A handle on it, with nothing in it."""
    made = Bucket(address(server))
    for key in made.keys(""):
        made.delete(key)
    return made


def objects_on(server: str) -> Callable[[Path], Objects]:
    """Makes the objects of a bucket with nothing in it; the path is of those in a folder."""

    def make(_: Path) -> Objects:
        return S3Objects(bucket(server), "zone")

    return make


OBJECTS: Final[dict[str, Callable[[Path], Objects]]] = {
    "memory": lambda _: MemoryObjects(),
    "folder": FolderObjects,
    **{server: objects_on(server) for server in SERVERS},
}
"""Every kind of objects there is."""

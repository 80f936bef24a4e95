"""What only a server of objects can get wrong: parts, credentials, versions, the network."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from hub.errors import HubError, NotFound, Rejected, Unavailable
from hub.storage.s3 import PART_BYTES, Address, Bucket, S3Objects
from tests.faulty import Faulty, answer
from tests.storage import buckets

LARGE = os.urandom(1024) * (2 * PART_BYTES // 1024 + 300)  # three parts, the last one short
SOON = 0.5


@pytest.fixture(params=buckets.SERVERS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return buckets.bucket(request.param)


@pytest.fixture
def way(bucket: Bucket) -> Iterator[Faulty]:
    with Faulty(urlsplit(bucket.address.endpoint).netloc) as proxy:
        yield proxy


def through(way: Faulty, bucket: Bucket) -> S3Objects:
    address = replace(bucket.address, endpoint=f"http://{way.address}")
    return S3Objects(Bucket(address, silence=SOON, pause=0), "zone")


def unfinished(bucket: Bucket) -> int:
    return len(bucket.client._list_multipart_uploads(bucket.name).uploads)


def chunks(content: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


# Large objects --------------------------------------------------------------------------------


def test_a_large_object_comes_in_parts_and_appears_whole(bucket: Bucket) -> None:
    objects = S3Objects(bucket, "zone")
    with objects.writing("large") as writer:
        for chunk in chunks(LARGE):
            writer.write(chunk)
        assert not objects.exists("large")
    assert objects.put("put", chunks(LARGE)) == len(LARGE)
    for name in ("large", "put"):
        with objects.open(name) as file:
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(LARGE).digest()
    assert unfinished(bucket) == 0


def test_a_large_object_given_up_leaves_nothing(bucket: Bucket) -> None:
    objects = S3Objects(bucket, "zone")
    objects.put("large", [b"before"])
    threads = set(threading.enumerate())

    def write() -> None:
        with objects.writing("large") as writer:
            for chunk in chunks(LARGE):
                writer.write(chunk)
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert objects.get("large") == b"before"
    assert unfinished(bucket) == 0
    assert set(threading.enumerate()) <= threads


def test_what_an_upload_dies_of_reaches_its_writer(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bucket, "put", put)
    with pytest.raises(ZeroDivisionError):
        S3Objects(bucket, "zone").put("large", chunks(LARGE))


def test_zones_do_not_see_each_other(bucket: Bucket) -> None:
    S3Objects(bucket, "a").put("x", [b"1"])
    other = S3Objects(bucket, "ab")
    assert list(other.list()) == []
    assert not other.exists("x")


def test_many_objects_are_all_listed(bucket: Bucket) -> None:
    objects = S3Objects(bucket, "zone")
    page = 1000

    def fill(start: int) -> None:
        for number in range(start, page + 5, 8):
            objects.put(f"n/{number:04}", [b"x"])

    threads = [threading.Thread(target=fill, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(objects.list("n/")) == [f"n/{number:04}" for number in range(page + 5)]


def test_of_two_who_create_an_object_one_does(bucket: Bucket) -> None:
    won: list[bytes] = []

    def create(content: bytes) -> None:
        if bucket.create("zone/once", content):
            won.append(content)

    threads = [threading.Thread(target=create, args=(bytes([n]),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert bucket.get("zone/once") == won[0]
    assert not bucket.create("zone/once", b"later")


def test_an_object_is_swapped_only_for_the_one_it_was_told(bucket: Bucket) -> None:
    objects = S3Objects(bucket, "zone")
    assert not objects.swap("a", b"one", b"nothing yet")
    assert objects.swap("a", b"one", None)
    assert not objects.swap("a", b"two", None)
    assert not objects.swap("a", b"two", b"zero")
    assert objects.swap("a", b"two", b"one")
    assert objects.get("a") == b"two"
    tag = bucket.read(bucket.key("zone/a"), io.BytesIO())
    objects.put("a", [b"three"])
    assert not bucket.replace(bucket.key("zone/a"), b"four", tag)
    objects.delete("a")
    assert not bucket.replace(bucket.key("zone/a"), b"four", tag)
    assert not objects.exists("a")


# Settings that are wrong ----------------------------------------------------------------------

ACTS: dict[str, Callable[[S3Objects], Any]] = {
    "put": lambda objects: objects.put("a", [b"x"]),
    "write": lambda objects: objects.put("a", chunks(LARGE)),
    "get": lambda objects: objects.get("a"),
    "open": lambda objects: objects.open("a"),
    "exists": lambda objects: objects.exists("a"),
    "delete": lambda objects: objects.delete("a"),
    "list": lambda objects: list(objects.list()),
    "create": lambda objects: objects._bucket.create("a", b"x"),
    "check": lambda objects: objects._bucket.must_forget(),
}
NO_ACT = {("bucket-missing", "delete")}  # nothing to delete, and nothing said


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("storage-credentials", {"secret_key": "another-secret"}),
        ("storage-credentials", {"access_key": "nobody"}),
        ("bucket-missing", {"bucket": "there-is-none"}),
    ],
)
def test_a_wrong_setting_is_named(
    bucket: Bucket, code: str, wrong: dict[str, str], act: str
) -> None:
    objects = S3Objects(Bucket(replace(bucket.address, **wrong)), "zone")
    with pytest.raises(Unavailable) as raised:
        ACTS[act](objects)
    assert (raised.value.code, raised.value.who) == (code, "operator")
    assert "another-secret" not in repr(bucket.address) + str(raised.value.problem("en"))
    assert list(bucket.keys("")) == []


def test_a_bucket_that_keeps_versions_is_refused(bucket: Bucket) -> None:
    bucket.must_forget()
    name = f"{bucket.name}-kept"
    bucket.client.make_bucket(name)
    bucket.client.set_bucket_versioning(name, VersioningConfig(ENABLED))
    kept = Bucket(replace(bucket.address, bucket=name))
    with pytest.raises(Unavailable) as raised:
        kept.must_forget()
    assert (raised.value.code, raised.value.who) == ("bucket-versioned", "operator")
    bucket.client.remove_bucket(name)


SETTINGS = ("s3://b/p", "http://127.0.0.1:9000", "key", "secret")


@pytest.mark.parametrize(
    ("position", "value", "named"),
    [
        (0, "file:///x", "HUB_STORAGE_URL"),
        (0, "s3://", "HUB_STORAGE_URL"),
        (1, "", "HUB_S3_ENDPOINT"),
        (1, "127.0.0.1:9000", "HUB_S3_ENDPOINT"),
        (2, "", "HUB_S3_ACCESS_KEY, HUB_S3_SECRET_KEY"),
        (3, "", "HUB_S3_ACCESS_KEY, HUB_S3_SECRET_KEY"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(position: int, value: str, named: str) -> None:
    given = list(SETTINGS)
    given[position] = value
    with pytest.raises(Rejected) as raised:
        Address.parse(given[0], given[1], given[2], given[3], "eu")
    assert (raised.value.where, raised.value.who) == (named, "operator")
    made = Address.parse(*SETTINGS, region="eu")
    assert (made.bucket, made.prefix) == ("b", "p")
    assert "secret" not in repr(made)


# A server or a network that is wrong ----------------------------------------------------------

ERROR = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>x</Message></Error>"
LIES = {
    "500": answer("500 Internal Server Error"),
    "503 with a reason": answer("503 Service Unavailable", ERROR),
    "no S3": answer("200 OK", b"<html>welcome</html>", 9),
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "nothing": b"",
    "a redirect": b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
}
LIED_TO = [
    (lie, act)
    for lie in LIES
    for act in ACTS
    # "no S3" is an answer like any other to whoever asks for no listing.
    if act not in {"write", "check"} and (lie != "no S3" or act == "list")
]


@pytest.mark.parametrize(("lie", "act"), LIED_TO)
def test_a_server_that_is_unwell_is_named_and_nothing_is_changed(
    bucket: Bucket, way: Faulty, lie: str, act: str
) -> None:
    bucket.put("zone/a", io.BytesIO(b"before"), 6)
    objects = through(way, bucket)
    way.says = LIES[lie]
    with pytest.raises(HubError) as raised:
        ACTS[act](objects)
    assert isinstance(raised.value, Unavailable)
    assert raised.value.who == "operator"
    assert bucket.get("zone/a") == b"before"
    way.heal()
    assert objects.get("a") == b"before"


def test_an_answer_cut_short_is_no_object(bucket: Bucket, way: Faulty) -> None:
    objects = through(way, bucket)
    bucket.put("zone/a", io.BytesIO(LARGE), len(LARGE))
    for limit in (200, 10_000, len(LARGE)):
        way.limit = limit
        for act in (ACTS["get"], ACTS["open"]):
            with pytest.raises(Unavailable):
                act(objects)
    way.heal()
    assert objects.get("a") == LARGE


def test_a_server_that_says_nothing_or_trickles_is_given_up(bucket: Bucket, way: Faulty) -> None:
    objects = through(way, bucket)
    bucket.put("zone/a", io.BytesIO(bytes(10_000)), 10_000)
    for fail in ("silent", "trickle"):
        way.silent, way.pause = fail == "silent", 0.002 if fail == "trickle" else 0.0
        began = time.monotonic()
        with pytest.raises(Unavailable):
            objects.get("a")
        assert time.monotonic() - began < 15  # the trickle alone takes 20 s and more
        way.cut()
        way.mend()


def test_a_plug_pulled_in_the_middle_of_an_object_leaves_what_was_there(
    bucket: Bucket, way: Faulty
) -> None:
    objects = through(way, bucket)
    objects.put("a", [b"before"])

    def write() -> None:
        with objects.writing("a") as writer:
            for number, chunk in enumerate(chunks(LARGE)):
                if number == 50:
                    way.cut()
                writer.write(chunk)

    with pytest.raises(Unavailable) as raised:
        write()
    assert raised.value.who == "operator"
    assert bucket.get("zone/a") == b"before"
    way.mend()
    assert objects.put("a", chunks(LARGE)) == len(LARGE)
    assert bucket.get("zone/a") == LARGE


def test_a_missing_object_stays_missing(bucket: Bucket) -> None:
    with pytest.raises(NotFound):
        bucket.get("zone/none")


def test_nothing_stays_on_this_disk(bucket: Bucket, tmp_path: Path) -> None:
    objects = S3Objects(bucket, "zone")
    objects.put("a", chunks(LARGE))
    before = set(tmp_path.rglob("*"))
    with objects.open("a") as file:
        assert not getattr(file, "name", None) or not Path(str(file.name)).exists()
        file.read()
    assert set(tmp_path.rglob("*")) == before

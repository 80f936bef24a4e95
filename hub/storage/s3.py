"""Objects in an S3 bucket, through the MinIO SDK and nothing but plain S3.

An object appears whole or not at all: that is what S3 promises of one request and of a completed
multipart upload. A writer that dies leaves at most parts that are no object; the server's own
rule for abandoned uploads removes them.

`open` fetches the object first, to a file without a name: a reader keeps what it opened, whatever
replaces it, and can go back in it. What the hub keeps in objects is sealed or public, so no
content of a person's is on that disk in clear.

A server may be slow, cut an answer short or answer 500: after a few tries within seconds the call
ends as `Unavailable`, saying who must act.
"""

from __future__ import annotations

import io
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Queue
from typing import BinaryIO, Final, cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from urllib3.exceptions import HTTPError

from hub.errors import NotFound, Unavailable, bad_setting
from hub.storage.durable import checked_name
from hub.storage.objects import Writer, unknown

PART_BYTES: Final = 8 * 1024 * 1024
"""Size of a part: bounds what a writer holds in memory (some four of them), and an object's size
at 10,000 times this."""
SPOOL_BYTES: Final = 1024 * 1024
PIECE: Final = 256 * 1024
CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.2
"""Before a request is made a third time; the second is made at once."""
SLOWEST: Final = 64 * 1024
"""Bytes a second below which a download counts as stuck, after a first grace of `silence`."""
LINK: Final = timedelta(minutes=5)
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is, and what opens it. The secret is not shown."""

    endpoint: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    prefix: str = ""
    region: str = "us-east-1"

    @classmethod
    def parse(
        cls, url: str, endpoint: str, access_key: str, secret_key: str, region: str
    ) -> Address:
        """From settings: `s3://bucket/prefix` and the server's address. Raises `Rejected`."""
        place, server = urlsplit(url), urlsplit(endpoint)
        if place.scheme != "s3" or not place.hostname or place.query:
            raise bad_setting("storage-address", "HUB_STORAGE_URL", "s3://bucket/prefix")
        if server.scheme not in {"http", "https"} or not server.hostname or server.path.strip("/"):
            raise bad_setting("storage-address", "HUB_S3_ENDPOINT", "http(s)://host:port")
        if not access_key or not secret_key:
            raise bad_setting("storage-address", "HUB_S3_ACCESS_KEY, HUB_S3_SECRET_KEY", "…")
        prefix = place.path.strip("/")
        if prefix:
            checked_name(prefix)
        return cls(endpoint, place.hostname, access_key, secret_key, prefix, region)


class Bucket:
    """A bucket as the hub uses it. Safe to share between threads."""

    def __init__(
        self, address: Address, *, silence: float = SILENCE_SECONDS, pause: float = PAUSE_SECONDS
    ) -> None:
        from minio import Minio  # loaded by those whose storage is there

        server = urlsplit(address.endpoint)
        self.address = address
        self.name = address.bucket
        self.silence = silence
        self.http = urllib3.PoolManager(
            maxsize=16,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, silence), read=silence),
            retries=urllib3.Retry(
                total=2, backoff_factor=pause, status_forcelist=(500, 502, 503, 504), redirect=False
            ),
        )
        self.client = Minio(
            server.netloc,
            address.access_key,
            address.secret_key,
            secure=server.scheme == "https",
            region=address.region,
            http_client=self.http,
        )

    def key(self, name: str) -> str:
        """The full name of an object in the bucket."""
        return f"{self.address.prefix}/{name}" if self.address.prefix else name

    def read(self, key: str, sink: BinaryIO) -> str:
        """Copy an object whole into `sink`; its tag. Raises `NotFound`, `Unavailable`."""
        with s3_errors():
            answer = self.client.get_object(self.name, key)
            try:
                began, size = time.monotonic(), 0
                # What has come so far, not a full piece: a trickle would keep us inside one.
                while piece := answer.read1(PIECE):
                    size += sink.write(piece)
                    if time.monotonic() - began > self.silence + size / SLOWEST:
                        raise _unavailable("storage-slow")
                return str(answer.headers.get("ETag", ""))
            finally:
                answer.close()
                answer.release_conn()

    def open(self, key: str) -> BinaryIO:
        """An object, fetched whole first, to a file without a name. Raises as `read` does."""
        spool = cast("BinaryIO", tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
        try:
            self.read(key, spool)
            spool.seek(0)
        except BaseException:
            spool.close()
            raise
        return spool

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises `NotFound`, `Unavailable`."""
        sink = io.BytesIO()
        self.read(key, sink)
        return sink.getvalue()

    def put(self, key: str, data: BinaryIO, size: int) -> None:
        """Write an object of a known size, replacing any; -1: to the end of `data`."""
        with s3_errors():
            self.client.put_object(
                self.name,
                key,
                data,
                size,
                part_size=PART_BYTES if size < 0 or size > PART_BYTES else 0,
                num_parallel_uploads=1,
            )

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one of this name; False where there was."""
        return self._put_if({"If-None-Match": "*"}, key, data)

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object where it still is the one `read` gave this tag; else False."""
        return self._put_if({"If-Match": tag}, key, data)

    def _put_if(self, condition: dict[str, str], key: str, data: bytes) -> bool:
        """Write an object on a condition; False where it does not hold.

        The SDK has no conditional write; a link it signs, used at once, has. Never tried twice:
        a second try would meet the object the first one made.
        """
        with s3_errors():
            link = self.client.get_presigned_url("PUT", self.name, key, LINK)
            answer = self.http.request("PUT", link, body=data, headers=condition, retries=False)
        if answer.status in {409, 412}:
            return False
        if answer.status != 200:
            self.must_exist()
            if answer.status == 404:
                return False  # there is no object to replace
            raise _by_status(answer.status)
        return True

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        with s3_errors():
            self.client.remove_object(self.name, key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Names in the bucket that start with `prefix`, sorted."""
        with s3_errors():
            found = self.client.list_objects(self.name, prefix, recursive=True)
            return iter(sorted(str(each.object_name) for each in found if not each.is_dir))

    def exists(self, key: str) -> bool:
        """Whether there is an object of this name; raises `Unavailable` without the bucket."""
        try:
            with s3_errors():
                self.client.stat_object(self.name, key)
        except NotFound:
            # An answer without a body does not say whether it is the bucket that is missing.
            self.must_exist()
            return False
        return True

    def must_exist(self) -> None:
        """Raise `Unavailable` where the bucket is missing, or closed to these credentials."""
        # A listing, because its answer has a body that says what is wrong; HEAD has none.
        with s3_errors():
            next(iter(self.client.list_objects(self.name, self.key(""))), None)

    def must_forget(self) -> None:
        """Raise `Unavailable` where the bucket keeps what is deleted, beyond its retention."""
        self.must_exist()
        try:
            with s3_errors():
                status = self.client.get_bucket_versioning(self.name).status
        except Unavailable as error:
            if error.code == "storage-unsupported":
                return  # a server without versions
            raise
        if status in {"Enabled", "Suspended"}:
            raise _unavailable("bucket-versioned")

    def encrypts(self) -> bool:
        """Whether the server encrypts what enters the bucket, as far as it says."""
        try:
            with s3_errors():
                return self.client.get_bucket_encryption(self.name) is not None
        except Unavailable as error:
            if error.code in {"storage-unsupported", "storage-unavailable"}:
                return False
            raise

    def encrypt(self) -> bool:
        """Have the server encrypt all that enters the bucket from now on.

        False where it cannot, or these credentials may not ask it.
        """
        from minio.sseconfig import Rule, SSEConfig

        try:
            with s3_errors():
                self.client.set_bucket_encryption(self.name, SSEConfig(Rule.new_sse_s3_rule()))
        except Unavailable:
            return False
        return self.encrypts()


class S3Objects:
    """See `Objects`: those of a bucket whose names begin with `zone/`."""

    def __init__(self, bucket: Bucket, zone: str) -> None:
        self._bucket = bucket
        self._prefix = bucket.key(zone) + "/"

    @contextmanager
    def writing(self, name: str) -> Iterator[Writer]:
        """See `Objects.writing`."""
        upload = _Upload(self._bucket, self._key(name))
        try:
            yield upload
        except BaseException:
            upload.abandon()
            raise
        upload.finish()

    def put(self, name: str, chunks: Iterable[bytes]) -> int:
        """See `Objects.put`. What fits in a part goes in one request."""
        key, waiting, rest = self._key(name), io.BytesIO(), iter(chunks)
        for chunk in rest:
            waiting.write(chunk)
            if waiting.tell() > PART_BYTES:
                break
        else:
            size = waiting.tell()
            waiting.seek(0)
            self._bucket.put(key, waiting, size)
            return size
        with self.writing(name) as writer:
            size = writer.write(waiting.getvalue())
            return size + sum(writer.write(chunk) for chunk in rest)

    def open(self, name: str) -> BinaryIO:
        """See `Objects.open`."""
        return self._bucket.open(self._key(name))

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        return self._bucket.get(self._key(name))

    def exists(self, name: str) -> bool:
        """See `Objects.exists`."""
        return self._bucket.exists(self._key(name))

    def delete(self, name: str) -> None:
        """See `Objects.delete`."""
        self._bucket.delete(self._key(name))

    def swap(self, name: str, data: bytes, over: bytes | None) -> bool:
        """Replace an object where it still is `over` (None: where there is none); else False."""
        key = self._key(name)
        if over is None:
            return self._bucket.create(key, data)
        present = io.BytesIO()
        try:
            tag = self._bucket.read(key, present)
        except NotFound:
            return False
        return present.getvalue() == over and self._bucket.replace(key, data, tag)

    def list(self, prefix: str = "") -> Iterator[str]:
        """See `Objects.list`."""
        keys = self._bucket.keys(self._prefix + prefix)
        return (key.removeprefix(self._prefix) for key in keys)

    def _key(self, name: str) -> str:
        return self._prefix + checked_name(name)


class _Abandoned(Exception):
    """The writer gave up: what was read so far must not become an object."""


class _Upload:
    """What is written here is uploaded meanwhile by a thread, a part at a time.

    The SDK can send parts side by side, but gives up while some are still under way: their
    threads stay for good, and a server may keep a part that comes after the upload was ended.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._part = bytearray()
        self._parts: Queue[bytes | None] = Queue(maxsize=1)
        self._rest = memoryview(b"")
        self._ended = self._abandoned = False
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._send, args=(bucket, key), name="upload", daemon=True
        )
        self._thread.start()

    def write(self, data: bytes, /) -> int:
        """Take all of `data`. Raises `Unavailable` where the upload has failed."""
        if self._error is not None:
            raise self._error
        self._part += data
        if len(self._part) >= PART_BYTES:
            self._hand_over()
        return len(data)

    def flush(self) -> None:
        """See `Writer.flush`."""

    def finish(self) -> None:
        """Let it become an object. Raises `Unavailable` where it did not."""
        self._hand_over()
        self._end()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let nothing come of it."""
        self._abandoned = True
        self._end()

    def read(self, size: int) -> bytes:
        """For the SDK: at most `size` bytes of what was written, none at the end."""
        while not self._rest and not self._ended:
            part = self._parts.get()
            self._ended, self._rest = part is None, memoryview(part or b"")
        if self._abandoned:
            raise _Abandoned
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    def _hand_over(self) -> None:
        self._parts.put(bytes(self._part))
        self._part.clear()

    def _end(self) -> None:
        self._parts.put(None)
        self._thread.join()

    def _send(self, bucket: Bucket, key: str) -> None:
        try:
            bucket.put(key, cast("BinaryIO", self), -1)
        except _Abandoned:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the writer's to hear
            self._error = error
        while not self._ended:  # nobody must wait for a part that will not be sent
            self._ended = self._parts.get() is None


_CODES: Final = {
    "NoSuchBucket": "bucket-missing",
    "InvalidBucketName": "bucket-missing",
    "AccessDenied": "storage-credentials",
    "InvalidAccessKeyId": "storage-credentials",
    "SignatureDoesNotMatch": "storage-credentials",
    "InvalidToken": "storage-credentials",
    "XAdminUserNotFound": "storage-credentials",  # versitygw's word
    "RequestTimeTooSkewed": "storage-clock",
    "QuotaExceeded": "storage-full",
    "XMinioStorageFull": "storage-full",
    "XMinioAdminBucketQuotaExceeded": "storage-full",
    "NotImplemented": "storage-unsupported",
    "MethodNotAllowed": "storage-unsupported",
}
"""Error codes of S3 and of MinIO to ours."""

_WORDS: Final = {
    "bucket-missing": (
        "Le compartiment S3 de HUB_STORAGE_URL n’existe pas ; l’opérateur doit le créer.",
        "The S3 bucket of HUB_STORAGE_URL does not exist; the operator must create it.",
    ),
    "bucket-versioned": (
        "Le compartiment S3 garde les versions supprimées : elles survivraient aux durées de "
        "conservation. L’opérateur doit donner un compartiment sans versions.",
        "The S3 bucket keeps deleted versions: they would outlive retention. The operator must "
        "provide a bucket without versioning.",
    ),
    "storage-credentials": (
        "Le stockage S3 refuse ces identifiants ou ce droit ; l’opérateur doit les corriger.",
        "The S3 storage refuses these credentials or this right; the operator must mend them.",
    ),
    "storage-clock": (
        "L’horloge de cette machine et celle du stockage S3 diffèrent ; l’opérateur doit régler.",
        "The clocks of this machine and of the S3 storage differ; the operator must set them.",
    ),
    "storage-full": (
        "Le stockage du hub est plein. Rien n'a été gardé de cette opération.",
        "The hub's storage is full. Nothing of this operation was kept.",
    ),
    "storage-slow": (
        "Le stockage S3 répond trop lentement ; l’opérateur doit le vérifier.",
        "The S3 storage answers too slowly; the operator must check it.",
    ),
    "storage-unsupported": (
        "Le stockage S3 ne sait pas ce que le hub lui demande ; « hub doctor » dit quoi.",
        "The S3 storage cannot do what the hub asks of it; `hub doctor` says what.",
    ),
    "storage-unavailable": (
        "Le stockage S3 ne répond pas comme il faut ; l’opérateur doit le vérifier.",
        "The S3 storage does not answer as it should; the operator must check it.",
    ),
}


@contextmanager
def s3_errors() -> Iterator[None]:
    """Translate what the SDK and the network raise; no message carries a name or content."""
    from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

    try:
        yield
    except S3Error as error:
        if error.code in _GONE:
            raise unknown() from error
        raise _unavailable(_CODES.get(str(error.code), "storage-unavailable")) from error
    except ServerError as error:
        raise _by_status(error.status_code) from error
    except (InvalidResponseError, MinioException, HTTPError, OSError, ParseError) as error:
        raise _unavailable("storage-unavailable") from error
    except ValueError as error:
        # The SDK's word for a bucket's name that cannot be one.
        raise _unavailable("bucket-missing") from error


def _by_status(status: int) -> Unavailable:
    known = {403: "storage-credentials", 404: "bucket-missing", 501: "storage-unsupported"}
    return _unavailable(known.get(status, "storage-unavailable"))


def _unavailable(code: str) -> Unavailable:
    fr, en = _WORDS[code]
    return Unavailable(code, fr=fr, en=en, who="operator")

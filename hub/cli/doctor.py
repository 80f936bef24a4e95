"""`hub doctor`: look at every part, say what is well and what is not, and who must act.

It is for the moment when something is wrong, so nothing it needs may be one of the parts: each is
made and probed on its own, and one that fails does not keep the others from being looked at.
"""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import typer

from hub import withdraw
from hub.audit.tiles import CHECKPOINT
from hub.cli import edge
from hub.errors import HubError, Unavailable
from hub.main import bucket_of, compose, engine_of, provider_of, storage_of
from hub.parts import Parts
from hub.policy.gate import EmbeddedGate, ServerGate
from hub.settings import Settings, load_territory
from hub.storage import sealing
from hub.storage.books import Books
from hub.storage.keyring import Keyring
from hub.storage.s3 import PART_BYTES, Bucket

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LOW_MIB: Final = 512
PROBE: Final = "doctor"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: `state` is `ok` or the code of what is wrong; `who` must act then."""

    part: str
    state: str = "ok"
    who: str = ""
    detail: str = ""

    def row(self) -> dict[str, Any]:
        """As it is printed."""
        return {"part": self.part, "state": self.state, "who": self.who, "detail": self.detail}


def doctor(as_json: Json = False) -> None:
    """Look at every part and say what is well, what is not, and who must act."""
    rows: list[Any] = [found.row() for found in examine(Settings())]
    edge.table(rows, ("part", "state", "who", "detail"), as_json=as_json)
    if any(row["state"] != "ok" for row in rows):
        raise typer.Exit(6)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which parts need each other."""
    looks: list[tuple[str, Callable[[], str | None]]] = [
        ("territory", lambda: load_territory(settings.territory).id),
        ("keys", lambda: _keys(settings)),
        ("books", lambda: _books(settings)),
        ("policy", lambda: _policy(settings)),
        ("identity", lambda: _identity(settings)),
    ]
    if settings.storage_url.startswith("s3:"):
        looks += [(f"s3 {what}", partial(look, settings)) for what, look in _OF_A_BUCKET]
    looks += [
        ("storage", lambda: _storage(settings)),
        ("computing", lambda: engine_of(settings).check()),
        ("disk", lambda: _disk(settings)),
    ]
    well = True
    for part, look in looks:
        found = _look(part, look)
        well = well and found.state == "ok"
        yield found
    if well:
        yield from _together(settings)


def _look(part: str, look: Callable[[], str | None]) -> Finding:
    try:
        return Finding(part, detail=look() or "")
    except HubError as error:
        return Finding(part, error.code, error.who, error.words["en"])
    except _Low as low:
        return Finding(part, "low", "operator", low.detail)


class _Low(Exception):
    """There is less of something than there should be."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def _together(settings: Settings) -> Iterator[Finding]:
    """What only the whole shows: the log, and what is overdue."""
    parts = compose(settings, opens=True)
    try:
        for part, look in (
            ("log", lambda: _log(parts)),
            ("vault", lambda: f"{len(list(parts.vault.names()))} files wait"),
            ("tables", lambda: _tables(parts)),
            ("withdrawals", lambda: _withdrawals(parts)),
            ("proofs", lambda: _proofs(parts)),
        ):
            yield _look(part, look)
    finally:
        parts.books.close()


def _proofs(parts: Parts) -> str:
    """Who can read how ended consents were collected. Raises `Rejected` for a wrong recipient."""
    if parts.settings.proof_recipient:
        sealing.recipient_from(parts.settings.proof_recipient)
        return "sealed for HUB_PROOF_RECIPIENT"
    if not parts.territory.demo:
        raise _Low("HUB_PROOF_RECIPIENT is not set: nothing of ended consents is sealed")
    return "not sealed: a demo"


def _keys(settings: Settings) -> str:
    return Keyring(settings.home / "keys").recipient


def _books(settings: Settings) -> str:
    books = Books.open(settings.books_url)
    try:
        books.check()
        return f"{books.event_count()} events"
    finally:
        books.close()


def _policy(settings: Settings) -> str:
    if settings.policy_url:
        server = ServerGate(settings.policy_url)
        server.check()
        return f"OPA, bundle {server.bundle_digest[:12]}"
    gate = EmbeddedGate()
    asked = gate.check()
    return f"embedded, {gate.engine}, {asked} questions, policies {gate.bundle_digest[:12]}"


def _identity(settings: Settings) -> str:
    provider = provider_of(settings, load_territory(settings.territory))
    if provider is None:
        return "local accounts"
    provider.check()
    return f"{provider.issuer}{'' if settings.local_login else ' only'}"


def _storage(settings: Settings) -> str:
    """Write, read and remove an object where each kind goes."""
    storage = storage_of(settings)
    for objects in (storage.objects, storage.vault):
        name = f"{PROBE}/{secrets.token_hex(8)}"
        objects.put(name, [b"hub doctor"])
        objects.get(name)
        objects.delete(name)
    return settings.storage_url or str(settings.home)


def _there(settings: Settings) -> None:
    bucket_of(settings).must_exist()


def _forgetful(settings: Settings) -> None:
    bucket_of(settings).must_forget()


def _conditional(settings: Settings) -> None:
    bucket = bucket_of(settings)
    key = _probe(bucket)
    try:
        if not bucket.create(key, b"first") or bucket.create(key, b"second"):
            raise _unable("conditional-write", "If-None-Match")
        tag = bucket.read(key, io.BytesIO())
        if not bucket.replace(key, b"second", tag) or bucket.replace(key, b"third", tag):
            raise _unable("conditional-write", "If-Match")
    finally:
        bucket.delete(key)


def _multipart(settings: Settings) -> None:
    bucket = bucket_of(settings)
    key = _probe(bucket)
    whole = secrets.token_bytes(1024) * (PART_BYTES // 1024 + 1)
    try:
        bucket.put(key, io.BytesIO(whole), -1)
        if bucket.get(key) != whole:
            raise _unable("multipart", "CreateMultipartUpload")
    finally:
        bucket.delete(key)


def _encryption(settings: Settings) -> str:
    """Switched on where the server has it and we may.

    Not required: what gets there is sealed, keyed or public before it does.
    """
    bucket = bucket_of(settings)
    if bucket.encrypts():
        return "on by default"
    return "switched on" if bucket.encrypt() else "not on by default: are its disks encrypted?"


_OF_A_BUCKET: Final[tuple[tuple[str, Callable[[Settings], str | None]], ...]] = (
    ("bucket", _there),
    ("no versions", _forgetful),
    ("conditional write", _conditional),
    ("multipart", _multipart),
    ("encryption", _encryption),
)
"""What a server of objects must be able to do, one by one, for whoever chooses one."""


def _probe(bucket: Bucket) -> str:
    return bucket.key(f"{PROBE}/{secrets.token_hex(8)}")


def _unable(what: str, named: str) -> Unavailable:
    return Unavailable(
        f"storage-no-{what}",
        fr=f"Ce stockage S3 ne sait pas « {named} », dont le hub a besoin : prenez-en un autre.",
        en=f"This S3 storage cannot do “{named}”, which the hub needs: choose another.",
        who="operator",
    )


def _disk(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free // 2**20
    if free < LOW_MIB:
        raise _Low(f"{free} MiB free in {settings.home}")
    return f"{free} MiB free"


def _withdrawals(parts: Parts) -> str:
    withdraw.check_in_time(parts)
    return "none is overdue"


def _log(parts: Parts) -> str:
    if parts.log.store.read(CHECKPOINT) is None:
        return "no checkpoint yet"
    return f"{parts.log.size} entries"


def _tables(parts: Parts) -> str:
    names = [
        f"{dataset.partner}/{dataset.name}/{table}"
        for dataset in parts.datasets.values()
        for table in dataset.tables
    ]
    there = sum(bool(parts.tables.versions(name)) for name in names)
    return f"{there} of {len(names)} hold something"

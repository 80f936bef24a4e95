"""Composition: the only module that makes real parts."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from analytics import recognise
from analytics.plan import Plan
from connectors.registry import DATASETS
from hub.audit.journal import JournaledStore
from hub.audit.log import Log
from hub.audit.notes import Signer, VerifierKey
from hub.audit.objects import ObjectStore
from hub.audit.publish import Publisher
from hub.audit.store import FolderStore, LogStore
from hub.computing import DuckDBEngine, Engine, SparkEngine
from hub.errors import Unavailable, bad_setting
from hub.events import AuditEvent, Kind
from hub.identity.openid import CALLBACK
from hub.parts import Parts, utc_now
from hub.policy.gate import EmbeddedGate, ServerGate
from hub.settings import Settings, Territory, load_territory
from hub.storage.books import Books
from hub.storage.keyring import Keyring
from hub.storage.mirror import BucketTables
from hub.storage.objects import FolderObjects, Objects
from hub.storage.s3 import Address, Bucket, S3Objects
from hub.storage.tables import DeltaTables, ReadTables, Tables
from hub.storage.vault import Vault
from hub.storage.zones import ZONES, BucketZone, FolderZone, Zone

if TYPE_CHECKING:
    from hub.identity.remote import RemoteProvider

VERSION: Final = "0.1.0"


def compose(settings: Settings, *, opens: bool) -> Parts:
    """Make the parts of a hub in its home.

    `opens` False is the front door: it can only seal, and writes no table.
    """
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            "home-unavailable",
            fr=f"Le dossier {home} ne peut être créé ({error.strerror}).",
            en=f"The folder {home} cannot be made ({error.strerror}).",
            who="operator",
            where=str(home),
        ) from error
    territory = load_territory(settings.territory)
    keyring = Keyring(home / "keys")
    storage = storage_of(settings)
    books = Books.open(settings.books_url)
    origin = f"{territory.id}/hub"
    log = Log(
        storage.log,
        lambda: [Signer(origin, key) for key in keyring.log_keys()],
        books,
    )
    parts = Parts(
        settings=settings,
        territory=territory,
        plan=Plan.from_mapping(territory.plan),
        rules=recognise.Rules.from_mapping(
            territory.recognition,
            school_year=territory.school_year,
            holidays=territory.holidays,
            public_holidays=territory.public_holidays,
        ),
        datasets=DATASETS,
        books=books,
        objects=storage.objects,
        vault=Vault(
            storage.vault,
            keyring.recipient,
            keyring.identity if opens else None,
        ),
        keyring=keyring,
        tables=storage.tables if opens else ReadTables(storage.tables),
        log=log,
        publisher=Publisher(
            log,
            storage.public,
            [VerifierKey.parse(key) for key in settings.witnesses.split(",") if key.strip()],
        ),
        policy=(ServerGate(settings.policy_url) if settings.policy_url else EmbeddedGate()),
        engine=engine_of(settings),
        owner=f"{socket.gethostname()}-{os.getpid()}",
        lease=timedelta(seconds=settings.lease_seconds),
    )
    if books.event_count() == 0:
        books.record(
            event=AuditEvent(Kind.HUB_CREATED, "hub", territory.id, utc_now(), {"version": VERSION})
        )
    return parts


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a hub keeps what is no record: one place, a zone for each kind."""

    objects: Objects
    vault: Objects
    tables: Tables
    log: LogStore
    public: LogStore


def storage_of(settings: Settings) -> Storage:
    """The storage the settings name. Raises `Rejected`; `Unavailable` where it cannot be used.

    A bucket that keeps deleted versions is refused here, before anything enters it.
    """
    home = settings.home
    if settings.storage_url.startswith("s3:"):
        bucket = bucket_of(settings)
        bucket.must_forget()
        return Storage(
            S3Objects(bucket, "objects"),
            S3Objects(bucket, "vault"),
            BucketTables(bucket, home / "scratch"),
            ObjectStore(S3Objects(bucket, "log")),
            ObjectStore(S3Objects(bucket, "public/audit")),
        )
    root = root_of(settings)
    return Storage(
        FolderObjects(root / "objects"),
        FolderObjects(root / "vault"),
        DeltaTables(root / "tables"),
        JournaledStore(root / "log"),
        FolderStore(root / "public" / "audit"),
    )


def engine_of(settings: Settings) -> Engine:
    """What computes the measures. Raises `Rejected`."""
    if not settings.spark_url:
        return DuckDBEngine()
    secret = settings.spark_secret.get_secret_value()
    return SparkEngine(settings.spark_url, secret, settings.home / "spark")


def root_of(settings: Settings) -> Path:
    """The folder of all zones, where they are in none of a bucket's. Raises `Rejected`."""
    if not settings.storage_url:
        return settings.home
    place = urlsplit(settings.storage_url)
    if place.scheme != "file" or place.netloc or not place.path:
        raise bad_setting("storage-address", "HUB_STORAGE_URL", "s3://bucket/prefix, file:///…")
    return Path(unquote(place.path))


def zones_of(settings: Settings) -> dict[str, Zone]:
    """The same places as `storage_of`, file by file: for back-ups. Raises as it does."""
    if settings.storage_url.startswith("s3:"):
        bucket = bucket_of(settings)
        bucket.must_forget()
        return {name: BucketZone(bucket, name) for name in ZONES}
    root = root_of(settings)
    return {name: FolderZone(root / name) for name in ZONES}


def bucket_of(settings: Settings) -> Bucket:
    """The bucket the settings name. Raises `Rejected`."""
    return Bucket(
        Address.parse(
            settings.storage_url,
            settings.s3_endpoint,
            settings.s3_access_key,
            settings.s3_secret_key.get_secret_value(),
            settings.s3_region,
        )
    )


def provider_of(settings: Settings, territory: Territory) -> RemoteProvider | None:
    """The provider of identities the settings name, if they name one. Raises `Rejected`.

    Without one, people have local accounts, and must be let in with them.
    """
    if not settings.oidc_issuer:
        if settings.local_login:
            return None
        raise bad_setting("no-way-in", "HUB_OIDC_ISSUER", "https://…; or HUB_LOCAL_LOGIN=true")
    from hub.identity.remote import Registration, RemoteProvider  # where there is one

    home = settings.public_url.rstrip("/")
    return RemoteProvider(
        Registration(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(),
            f"{home}{CALLBACK}",
            f"{home}/",
            tuple(territory.openid.scopes),
            territory.openid.userinfo,
        )
    )

"""Tables of the books. Migrations build them; a test holds the two together.

Whatever an event finished (a push, a grant, a release…) keeps that event's `sequence` in its
column `event`: its place in the log is joined when read, so placing events changes no other row.

What an event is lies in four tables that are written once: that it happened, what it says, what it
is found by, where the log put it. Nothing in them is ever changed; when an event is erased, what
it says and is found by goes, all of it, and the rest stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

HEAD: Final = "0018"
"""Revision this code works with: the newest file in `migrations/versions`."""


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite has no such type: there it is ISO 8601 text of fixed width.

    Fixed width and one zone make text compare as time does.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, a timestamp with time zone elsewhere."""
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a naive time: guessing its zone would move a deadline by hours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive datetime cannot enter the books")
        utc = value.astimezone(UTC)
        return utc.isoformat(timespec="microseconds") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the time back aware, in UTC."""
        if value is None:
            return None
        read: datetime = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return read.astimezone(UTC)


# SQLite numbers rows by itself only where the type is spelled INTEGER.
Number: Final = BigInteger().with_variant(Integer(), "sqlite")
Json: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


IMMEDIATE: Final = "books_immediate"
SHARED: Final = "books_shared"
"""Execution options of connections that will write: alone, or beside others, row by row."""
WRITING: Final = "books_writing"
"""Execution option of a transaction: the event it belongs to, as `Writing`."""
UNCHECKED: Final = "books_unchecked"
"""Execution option of a migration: SQLite checks references at its end."""
WRITTEN: Final = "written"
NONCE: Final = "nonce"


@dataclass(frozen=True)
class Writing:
    """An event while the rows it stands for are written."""

    event: int
    random: Callable[[int], bytes]
    """Where nonces and salts come from."""
    tables: set[str] = field(default_factory=set)
    """Audited tables written to so far."""


def _written(context: Any) -> int | None:
    writing: Writing | None = context.execution_options.get(WRITING)
    if writing is None:
        return None
    writing.tables.add(context.compiled.statement.table.name)
    return writing.event


def _nonce(context: Any) -> bytes | None:
    writing: Writing | None = context.execution_options.get(WRITING)
    return None if writing is None else writing.random(16)


def _audited() -> tuple[Column[Any], Column[Any]]:
    """Set by every insert and update of an audited row, see `records`."""
    return (
        Column(WRITTEN, Number, default=_written, onupdate=_written, index=True),
        Column(NONCE, LargeBinary, default=_nonce, onupdate=_nonce),
    )


def _event(*, nullable: bool = False) -> Column[Any]:
    return Column("event", Number, ForeignKey("events.sequence"), nullable=nullable)


def _of_event() -> Column[Any]:
    return Column(
        "event", Number, ForeignKey("events.sequence"), primary_key=True, autoincrement=False
    )


events = Table(
    "events",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False),
    Column("at", Utc, nullable=False),
    Index(None, "kind", "sequence"),
    Index(None, "about", "sequence"),
    sqlite_autoincrement=True,
)

# What it says, with the salt of its entry. An erased event has none.
event_bodies = Table(
    "event_bodies",
    metadata,
    _of_event(),
    Column("body", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
)

# Where the log put it.
event_places = Table(
    "event_places",
    metadata,
    _of_event(),
    Column("log_index", BigInteger, nullable=False, unique=True),
)

# What an event can be found by: "dataset:orange/presence", "about:<id of a push, a grant…>".
event_topics = Table(
    "event_topics",
    metadata,
    Column("topic", String, primary_key=True),
    Column("event", Number, ForeignKey("events.sequence"), primary_key=True),
)

organisations = Table(
    "organisations",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    _event(),
    *_audited(),
)

# Append-only: the newest row of a partner, dataset and purpose is in force.
agreements = Table(
    "agreements",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("dataset", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("basis", String, nullable=False),
    Column("terms", Json, nullable=False),
    _event(),
    *_audited(),
    Index(None, "partner", "dataset", "purpose"),
    sqlite_autoincrement=True,
)

# What each side did to an agreement: "signed", "ended". Never changed.
agreement_acts = Table(
    "agreement_acts",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("agreement", Number, ForeignKey("agreements.number"), nullable=False),
    Column("side", String, nullable=False),
    Column("act", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Utc, nullable=False),
    _event(),
    *_audited(),
    UniqueConstraint("agreement", "side", "act"),
    sqlite_autoincrement=True,
)

clients = Table(
    "clients",
    metadata,
    Column("id", String, primary_key=True),
    Column("organisation", String, ForeignKey("organisations.id"), nullable=False),
    Column("role", String, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("secret_hash", String),
    Column("public_jwk", Json),
    Column("created_at", Utc),
    _event(),
    *_audited(),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("login", String, nullable=False, unique=True),
    # Not a reference: the hub's own people belong to no organisation of these books.
    Column("organisation", String, nullable=False),
    Column("role", String, nullable=False),
    Column("password_hash", String, nullable=False),
    _event(),
    *_audited(),
)

# A second factor: its secret, sealed; without `confirmed_at` nobody is asked for it yet. Codes of
# `last_step` and before are used up.
second_factors = Table(
    "second_factors",
    metadata,
    Column("account", String, ForeignKey("accounts.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("confirmed_at", Utc),
    Column("last_step", BigInteger, nullable=False),
    _event(),
)

# A client's secrets that were replaced and go on to hold for a while.
former_secrets = Table(
    "former_secrets",
    metadata,
    Column("client", String, ForeignKey("clients.id"), primary_key=True),
    Column("secret_hash", String, primary_key=True),
    Column("expires_at", Utc, nullable=False, index=True),
    _event(),
)

# A client's public key that was replaced and goes on to hold for a while.
former_keys = Table(
    "former_keys",
    metadata,
    Column("client", String, ForeignKey("clients.id"), primary_key=True),
    Column("public_jwk", Json, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
    _event(),
)

# Failed tries at secrets, each until it no longer counts; under keyed digests of what was tried.
tries = Table(
    "tries",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("key", LargeBinary, nullable=False, index=True),
    Column("expires_at", Utc, nullable=False, index=True),
)

# Digests of codes that stand in for a second factor; one that was used is gone.
recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("account", String, ForeignKey("accounts.id"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("client", String, ForeignKey("clients.id"), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
    _event(),
    *_audited(),
)

assertions = Table(
    "assertions",
    metadata,
    Column("client", String, primary_key=True),
    Column("jti", String, primary_key=True),
    Column("expires_at", Utc, nullable=False, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_hash", LargeBinary, primary_key=True),
    Column("account", String, ForeignKey("accounts.id"), nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
    _event(),
    *_audited(),
)

# Sessions that a provider of identities vouched for: the keyed digest of its own session, and the
# token that ends it there, sealed under what only the session's holder has.
vouched_sessions = Table(
    "vouched_sessions",
    metadata,
    Column(
        "session_hash",
        LargeBinary,
        ForeignKey("sessions.session_hash", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("sid", LargeBinary, index=True),
    Column("hint", LargeBinary),
)

pushes = Table(
    "pushes",
    metadata,
    Column("id", String, primary_key=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("dataset", String, nullable=False),
    Column("state", String, nullable=False),
    Column("accepted_at", Utc, nullable=False),
    Column("file_sha256", String, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
    Column("idempotency_key", String),
    *(Column(count, BigInteger) for count in ("received", "valid", "rejected", "dropped", "kept")),
    Column("reasons", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("tables", Json, nullable=False),
    Column("problem", Json),
    Column("findings", Json),
    Column("finished_at", Utc),
    _event(nullable=True),
    *_audited(),
    UniqueConstraint("partner", "dataset", "idempotency_key"),
    Index(None, "partner", "accepted_at"),
    Index(None, "state", "accepted_at"),
    CheckConstraint("state IN ('accepted', 'stored', 'refused')", name="state"),
    CheckConstraint("(state = 'accepted') = (event IS NULL)", name="finished"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("push", String, ForeignKey("pushes.id"), nullable=False, index=True),
    Column("position", BigInteger, nullable=False),
    Column("code", String, nullable=False),
    Column("column", String, nullable=False),
    Column("digest", LargeBinary, index=True),
    Column("sealed", LargeBinary),
    Column("until", Date, index=True),
    # The number of the replay that has taken the row up, from before its rows are appended.
    Column("replay", Integer),
)

# What a partner may read of its refused rows: where and why, the same whoever withdraws later.
rejections = Table(
    "rejections",
    metadata,
    Column("push", String, ForeignKey("pushes.id"), primary_key=True),
    Column("listing", LargeBinary, nullable=False),
    Column("until", Date, index=True),
)

# Not a reference: an upload has progress before it is a push.
progress = Table(
    "progress",
    metadata,
    Column("push", String, primary_key=True),
    Column("stage", String, nullable=False),
    Column("percentage", Integer, nullable=False),
)

# Files that come in pieces; `offset` is how much of one is durable, `push` what it became.
uploads = Table(
    "uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("dataset", String, nullable=False),
    Column("client", String, nullable=False),
    Column("idempotency_key", String),
    Column("declared", String),
    Column("length", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("push", String, ForeignKey("pushes.id")),
    Column("problem", Json),
    Index(None, "partner", "created_at"),
)

segments = Table(
    "segments",
    metadata,
    Column("upload", String, ForeignKey("uploads.id"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("name", String, nullable=False),
)

pulls = Table(
    "pulls",
    metadata,
    Column("dataset", String, primary_key=True),
    Column("due_at", Utc),
    Column("etag", String, nullable=False),
    Column("modified", String, nullable=False),
    Column("fetched_at", Utc),
    Column("outcome", String, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Utc),
    Column("owner", String),
    Column("leased_until", Utc),
    Index(None, "kind", "about"),
    Index(None, "attempts", "id"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("until", Utc, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("purpose", String, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("population", String, nullable=False),
    Column("given_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("notice_version", String, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("ended_at", Utc),
    _event(),
    *_audited(),
    # Whatever a push asks about everybody is in this index: the rows are wide, and all over.
    Index(
        "ix_grants_standing",
        "partner",
        "purpose",
        "subject",
        "given_at",
        "state",
        "ended_at",
        "expires_at",
        "population",
    ),
    Index(None, "subject"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", String, primary_key=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("purposes", Json, nullable=False),
    Column("requested_at", Utc, nullable=False),
    Column("completed_at", Utc),
    Column("tables", Json, nullable=False),
    _event(),
    *_audited(),
    Index(None, "subject"),
)

# What a person holds: a code, kept as a keyed digest, and a secret, as an argon2 hash. Halves of a
# joint consent have a code each and share `participant`, a random id.
codes = Table(
    "codes",
    metadata,
    Column("id", String, primary_key=True),
    Column("participant", String, nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("secret", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("given_at", Utc, nullable=False),
    Column("lapses_at", Utc),
    Column("ended_at", Utc),
    _event(),
    *_audited(),
    CheckConstraint("holder IN ('person', 'parent')", name="holder"),
)

# Which partner knows the holder of a code under which reference, both as digests. Not a reference
# to `codes`: a link to a code nobody has is kept like any other, so that it answers like any other.
links = Table(
    "links",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("partner", String, ForeignKey("organisations.id"), nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("code", LargeBinary, nullable=False, index=True),
    Column("linked_at", Utc, nullable=False),
    Column("ended_at", Utc),
    _event(),
    *_audited(),
    UniqueConstraint("partner", "subject", "code"),
    sqlite_autoincrement=True,
)

visits = Table(
    "visits",
    metadata,
    Column("visit_hash", LargeBinary, primary_key=True),
    Column("code", String, ForeignKey("codes.id"), nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
    _event(),
    *_audited(),
)

# The register of rights (GDPR art. 12): what a code cannot do by itself, and until when.
cases = Table(
    "cases",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("concerns", String, nullable=False),
    Column("participant", String, index=True),
    Column("state", String, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("extended_for", String, nullable=False),
    Column("closed_at", Utc),
    Column("ground", String, nullable=False),
    _event(),
    *_audited(),
    Index(None, "state", "due_at"),
)

# The secret is sealed, and gone once `ended_by` names the withdrawal that ended the grant.
contributions = Table(
    "contributions",
    metadata,
    Column("grant", String, ForeignKey("grants.id"), primary_key=True),
    Column("commitment", LargeBinary, nullable=False),
    Column("secret", LargeBinary),
    Column("ended_by", String, index=True),
    _event(),
    *_audited(),
)

# How a consent that ended was collected, sealed for the officer. Its digest is in the event of the
# end.
consent_proofs = Table(
    "consent_proofs",
    metadata,
    Column("grant", String, ForeignKey("grants.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("kept_until", Utc, nullable=False, index=True),
    _event(),
)

# How far a withdrawal is, by when it must be done, and the last back-up that may hold the rows.
erasures = Table(
    "erasures",
    metadata,
    Column("withdrawal", String, ForeignKey("withdrawals.id"), primary_key=True),
    Column("state", String, nullable=False),
    Column("due_at", Utc),
    Column("backups_until", Utc),
)

# Rewrites of tables that are announced and not recorded yet, with the version they make.
rewrites = Table(
    "rewrites",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# Back-ups that exist; without a size it is being made, or was cut off.
backups = Table(
    "backups",
    metadata,
    Column("id", String, primary_key=True),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("sha256", String),
    Column("size", BigInteger),
)

# What organisations ask to be given. `version` rises with every change: two at once, one is told.
requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("measure", String, nullable=False),
    Column("period", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("territory", String, nullable=False),
    Column("granularity", String, nullable=False),
    Column("recipients", Json, nullable=False),
    Column("days", Integer, nullable=False),
    # Not references: collectivities and schools belong to no organisation of these books.
    Column("organisation", String, nullable=False),
    Column("role", String, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("partners", Json, nullable=False),
    Column("submitted_at", Utc, nullable=False),
    Column("state", String, nullable=False),
    Column("decided_at", Utc),
    Column("decided_by", String, nullable=False),
    Column("expires_at", Utc),
    Column("obligations", Json, nullable=False),
    Column("opinion", String, nullable=False),
    Column("ground", String, nullable=False),
    Column("renews", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    _event(),
    *_audited(),
    Index(None, "organisation", "submitted_at"),
    Index(None, "state", "expires_at"),
)

# What was announced for a digest; `outcome` is filled in once.
release_intents = Table(
    "release_intents",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("digest", String, nullable=False, index=True),
    Column("facts", Json, nullable=False),
    Column("at", Utc, nullable=False),
    Column("outcome", String),
    _event(),
    *_audited(),
    CheckConstraint("outcome IN ('published', 'blocked')", name="outcome"),
)

releases = Table(
    "releases",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("measure", String, nullable=False),
    Column("period", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("manifest", Json, nullable=False),
    Column("published_at", Utc, nullable=False),
    _event(),
    *_audited(),
    UniqueConstraint("measure", "period", "version"),
)

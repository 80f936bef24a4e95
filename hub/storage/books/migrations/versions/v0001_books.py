"""The first books: organisations, pushes, grants, releases, jobs and events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

TABLES = (
    "assertions",
    "events",
    "jobs",
    "leases",
    "accounts",
    "organisations",
    "release_intents",
    "releases",
    "agreements",
    "clients",
    "grants",
    "pushes",
    "sessions",
    "withdrawals",
    "quarantine",
    "tokens",
)

# Events are append-only in the database itself; only their place in the log is filled in, once.
# PostgreSQL does the same with privileges, which its operator grants.
APPEND_ONLY = (
    "CREATE TRIGGER events_keep BEFORE DELETE ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER events_fixed BEFORE UPDATE OF sequence, kind, about, at, body ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER events_placed_once BEFORE UPDATE OF log_index ON events"
    " WHEN OLD.log_index IS NOT NULL AND NEW.log_index IS NOT OLD.log_index"
    " BEGIN SELECT RAISE(ABORT, 'an event has one place'); END",
)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "assertions",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("client", "jti", name=op.f("pk_assertions")),
    )
    op.create_index(op.f("ix_assertions_expires_at"), "assertions", ["expires_at"], unique=False)
    op.create_table(
        "events",
        sa.Column("sequence", NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
        sa.UniqueConstraint("log_index", name=op.f("uq_events_log_index")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_about_sequence"), "events", ["about", "sequence"], unique=False)
    op.create_index(op.f("ix_events_kind_sequence"), "events", ["kind", "sequence"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("leased_until", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_attempts_id"), "jobs", ["attempts", "id"], unique=False)
    op.create_index(op.f("ix_jobs_kind_about"), "jobs", ["kind", "about"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_accounts_event")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("login", name=op.f("uq_accounts_login")),
    )
    op.create_table(
        "organisations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_organisations_event")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
    )
    op.create_table(
        "release_intents",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("event", NUMBER, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('published', 'blocked')", name=op.f("ck_release_intents_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_release_intents_event")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_release_intents")),
    )
    op.create_index(op.f("ix_release_intents_digest"), "release_intents", ["digest"], unique=False)
    op.create_table(
        "releases",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("manifest", JSON, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_releases_event")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_releases")),
        sa.UniqueConstraint("id", name=op.f("uq_releases_id")),
        sa.UniqueConstraint(
            "measure", "period", "version", name=op.f("uq_releases_measure_period_version")
        ),
    )
    op.create_table(
        "agreements",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("terms", JSON, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_agreements_event")),
        sa.ForeignKeyConstraint(
            ["partner"], ["organisations.id"], name=op.f("fk_agreements_partner")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_agreements")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_agreements_partner_dataset_purpose"),
        "agreements",
        ["partner", "dataset", "purpose"],
        unique=False,
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=True),
        sa.Column("public_jwk", JSON, nullable=True),
        sa.Column("created_at", TIME, nullable=True),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_clients_event")),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_clients_organisation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_table(
        "grants",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("population", sa.String(), nullable=False),
        sa.Column("given_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("notice_version", sa.String(), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_grants_event")),
        sa.ForeignKeyConstraint(["partner"], ["organisations.id"], name=op.f("fk_grants_partner")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_grants")),
        sa.UniqueConstraint("id", name=op.f("uq_grants_id")),
    )
    op.create_index(
        op.f("ix_grants_partner_purpose_subject_given_at"),
        "grants",
        ["partner", "purpose", "subject", "given_at"],
        unique=False,
    )
    op.create_index(op.f("ix_grants_subject"), "grants", ["subject"], unique=False)
    op.create_table(
        "pushes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("accepted_at", TIME, nullable=False),
        sa.Column("file_sha256", sa.String(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("received", sa.BigInteger(), nullable=True),
        sa.Column("valid", sa.BigInteger(), nullable=True),
        sa.Column("rejected", sa.BigInteger(), nullable=True),
        sa.Column("dropped", sa.BigInteger(), nullable=True),
        sa.Column("kept", sa.BigInteger(), nullable=True),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("warnings", JSON, nullable=False),
        sa.Column("tables", JSON, nullable=False),
        sa.Column("problem", JSON, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("event", NUMBER, nullable=True),
        sa.CheckConstraint(
            "(state = 'accepted') = (event IS NULL)", name=op.f("ck_pushes_finished")
        ),
        sa.CheckConstraint(
            "state IN ('accepted', 'stored', 'refused')", name=op.f("ck_pushes_state")
        ),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_pushes_event")),
        sa.ForeignKeyConstraint(["partner"], ["organisations.id"], name=op.f("fk_pushes_partner")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushes")),
        sa.UniqueConstraint(
            "partner",
            "dataset",
            "idempotency_key",
            name=op.f("uq_pushes_partner_dataset_idempotency_key"),
        ),
    )
    op.create_index(
        op.f("ix_pushes_partner_accepted_at"), "pushes", ["partner", "accepted_at"], unique=False
    )
    op.create_index(
        op.f("ix_pushes_state_accepted_at"), "pushes", ["state", "accepted_at"], unique=False
    )
    op.create_table(
        "sessions",
        sa.Column("session_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name=op.f("fk_sessions_account")),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_sessions_event")),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("purposes", JSON, nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("completed_at", TIME, nullable=True),
        sa.Column("tables", JSON, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_withdrawals_event")),
        sa.ForeignKeyConstraint(
            ["partner"], ["organisations.id"], name=op.f("fk_withdrawals_partner")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
    )
    op.create_index(op.f("ix_withdrawals_subject"), "withdrawals", ["subject"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("push", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("column", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["push"], ["pushes.id"], name=op.f("fk_quarantine_push")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_digest"), "quarantine", ["digest"], unique=False)
    op.create_index(op.f("ix_quarantine_push"), "quarantine", ["push"], unique=False)
    op.create_index(op.f("ix_quarantine_until"), "quarantine", ["until"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["client"], ["clients.id"], name=op.f("fk_tokens_client")),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_tokens_event")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_expires_at"), "tokens", ["expires_at"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        for trigger in APPEND_ONLY:
            op.execute(trigger)


def downgrade() -> None:
    """Drop every table, triggers and indexes with them."""
    for table in reversed(TABLES):
        op.drop_table(table)

"""What this version adds: codes, links and cases of persons' rights."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")
TABLES = ("codes", "links", "visits", "cases")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "codes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("participant", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("identified_by", sa.String(), nullable=False),
        sa.Column("given_at", TIME, nullable=False),
        sa.Column("lapses_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        *_audited("codes"),
        sa.CheckConstraint("holder IN ('person', 'parent')", name=op.f("ck_codes_holder")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_codes")),
        sa.UniqueConstraint("digest", name=op.f("uq_codes_digest")),
    )
    op.create_index(op.f("ix_codes_participant"), "codes", ["participant"])
    op.create_table(
        "links",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.LargeBinary(), nullable=False),
        sa.Column("linked_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        *_audited("links"),
        sa.ForeignKeyConstraint(["partner"], ["organisations.id"], name=op.f("fk_links_partner")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_links")),
        sa.UniqueConstraint(
            "partner", "subject", "code", name=op.f("uq_links_partner_subject_code")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_links_code"), "links", ["code"])
    op.create_table(
        "visits",
        sa.Column("visit_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        *_audited("visits"),
        sa.ForeignKeyConstraint(["code"], ["codes.id"], name=op.f("fk_visits_code")),
        sa.PrimaryKeyConstraint("visit_hash", name=op.f("pk_visits")),
    )
    op.create_index(op.f("ix_visits_expires_at"), "visits", ["expires_at"])
    op.create_table(
        "cases",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("concerns", sa.String(), nullable=False),
        sa.Column("participant", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("extended_for", sa.String(), nullable=False),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("ground", sa.String(), nullable=False),
        *_audited("cases"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
    )
    op.create_index(op.f("ix_cases_participant"), "cases", ["participant"])
    op.create_index(op.f("ix_cases_state_due_at"), "cases", ["state", "due_at"])
    for name in TABLES:
        op.create_index(op.f(f"ix_{name}_written"), name, ["written"])


def downgrade() -> None:
    """Take them away again."""
    for name in ("cases", "visits", "links", "codes"):
        op.drop_table(name)


def _audited(name: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("event", NUMBER, nullable=False),
        sa.Column("written", NUMBER, nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f(f"fk_{name}_event")),
    ]

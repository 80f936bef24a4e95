"""What this version adds: requests for data, their decisions and deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
BY_ASKER, BY_END, BY_EVENT = (
    "ix_requests_organisation_submitted_at",
    "ix_requests_state_expires_at",
    "ix_requests_written",
)


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "requests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("territory", sa.String(), nullable=False),
        sa.Column("granularity", sa.String(), nullable=False),
        sa.Column("recipients", JSON, nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("partners", JSON, nullable=False),
        sa.Column("submitted_at", TIME, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_at", TIME, nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("obligations", JSON, nullable=False),
        sa.Column("opinion", sa.String(), nullable=False),
        sa.Column("ground", sa.String(), nullable=False),
        sa.Column("renews", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.Column("written", NUMBER, nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_requests_event")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
    )
    op.create_index(op.f(BY_ASKER), "requests", ["organisation", "submitted_at"], unique=False)
    op.create_index(op.f(BY_END), "requests", ["state", "expires_at"], unique=False)
    op.create_index(op.f(BY_EVENT), "requests", ["written"], unique=False)


def downgrade() -> None:
    """Take it away again."""
    for name in (BY_ASKER, BY_END, BY_EVENT):
        op.drop_index(op.f(name), "requests")
    op.drop_table("requests")

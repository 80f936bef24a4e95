"""What the front door keeps: uploads under way, progress, lists of refused rows, pulls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Add the tables, and the mark of rows a replay has taken up."""
    op.create_table(
        "rejections",
        sa.Column("push", sa.String(), nullable=False),
        sa.Column("listing", sa.LargeBinary(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["push"], ["pushes.id"], name=op.f("fk_rejections_push")),
        sa.PrimaryKeyConstraint("push", name=op.f("pk_rejections")),
    )
    op.create_index(op.f("ix_rejections_until"), "rejections", ["until"], unique=False)
    op.create_table(
        "progress",
        sa.Column("push", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("percentage", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("push", name=op.f("pk_progress")),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("push", sa.String(), nullable=True),
        sa.Column("problem", JSON, nullable=True),
        sa.ForeignKeyConstraint(["partner"], ["organisations.id"], name=op.f("fk_uploads_partner")),
        sa.ForeignKeyConstraint(["push"], ["pushes.id"], name=op.f("fk_uploads_push")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_partner_created_at"), "uploads", ["partner", "created_at"])
    op.create_table(
        "segments",
        sa.Column("upload", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["upload"], ["uploads.id"], name=op.f("fk_segments_upload")),
        sa.PrimaryKeyConstraint("upload", "start", name=op.f("pk_segments")),
    )
    op.create_table(
        "pulls",
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("modified", sa.String(), nullable=False),
        sa.Column("fetched_at", TIME, nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", name=op.f("pk_pulls")),
    )
    op.add_column("quarantine", sa.Column("replay", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("quarantine", "replay")
    op.drop_table("pulls")
    op.drop_table("segments")
    op.drop_index(op.f("ix_uploads_partner_created_at"), "uploads")
    op.drop_table("uploads")
    op.drop_table("progress")
    op.drop_index(op.f("ix_rejections_until"), "rejections")
    op.drop_table("rejections")

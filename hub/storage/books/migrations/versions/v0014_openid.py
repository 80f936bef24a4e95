"""What this version adds: sessions a provider vouches for, recovery codes, replaced keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Nobody has any of it yet."""
    op.create_table(
        "former_keys",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("public_jwk", JSON, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["client"], ["clients.id"], name=op.f("fk_former_keys_client")),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_former_keys_event")),
        sa.PrimaryKeyConstraint("client", name=op.f("pk_former_keys")),
    )
    op.create_index(op.f("ix_former_keys_expires_at"), "former_keys", ["expires_at"])
    op.create_table(
        "recovery_codes",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["accounts.id"], name=op.f("fk_recovery_codes_account")
        ),
        sa.PrimaryKeyConstraint("account", "digest", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "vouched_sessions",
        sa.Column("session_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sid", sa.LargeBinary(), nullable=True),
        sa.Column("hint", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_hash"],
            ["sessions.session_hash"],
            name=op.f("fk_vouched_sessions_session_hash"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_vouched_sessions")),
    )
    op.create_index(op.f("ix_vouched_sessions_sid"), "vouched_sessions", ["sid"])


def downgrade() -> None:
    """Forget them."""
    op.drop_table("vouched_sessions")
    op.drop_table("recovery_codes")
    op.drop_table("former_keys")

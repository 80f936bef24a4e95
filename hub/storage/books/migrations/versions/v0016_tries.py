"""What this version adds: failed tries at secrets, for all processes together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")


def upgrade() -> None:
    """Nobody has tried anything yet."""
    op.create_table(
        "tries",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tries")),
    )
    op.create_index(op.f("ix_tries_key"), "tries", ["key"])
    op.create_index(op.f("ix_tries_expires_at"), "tries", ["expires_at"])


def downgrade() -> None:
    """Forget them."""
    op.drop_table("tries")

"""What this version adds: the secrets by which grants find their place in releases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table. A grant given before has no row, and its receipt promises no proof."""
    op.create_table(
        "contributions",
        sa.Column("grant", sa.String(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("event", NUMBER, nullable=False),
        sa.Column("written", NUMBER, nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["grant"], ["grants.id"], name=op.f("fk_contributions_grant")),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_contributions_event")
        ),
        sa.PrimaryKeyConstraint("grant", name=op.f("pk_contributions")),
    )
    op.create_index(op.f("ix_contributions_ended_by"), "contributions", ["ended_by"])
    op.create_index(op.f("ix_contributions_written"), "contributions", ["written"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("contributions")

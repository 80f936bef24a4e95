"""What each side did to an agreement: both must have signed before it is in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "agreement_acts",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("agreement", NUMBER, nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.Column("written", NUMBER, nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agreement"], ["agreements.number"], name=op.f("fk_agreement_acts_agreement")
        ),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_agreement_acts_event")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_agreement_acts")),
        sa.UniqueConstraint(
            "agreement", "side", "act", name=op.f("uq_agreement_acts_agreement_side_act")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_agreement_acts_written"), "agreement_acts", ["written"], unique=False)


def downgrade() -> None:
    """Take it away again."""
    op.drop_index(op.f("ix_agreement_acts_written"), "agreement_acts")
    op.drop_table("agreement_acts")

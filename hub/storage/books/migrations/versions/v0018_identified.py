"""What this version takes away: how a parent was identified is in the consent's record alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A code no longer keeps what has to go with the consent."""
    op.drop_column("codes", "identified_by")


def downgrade() -> None:
    """The column again, empty: nobody else knew."""
    op.add_column(
        "codes", sa.Column("identified_by", sa.String(), nullable=False, server_default="")
    )

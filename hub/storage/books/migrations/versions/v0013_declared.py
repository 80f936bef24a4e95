"""What this version adds: the type an upload in pieces is declared to be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Uploads begun before have declared none."""
    op.add_column("uploads", sa.Column("declared", sa.String(), nullable=True))


def downgrade() -> None:
    """Forget them."""
    op.drop_column("uploads", "declared")

"""What this version adds: what was wrong with a push, by reason and column, as its receipt says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Pushes finished before have none: their receipts stay as they were issued."""
    op.add_column("pushes", sa.Column("findings", JSON, nullable=True))


def downgrade() -> None:
    """Forget them."""
    op.drop_column("pushes", "findings")

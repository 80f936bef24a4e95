"""What this version adds: what PostgreSQL needs and SQLite does not."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add nothing yet."""


def downgrade() -> None:
    """Remove nothing yet."""

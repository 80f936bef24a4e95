"""What this version adds: where everybody stands, those who are against side by side."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

OF = ["partner", "purpose"]


def upgrade() -> None:
    """Whom a push asks about are next to each other, by what they said."""
    op.drop_index(op.f("ix_grants_standing"), "grants")
    told = ["state", "ended_at", "subject", "given_at", "expires_at", "population"]
    op.create_index(op.f("ix_grants_standing"), "grants", [*OF, *told])


def downgrade() -> None:
    """People are in the order of their digests, whatever they said."""
    op.drop_index(op.f("ix_grants_standing"), "grants")
    told = ["subject", "given_at", "state", "ended_at", "expires_at", "population"]
    op.create_index(op.f("ix_grants_standing"), "grants", [*OF, *told])

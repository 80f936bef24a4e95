"""What this version adds: an index that answers where everybody stands without a row."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ACTS = ["partner", "purpose", "subject", "given_at"]


def upgrade() -> None:
    """The index of people's acts holds all that a push asks about them."""
    further = ["state", "ended_at", "expires_at", "population"]
    op.create_index(op.f("ix_grants_standing"), "grants", [*ACTS, *further])
    op.drop_index(op.f("ix_grants_partner_purpose_subject_given_at"), "grants")


def downgrade() -> None:
    """The index finds people's acts, and the rows have the rest."""
    op.create_index(op.f("ix_grants_partner_purpose_subject_given_at"), "grants", ACTS)
    op.drop_index(op.f("ix_grants_standing"), "grants")

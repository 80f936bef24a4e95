"""What this version adds: sealed proofs of consents that ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")


def upgrade() -> None:
    """Consents that ended before have none: their evidence stays in the books."""
    op.create_table(
        "consent_proofs",
        sa.Column("grant", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("kept_until", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.id"], name=op.f("fk_consent_proofs_grant")),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_consent_proofs_event")
        ),
        sa.PrimaryKeyConstraint("grant", name=op.f("pk_consent_proofs")),
    )
    op.create_index(op.f("ix_consent_proofs_kept_until"), "consent_proofs", ["kept_until"])


def downgrade() -> None:
    """Forget them."""
    op.drop_table("consent_proofs")

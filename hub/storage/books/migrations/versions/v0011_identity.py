"""What this version adds: second factors of people, and secrets of clients that were replaced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")


def upgrade() -> None:
    """Nobody has a second factor yet, and no secret was replaced."""
    op.create_table(
        "second_factors",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", TIME, nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(
            ["account"], ["accounts.id"], name=op.f("fk_second_factors_account")
        ),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_second_factors_event")
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "former_secrets",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["client"], ["clients.id"], name=op.f("fk_former_secrets_client")),
        sa.ForeignKeyConstraint(
            ["event"], ["events.sequence"], name=op.f("fk_former_secrets_event")
        ),
        sa.PrimaryKeyConstraint("client", "secret_hash", name=op.f("pk_former_secrets")),
    )
    op.create_index(op.f("ix_former_secrets_expires_at"), "former_secrets", ["expires_at"])


def downgrade() -> None:
    """Forget them."""
    op.drop_table("former_secrets")
    op.drop_table("second_factors")

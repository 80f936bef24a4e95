"""What retention keeps: how far withdrawals are, rewrites begun, back-ups; bodies may be erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")

FILLED_ONCE = (
    "CREATE TRIGGER events_filled_once BEFORE UPDATE OF body ON events"
    " WHEN length(OLD.body) > 0{erased}"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
)
# A body that goes takes its salt along, and only one that the log has taken in goes.
ERASED = " AND NOT (length(NEW.body) = 0 AND length(NEW.salt) = 0 AND OLD.log_index IS NOT NULL)"
SALTED_ONCE = (
    "CREATE TRIGGER events_salted_once BEFORE UPDATE OF salt ON events"
    " WHEN NOT (length(NEW.body) = 0 AND length(NEW.salt) = 0 AND OLD.log_index IS NOT NULL)"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
)


def upgrade() -> None:
    """Add the tables; let body and salt of an event in the log be emptied, together."""
    op.create_table(
        "erasures",
        sa.Column("withdrawal", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("backups_until", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["withdrawal"], ["withdrawals.id"], name=op.f("fk_erasures_withdrawal")
        ),
        sa.PrimaryKeyConstraint("withdrawal", name=op.f("pk_erasures")),
    )
    op.create_table(
        "rewrites",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rewrites")),
    )
    op.create_table(
        "backups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_filled_once")
        op.execute(FILLED_ONCE.format(erased=ERASED))
        op.execute(SALTED_ONCE)


def downgrade() -> None:
    """Take them away again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_salted_once")
        op.execute("DROP TRIGGER events_filled_once")
        op.execute(FILLED_ONCE.format(erased=""))
    op.drop_table("backups")
    op.drop_table("rewrites")
    op.drop_table("erasures")

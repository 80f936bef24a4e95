"""What events say of the rows they wrote, and what events are found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

AUDITED = (
    "organisations",
    "agreements",
    "clients",
    "accounts",
    "tokens",
    "sessions",
    "pushes",
    "grants",
    "withdrawals",
    "release_intents",
    "releases",
)

FIXED = (
    "CREATE TRIGGER events_fixed BEFORE UPDATE OF sequence, kind, about, at{body} ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
)
# An event is begun before the rows it stands for and its body filled in after them, once, in the
# same transaction: nobody else ever sees it without.
FILLED_ONCE = (
    "CREATE TRIGGER events_filled_once BEFORE UPDATE OF body ON events"
    " WHEN length(OLD.body) > 0"
    " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
)


def upgrade() -> None:
    """Add the columns, the topics, and let a body be filled in once."""
    for table in AUDITED:
        op.add_column(table, sa.Column("written", NUMBER, nullable=True))
        op.add_column(table, sa.Column("nonce", sa.LargeBinary(), nullable=True))
        op.create_index(op.f(f"ix_{table}_written"), table, ["written"], unique=False)
    op.create_table(
        "event_topics",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("event", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f("fk_event_topics_event")),
        sa.PrimaryKeyConstraint("topic", "event", name=op.f("pk_event_topics")),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_fixed")
        op.execute(FIXED.format(body=""))
        op.execute(FILLED_ONCE)


def downgrade() -> None:
    """Take them away again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_filled_once")
        op.execute("DROP TRIGGER events_fixed")
        op.execute(FIXED.format(body=", body"))
    op.drop_table("event_topics")
    for table in AUDITED:
        op.drop_index(op.f(f"ix_{table}_written"), table)
        op.drop_column(table, "nonce")
        op.drop_column(table, "written")

"""Events are written once: what they say and where the log put them get tables of their own.

The application's role on PostgreSQL inserts and reads there, and no more. When an event has been
kept for its time, what it says goes, through a function that lets nothing else go.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from hub.storage.books.migrations.versions import v0001_books as first
from hub.storage.books.migrations.versions import v0002_records as filled
from hub.storage.books.migrations.versions import v0006_retention as emptied
from hub.storage.books.migrations.versions import v0009_services as services

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(), "sqlite")

MOVED = (
    "INSERT INTO event_bodies (event, body, salt)"
    " SELECT sequence, body, salt FROM events WHERE length(salt) > 0",
    "INSERT INTO event_places (event, log_index)"
    " SELECT sequence, log_index FROM events WHERE log_index IS NOT NULL",
)
BACK = (
    "UPDATE events SET body = b.body, salt = b.salt FROM event_bodies b WHERE b.event = sequence",
    "UPDATE events SET log_index = p.log_index FROM event_places p WHERE p.event = sequence",
)
OWN = ("events", "event_bodies", "event_places", "event_topics")
BODIES_AND_TOPICS = ("event_bodies", "event_topics")

# Both databases hold to the same, whoever asks: nothing changes; what an event says comes with it,
# while it is the newest; and goes once the log has it and an event that says so is the newest.
_STAYS = (
    "NOT EXISTS (SELECT 1 FROM event_places WHERE event = OLD.event)"
    " OR (SELECT kind FROM events ORDER BY sequence DESC LIMIT 1) <> 'event.erased'"
    " OR (SELECT kind FROM events WHERE sequence = OLD.event) = 'event.erased'"
)
_LATE = "NEW.event <> (SELECT max(sequence) FROM events)"
_ABORT = "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"


def _sqlite_guards() -> list[str]:
    kept = ("events", "event_places")
    return [
        *(f"CREATE TRIGGER {t}_fixed BEFORE UPDATE ON {t} {_ABORT}" for t in OWN),
        *(f"CREATE TRIGGER {t}_keep BEFORE DELETE ON {t} {_ABORT}" for t in kept),
        *(
            f"CREATE TRIGGER {t}_keep BEFORE DELETE ON {t} WHEN {_STAYS} {_ABORT}"
            for t in BODIES_AND_TOPICS
        ),
        *(
            f"CREATE TRIGGER {t}_whole BEFORE INSERT ON {t} WHEN {_LATE} {_ABORT}"
            for t in BODIES_AND_TOPICS
        ),
    ]


_RAISE = "RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';"


def _function(name: str, condition: str, result: str) -> str:
    body = f"IF {condition} THEN {_RAISE} END IF; RETURN {result};"
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


def _postgres_guards() -> list[str]:
    each = "FOR EACH ROW EXECUTE FUNCTION"
    return [
        _function("event_fixed", "true", "NULL"),
        _function("event_stays", _STAYS, "OLD"),
        _function("event_comes_whole", _LATE, "NEW"),
        _function(
            "event_says",
            "NOT EXISTS (SELECT FROM event_bodies WHERE event = NEW.sequence)",
            "NULL",
        ),
        *(f"CREATE TRIGGER {t}_fixed BEFORE UPDATE ON {t} {each} event_fixed()" for t in OWN),
        *(
            f"CREATE TRIGGER {t}_not_emptied BEFORE TRUNCATE ON {t}"
            " FOR EACH STATEMENT EXECUTE FUNCTION event_fixed()"
            for t in OWN
        ),
        *(
            f"CREATE TRIGGER {t}_keep BEFORE DELETE ON {t} {each} event_fixed()"
            for t in ("events", "event_places")
        ),
        *(
            f"CREATE TRIGGER {t}_keep BEFORE DELETE ON {t} {each} event_stays()"
            for t in BODIES_AND_TOPICS
        ),
        *(
            f"CREATE TRIGGER {t}_whole BEFORE INSERT ON {t} {each} event_comes_whole()"
            for t in BODIES_AND_TOPICS
        ),
        "CREATE CONSTRAINT TRIGGER events_say AFTER INSERT ON events"
        f" DEFERRABLE INITIALLY DEFERRED {each} event_says()",
    ]


# Runs as the owner, so its search path is its own: no temporary table stands in for these.
ERASING = (
    """
CREATE FUNCTION erase_events(these bigint[]) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
  DELETE FROM event_topics WHERE event = ANY (these);
  DELETE FROM event_bodies WHERE event = ANY (these);
$$
""",
    "REVOKE ALL ON FUNCTION erase_events(bigint[]) FROM PUBLIC",
    """
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION erase_events(bigint[]) SET search_path = %I, pg_temp',
                 current_schema());
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') THEN
    GRANT EXECUTE ON FUNCTION erase_events(bigint[]) TO hub_app;
    REVOKE UPDATE, DELETE ON events, event_bodies, event_places, event_topics FROM hub_app;
  END IF;
END $$
""",
)
GIVEN_BACK = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') THEN
    GRANT UPDATE (body, salt, log_index) ON events TO hub_app;
    GRANT DELETE ON event_topics TO hub_app;
  END IF;
END $$
"""


def upgrade() -> None:
    """Move what is there, then guard it."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    _create("event_bodies", _column("body"), _column("salt"))
    _create(
        "event_places",
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("log_index", name=op.f("uq_event_places_log_index")),
    )
    for statement in MOVED:
        op.execute(statement)
    if sqlite:
        _rebuild()
    else:
        _unguard_postgres()
        for column in ("body", "salt", "log_index"):
            op.drop_column("events", column)
    for statement in _sqlite_guards() if sqlite else [*_postgres_guards(), *ERASING]:
        op.execute(statement)


def downgrade() -> None:
    """Put all in one table again, where a body is filled in and emptied."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        for table in OWN:
            for guard in ("fixed", "keep", "whole"):
                op.execute(f"DROP TRIGGER IF EXISTS {table}_{guard}")
    else:
        op.execute("DROP FUNCTION erase_events(bigint[])")
        for function in ("event_fixed", "event_stays", "event_comes_whole", "event_says"):
            op.execute(f"DROP FUNCTION {function}() CASCADE")
    for name in ("body", "salt"):
        op.add_column("events", _column(name, server_default=sa.text("x''" if sqlite else "''")))
    op.add_column("events", sa.Column("log_index", sa.BigInteger(), nullable=True))
    for statement in BACK:
        op.execute(statement)
    op.drop_table("event_places")
    op.drop_table("event_bodies")
    if sqlite:
        op.create_index("uq_events_log_index", "events", ["log_index"], unique=True)
        for statement in (
            first.APPEND_ONLY[0],
            filled.FIXED.format(body=""),
            first.APPEND_ONLY[2],
            emptied.FILLED_ONCE.format(erased=emptied.ERASED),
            emptied.SALTED_ONCE,
        ):
            op.execute(statement)
        return
    op.create_unique_constraint("uq_events_log_index", "events", ["log_index"])
    guards = (services.GUARD, services.ROWS, services.WHOLE, services.TOPICS, services.TOPICS_ROWS)
    for statement in (*guards, GIVEN_BACK):
        op.execute(statement)


def _column(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary(), nullable=False, **more)


def _create(name: str, *columns: sa.Column[Any] | sa.UniqueConstraint) -> None:
    op.create_table(
        name,
        sa.Column("event", NUMBER, autoincrement=False, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["event"], ["events.sequence"], name=op.f(f"fk_{name}_event")),
        sa.PrimaryKeyConstraint("event", name=op.f(f"pk_{name}")),
    )


def _rebuild() -> None:
    """SQLite cannot drop a unique column: the table is made anew, and takes the old one's name.

    Its triggers go with the old one.
    """
    op.create_table(
        "events_anew",
        sa.Column("sequence", NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.execute("INSERT INTO events_anew SELECT sequence, kind, about, at FROM events")
    op.drop_table("events")
    op.rename_table("events_anew", "events")
    for column in ("about", "kind"):
        op.create_index(op.f(f"ix_events_{column}_sequence"), "events", [column, "sequence"])


def _unguard_postgres() -> None:
    op.execute("DROP TRIGGER topics_stay ON event_topics")
    op.execute("DROP FUNCTION topics_stay()")
    op.execute("DROP FUNCTION events_append_only() CASCADE")

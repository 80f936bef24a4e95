"""What this version adds: what PostgreSQL needs and SQLite does not.

The application's role, where the operator has created it under its name, may do its work and no
more: it cannot remove an event, nor change what one says, nor change a table.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The same as SQLite's triggers, and they hold for the owner as well: an event's body is filled in
# once, its place in the log once, and what leaves later is body and salt together, from an event
# that the log has taken in.
GUARD = """
CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';
  END IF;
  IF (NEW.sequence, NEW.kind, NEW.about, NEW.at) IS DISTINCT FROM
     (OLD.sequence, OLD.kind, OLD.about, OLD.at)
     OR ((length(OLD.body) > 0 AND NEW.body IS DISTINCT FROM OLD.body
          OR NEW.salt IS DISTINCT FROM OLD.salt)
         AND NOT (length(NEW.body) = 0 AND length(NEW.salt) = 0
                  AND OLD.log_index IS NOT NULL)) THEN
    RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.log_index IS NOT NULL AND NEW.log_index IS DISTINCT FROM OLD.log_index THEN
    RAISE EXCEPTION 'an event has one place' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$
"""
ROWS = (
    "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events"
    " FOR EACH ROW EXECUTE FUNCTION events_append_only()"
)
WHOLE = (
    "CREATE TRIGGER events_not_emptied BEFORE TRUNCATE ON events"
    " FOR EACH STATEMENT EXECUTE FUNCTION events_append_only()"
)
# What an event is found by goes with its body, not before.
TOPICS = """
CREATE FUNCTION topics_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM events WHERE sequence = OLD.event AND length(body) > 0) THEN
    RAISE EXCEPTION 'topics are append-only' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$
"""
TOPICS_ROWS = (
    "CREATE CONSTRAINT TRIGGER topics_stay AFTER DELETE ON event_topics"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION topics_stay()"
)

# Three columns, and the trigger says when.
GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO hub_app', current_schema());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO hub_app',
                   current_schema());
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO hub_app', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I
                    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO hub_app', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I
                    GRANT USAGE ON SEQUENCES TO hub_app', current_schema());
    REVOKE UPDATE, DELETE ON events FROM hub_app;
    REVOKE UPDATE ON event_topics FROM hub_app;
    GRANT UPDATE (body, salt, log_index) ON events TO hub_app;
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM hub_app;
  END IF;
END $$
"""
TAKEN_BACK = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') THEN
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON TABLES FROM hub_app',
                   current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON SEQUENCES FROM hub_app',
                   current_schema());
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM hub_app', current_schema());
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM hub_app', current_schema());
  END IF;
END $$
"""


def upgrade() -> None:
    """Guard the events, and give the application's role what it may do."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in (GUARD, ROWS, WHOLE, TOPICS, TOPICS_ROWS, GRANTS):
            op.execute(statement)


def downgrade() -> None:
    """Take guard and privileges away again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(TAKEN_BACK)
        op.execute("DROP TRIGGER topics_stay ON event_topics")
        op.execute("DROP FUNCTION topics_stay()")
        op.execute("DROP TRIGGER events_append_only ON events")
        op.execute("DROP TRIGGER events_not_emptied ON events")
        op.execute("DROP FUNCTION events_append_only()")

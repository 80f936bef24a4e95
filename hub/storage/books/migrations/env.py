"""How Alembic runs here: on the caller's connection, inside the caller's transaction.

A migration that fails half-way therefore leaves the books as they were, on SQLite too.
"""

from alembic import context

from hub.storage.books.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()

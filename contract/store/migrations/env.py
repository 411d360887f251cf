"""How alembic meets our tables: on the connection that schema.migrate opened."""

from alembic import context

from contract.store.tables.base import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

"""Bringing a database to the schema this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from contract.errors import StoreUnavailableError
from contract.store.engine import Store


def migrate(store: Store) -> None:
    """Apply every migration that is missing. Harmless to repeat; two at once wait for one another.

    Raises StoreUnavailableError where the database does not answer.
    """
    with store.write() as connection:
        if not store.is_sqlite:
            # An index on a large table takes longer than any statement of ours may otherwise, and so may whoever migrates beside us.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7421001)")
            connection.exec_driver_sql(
                "SET LOCAL lock_timeout = 15000"
            )  # for a table that is in use: those behind us must not wait for long
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def assert_current(store: Store) -> None:
    """Raises StoreUnavailableError, with the remedy, for a database at another schema than this version's."""
    with store.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise StoreUnavailableError(
            f"the database is at schema {found or 'none'} and this version needs {wanted}; run python -m contract.store migrate"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config

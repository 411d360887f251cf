"""Bringing a database to the schema this version needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from contract.errors import StoreUnavailableError
from contract.store.engine import Store

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(store: Store) -> None:
    """Apply every migration that is missing. Harmless to repeat; two at once wait for one another.

    Raises StoreUnavailableError where the database does not answer.
    """
    # Here and not above: who only looks at a database need not wait a fifth of a second for what changes one.
    from alembic import command

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
        is_ours = inspect(connection).has_table("alembic_version")
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if is_ours else None
    wanted = newest()
    if found != wanted:
        raise StoreUnavailableError(
            f"the database is at schema {found or 'none'} and this version needs {wanted}; run python -m contract.store migrate"
        )


def newest() -> str:
    """The schema that this version needs: the number that the last migration's file begins with, which is its revision."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config

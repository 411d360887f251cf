"""A database is brought to the schema of the tables, whatever state it is in, on both kinds of database."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from contract.errors import ConfigurationError, StoreUnavailableError
from contract.store import Store, schema
from contract.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Store:
    return Store(request.getfixturevalue(f"{request.param}_url"))


def test_the_migrations_make_the_tables_as_the_code_knows_them(store: Store) -> None:
    with store.read() as connection:
        options = {"include_object": _is_told_by_sqlite} if store.is_sqlite else {}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def _is_told_by_sqlite(_found: object, name: str | None, *_: object) -> bool:
    """SQLite tells of no direction in an index, and has none for documents; PostgreSQL compares both."""
    return name not in {"ix_jobs_queue", "ix_jobs_tenant_queue", "ix_jobs_metadata"}


def test_many_who_migrate_at_once_do_it_once(empty: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: schema.migrate(empty), range(4)))
    schema.assert_current(empty)
    empty.close()


def test_a_migration_may_take_longer_than_any_other_statement(postgresql_url: str) -> None:
    """As an index on a million jobs does; here it waits for another migration, which counts alike."""
    hurried, other = Store(postgresql_url), Store(postgresql_url)
    hurried.engine = create_engine(f"{postgresql_url}&options=-c%20statement_timeout%3D100%20-c%20lock_timeout%3D100")
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool, other.write() as first:
        first.execute(text("SELECT pg_advisory_xact_lock(7421001)"))
        migrated = pool.submit(schema.migrate, hurried)
        while not migrated.done() and not first.execute(waiting).scalar_one():
            pass
        first.execute(text("SELECT pg_sleep(0.3)"))
        first.rollback()
        migrated.result()
    schema.assert_current(hurried)
    hurried.close()
    other.close()


def test_a_database_at_another_schema_is_refused_with_the_remedy(empty: Store) -> None:
    with pytest.raises(StoreUnavailableError, match="contract\\.store migrate"):
        schema.assert_current(empty)
    empty.close()


def test_who_only_looks_at_the_schema_loads_nothing_that_migrates(sqlite_store: Store) -> None:
    look = (
        "import sys; from contract.store import Store, schema; schema.assert_current(Store(sys.argv[1])); print('alembic' in sys.modules)"
    )
    program = [sys.executable, "-c", look, str(sqlite_store.engine.url)]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout == "False\n"


def test_sqlite_waits_for_the_disk_and_for_other_writers(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("synchronous", "busy_timeout", "foreign_keys")}
    assert found == {"synchronous": 2, "busy_timeout": 30_000, "foreign_keys": 1}


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def broken() -> None:
        with store.write() as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    schema.assert_current(store)


@pytest.mark.parametrize("url", ["mysql://x/y", "garbage", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_cannot_be_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        Store(url)


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    store = Store("postgresql+psycopg://user:s3cret@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailableError) as refused, store.read():
        pass
    assert "s3cret" not in str(refused.value)

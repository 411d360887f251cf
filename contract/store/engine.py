"""How a transaction is opened on SQLite and on PostgreSQL, and how the database tells the time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contract.errors import ConfigurationError, StoreUnavailableError
from contract.store import sqlite

_ALONE = 7421003
_READ_ONLY = "25006"
"""PostgreSQL's word for a server that only reads, as a standby in the middle of a failover."""
_ADDRESSES = "use sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"


class Store:
    """A database of ours. `read` and `write` open the only kinds of transaction there are."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises ConfigurationError for an address we do not speak."""
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise ConfigurationError(f"RIDGELINE_DATABASE_URL is no address; {_ADDRESSES}") from None
        backend = parsed.get_backend_name()
        if backend not in {"sqlite", "postgresql"}:
            raise ConfigurationError(
                f"RIDGELINE_DATABASE_URL names '{backend}'; use sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
            )
        self.is_sqlite = backend == "sqlite"
        self._line = threading.Lock()
        self.engine = _sqlite(url, parsed.database) if self.is_sqlite else _postgresql(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from. Raises StoreUnavailableError where the database does not answer."""
        with told_as_ours(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock (SQLite) or will lock the rows it reads for update (PostgreSQL).

        Commits on leaving, rolls back on any exception. Raises StoreUnavailableError where the database does not answer.
        """
        with (
            self._turn(),
            told_as_ours(),
            self.engine.connect().execution_options(**{sqlite.WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def now(self, connection: Connection) -> float:
        """The database's clock, in seconds since 1970 (UTC): the only clock by which two processes are compared."""
        return float(connection.execute(_NOW_SQLITE if self.is_sqlite else _NOW_POSTGRESQL).scalar_one())

    def close(self) -> None:
        """Close every connection that is not in use. The store can be used again after, and opens new ones."""
        self.engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The turn of one of this store's writers, on SQLite.

        SQLite lets who waits for a lock sleep for up to a tenth of a second before it tries again: among threads that write one
        transaction after another, one that comes now and then can wait for seconds.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._line.acquire(timeout=sqlite.BUSY_SECONDS):
            raise StoreUnavailableError(f"others of this process have written to the database for {sqlite.BUSY_SECONDS} seconds; try again")
        try:
            yield
        finally:
            self._line.release()


def alone(connection: Connection, what: str) -> None:
    """Let no other transaction that names `what` go on beside this one, until it ends.

    For what is counted before a row is written: on PostgreSQL two transactions do not see each other's rows, and there is no row to
    lock for one that is not there yet. On SQLite the write lock holds off every other already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ALONE, func.hashtext(what))))


@contextmanager
def told_as_ours() -> Iterator[None]:
    """Within this, StoreUnavailableError is raised for whatever the driver says of a database that does not answer."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailableError(f"the database does not answer: {_cause(error)}") from error
    except PoolTimeoutError as error:
        raise StoreUnavailableError("every connection to the database is in use; try again") from error
    except DBAPIError as error:
        if type(error) is DatabaseError and "not a database" in str(error.orig):
            raise StoreUnavailableError(f"the database cannot be read: {_cause(error)}") from error
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise StoreUnavailableError(f"the database takes no writes: {_cause(error)}") from error
        if error.connection_invalidated:
            raise StoreUnavailableError(f"the database closed the connection: {_cause(error)}") from error
        raise


_NOW_SQLITE = text("SELECT (julianday('now') - 2440587.5) * 86400.0")
_NOW_POSTGRESQL = text("SELECT extract(epoch FROM clock_timestamp())::double precision")


def _postgresql(url: str) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=20,
        pool_timeout=15,
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": 5,
            "options": "-c lock_timeout=15000 -c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
        },
    )


def _sqlite(url: str, file: str | None) -> Engine:
    if not file or file == ":memory:":
        raise ConfigurationError(
            "a database in memory is seen by one process only; give SQLite a file, as in sqlite:///ridgeline-data/ridgeline.db"
        )
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    return sqlite.opened(url)


def _cause(error: DBAPIError) -> str:
    """The driver's own words, without the statement and its parameters, which can hold what a user sent."""
    return str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else type(error.orig).__name__

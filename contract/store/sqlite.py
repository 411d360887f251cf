"""Which SQLite is spoken to: a newer one than most Pythons come with, where there is a wheel of it, and how its file is set up."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    try:
        from pysqlite3 import dbapi2 as driver
    except ImportError:
        from sqlite3 import dbapi2 as driver

BUSY_SECONDS: Final = 30
"""For how long one waits for another's transaction."""
WRITES: Final = "ridgeline_writes"
"""The execution option of a connection whose transaction will write."""
VERSION: Final = driver.sqlite_version_info
# Below 3.51.3 the write-ahead log can corrupt a file that several processes write (the WAL-reset bug); there the rollback journal is
# truncated instead. That waits for the disk more than once a commit, and nobody can read meanwhile.
JOURNAL: Final = "WAL" if VERSION >= (3, 51, 3) else "TRUNCATE"


def opened(url: str) -> Engine:
    """An engine on a file. Connects to nothing yet."""
    options = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(url, module=driver, connect_args=options, pool_size=10, max_overflow=50)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: driver.Connection, _entry: ConnectionPoolEntry) -> None:
    # We say BEGIN ourselves: the driver would begin late, and a read that turns into a write cannot wait for the lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute(f"PRAGMA journal_mode = {JOURNAL}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")

"""Which SQLite and which journal a file is kept with: readers are not to wait for writers where that is safe."""

import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import select, text

from contract.spec import JobSpec
from contract.store import Store, sqlite, submissions
from contract.store.submissions import Asked, Submission
from contract.store.tables import jobs


def test_the_journal_is_the_one_that_this_version_of_sqlite_keeps_safe(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        flushes = connection.execute(text("PRAGMA synchronous")).scalar_one()
    assert tuple(map(int, version.split("."))) == sqlite.VERSION
    assert journal == ("wal" if sqlite.VERSION >= (3, 51, 3) else "truncate")
    assert flushes == 2  # FULL: a commit that was answered is on the disk


@pytest.mark.skipif(sqlite.JOURNAL != "WAL", reason="this SQLite is older than 3.51.3: a commit waits until nobody reads")
def test_nobody_who_writes_waits_for_one_who_reads_and_what_is_read_stays_as_it_was(sqlite_store: Store) -> None:
    first = submit(sqlite_store)
    with sqlite_store.read() as reader:
        assert list(reader.execute(select(jobs.c.id)).scalars()) == [first]
        second = submit(sqlite_store)  # would fail after half a minute, the reader being this very thread
        assert list(reader.execute(select(jobs.c.id)).scalars()) == [first]
    with sqlite_store.read() as reader:
        assert set(reader.execute(select(jobs.c.id)).scalars()) == {first, second}


def test_without_the_wheel_the_sqlite_of_python_serves() -> None:
    program = "import sys; sys.modules['pysqlite3'] = None; from contract.store import sqlite; print(sqlite.VERSION)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sqlite3.sqlite_version_info)


def submit(store: Store) -> str:
    (done,) = submissions.write(store, [Asked("default", JobSpec.model_validate({"dataset": {"kind": "fake"}}))])
    assert isinstance(done, Submission)
    return done.job.id

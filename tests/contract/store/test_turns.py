"""Threads that write to one SQLite file take turns, so that none is starved by SQLite's own way of waiting."""

import threading

import pytest
from sqlalchemy import event

from contract.store import Store


def test_a_writer_waits_for_another_of_its_process_before_it_takes_a_connection(sqlite_store: Store) -> None:
    taken: list[object] = []
    event.listen(sqlite_store.engine, "checkout", lambda connection, *_: taken.append(connection))

    def write() -> None:
        with sqlite_store.write():
            pass

    second = threading.Thread(target=write)
    with sqlite_store.write():
        second.start()
        second.join(0.5)
        meanwhile = len(taken)
    second.join(30)
    assert (meanwhile, len(taken)) == (1, 2)


def test_writers_on_postgresql_do_not_wait_for_one_another(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    with store.write() as one, store.write() as other:
        assert one is not other
    store.close()


def test_a_turn_ends_with_its_transaction_however_that_ends(sqlite_store: Store) -> None:
    with pytest.raises(ValueError, match="whoever"), sqlite_store.write():
        raise ValueError("of whoever wrote")
    with sqlite_store.write() as connection:
        assert sqlite_store.now(connection) > 0

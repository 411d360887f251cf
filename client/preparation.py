"""What is done to a database before any part runs: its schema is brought up to date, and what dead workers held is set free."""

import hashlib
from pathlib import Path
from typing import Final

import contract
from client.errors import StackError

_MIGRATIONS: Final = Path(contract.__file__).parent / "store" / "migrations" / "versions"


def prepare(data_dir: Path, database_url: str, *, in_order: bool) -> None:
    """Migrate, and after a stack that was killed (`in_order` False) forget its workers, which would still
    count as there, and put their jobs back in the queue.

    Raises StackError where the database does not allow it.
    """
    stamp = data_dir / "schema"
    is_embedded = database_url == f"sqlite:///{data_dir}/ridgeline.db"
    now = _fingerprint(database_url)
    # The store takes most of a second to import; a folder that was left in order by this version needs nothing from it.
    if in_order and is_embedded and (data_dir / "ridgeline.db").exists() and stamp.exists() and stamp.read_text() == now:
        return
    from contract.errors import OperatorError

    try:
        _bring_up_to_date(database_url, is_ours=is_embedded)
    except OperatorError as error:
        raise StackError(str(error)) from error
    stamp.write_text(now)


def _bring_up_to_date(database_url: str, *, is_ours: bool) -> None:
    from contract.store import Store, schema, sweep, workers

    store = Store(database_url)
    try:
        schema.migrate(store)
        if not is_ours:
            return  # other machines' workers may be alive in it
        # In our own folder, whose lock we hold, nobody is: what was held goes on at once instead of after a lease.
        for worker in workers.listed(store):
            workers.left(store, worker.id)
        while sweep.release_all(store, "the stack was killed and started again"):
            pass
    finally:
        store.close()


def _fingerprint(database_url: str) -> str:
    """Changes with the migrations this version has, and with the database."""
    digest = hashlib.sha256(database_url.encode())
    for path in sorted(_MIGRATIONS.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""What is done to a database before any part runs: its schema is brought up to date, and dead workers are forgotten."""

import hashlib
from pathlib import Path
from typing import Final

import contract
from client.errors import StackError

_MIGRATIONS: Final = Path(contract.__file__).parent / "store" / "migrations" / "versions"


def prepare(data_dir: Path, database_url: str, *, in_order: bool) -> None:
    """Migrate, and after a stack that was killed (`in_order` False) forget its workers, which would still count as there.

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
        _bring_up_to_date(database_url, forget_workers=is_embedded)
    except OperatorError as error:
        raise StackError(str(error)) from error
    stamp.write_text(now)


def _bring_up_to_date(database_url: str, *, forget_workers: bool) -> None:
    from contract.store import Store, schema, workers

    store = Store(database_url)
    try:
        schema.migrate(store)
        # In a shared database other machines' workers are alive; in our own folder, whose lock we hold, nobody is.
        for worker in workers.listed(store) if forget_workers else ():
            workers.left(store, worker.id)
    finally:
        store.close()


def _fingerprint(database_url: str) -> str:
    """Changes with the migrations this version has, and with the database."""
    digest = hashlib.sha256(database_url.encode())
    for path in sorted(_MIGRATIONS.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""`python -m worker.health` exits 0 if a worker of this host was heard of lately: the health check of the worker's image."""

import socket
import sys

from contract import settings
from contract.errors import OperatorError
from contract.store import Store, workers


def main() -> int:
    """0 if a worker of this host is seen and past its start, else 1 with the reason on stderr."""
    store = Store(settings.current().database_url)
    try:
        here = [worker for worker in workers.listed(store) if worker.host == socket.gethostname() and worker.is_fresh]
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        store.close()
    if not any(worker.state != "starting" for worker in here):
        sys.stderr.write(f"no worker of {socket.gethostname()} is ready\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m worker` runs one worker: Celery's main process, the supervisor in its child, and the trainer below that."""

import logging
import sys

import structlog

from contract import settings
from contract.errors import OperatorError
from contract.store import Store, schema


def main() -> int:
    """Run until SIGTERM, which lets the present job reach a checkpoint and gives it back to the queue.

    Returns 1 with the cause on stderr for a database that is away or at another schema.
    """
    chosen = settings.current()
    level = logging.getLevelNamesMapping()[chosen.log_level.upper()]
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level), logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = Store(chosen.database_url)
    try:
        schema.assert_current(store)
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        store.close()
    from worker.app import celery  # after the checks: importing it connects the signals

    # Not worker_main: the command line that it goes by imports a shell, a fifth of all that a worker loads.
    main_process = celery.Worker(loglevel=level, without_gossip=True, without_mingle=True, without_heartbeat=True)
    main_process.start()
    return main_process.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m contract.store migrate` brings the database of RIDGELINE_DATABASE_URL to this version's schema."""

import sys

from contract import settings
from contract.errors import OperatorError
from contract.store import Store, schema


def main(arguments: list[str]) -> int:
    """Run the verb given; 0 when done, 1 when the database did not allow it, 2 for another verb."""
    if arguments != ["migrate"]:
        sys.stderr.write("usage: python -m contract.store migrate\n")
        return 2
    store = Store(settings.current().database_url)
    try:
        schema.migrate(store)
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

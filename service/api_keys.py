"""`python -m service.api_keys create NAME` makes an API key in the database of RIDGELINE_DATABASE_URL: the first one, where there is no server yet."""

import argparse
import sys
from collections.abc import Sequence

from contract import settings as environment
from contract.errors import RidgelineError
from contract.store import Store, keys, schema
from contract.store.keys import Scope
from service.callers import DEFAULT_TENANT


def main(arguments: Sequence[str]) -> int:
    """Make the key and print its secret, alone on a line. 1 where the database does not allow it, 2 for wrong usage."""
    asked = _parser().parse_args(arguments)
    scopes = [Scope.ADMIN] if asked.admin else [Scope(scope) for scope in asked.scope or (Scope.JOBS_READ, Scope.JOBS_WRITE)]
    try:
        store = Store(environment.current().database_url)
        try:
            schema.assert_current(store)
            key, secret = keys.create(store, asked.tenant, asked.name, scopes)
        finally:
            store.close()
    except RidgelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{key.id} of tenant {key.tenant} may {' '.join(key.scopes)}; its secret is shown this once:\n")
    sys.stdout.write(f"{secret}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service.api_keys", description="API keys, made without a server.")
    create = parser.add_subparsers(required=True).add_parser("create", help="make a key and print its secret")
    create.add_argument("name", help="what it is for, as ci or ada-laptop")
    create.add_argument("--admin", action="store_true", help="it may do everything, also make other keys")
    create.add_argument("--scope", action="append", choices=[scope.value for scope in Scope], help="repeat it for several")
    create.add_argument("--tenant", default=DEFAULT_TENANT, help="whose jobs it sees")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

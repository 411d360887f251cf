"""`ridgeline up` for storms: the same stack, whose parts are started again within a second however often they are killed."""

import argparse
from pathlib import Path

from client.stack import Stack
from client.up import serve

LONGEST_WAIT_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    stack = Stack(given.data_dir, port=given.port, workers=given.workers, longest_wait_seconds=LONGEST_WAIT_SECONDS)
    serve(stack, lambda url: print(f"ready {url}", flush=True))


if __name__ == "__main__":
    main()

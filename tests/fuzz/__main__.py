"""`scripts/fuzz`: as many requests as asked for, drawn from the description and from spoilt bytes, and what was wrong with the answers."""

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.fuzz import raw, rig


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="how many at least (2,000; 50,000 for a release)")
    parser.add_argument("--seed", type=int, default=20261122, help="decides what is asked; each round takes the next")
    asked = parser.parse_args()
    began, report = time.monotonic(), rig.Report()
    _spoil(report, asked.requests // 10, asked.seed)
    seed = asked.seed
    while report.requests < asked.requests:
        with tempfile.TemporaryDirectory(prefix="ridgeline-fuzz-") as folder:
            # The first round has everything that can be enumerated; those after it draw deeper, which enumerating cannot.
            phases = rig.PHASES if seed == asked.seed else ("fuzzing", "stateful")
            most = asked.requests - report.requests
            report.add(rig.fuzz(rig.app(Path(folder)), phases=phases, seed=seed, examples=100, most=most))
        print(f"seed {seed}: {report}", flush=True)
        seed += 1
    for name, example in sorted(report.failures.items()):
        print(f"\n{name}\n{example}")
    print(f"\n{report}; seeds {asked.seed} to {seed - 1}; {time.monotonic() - began:.0f} s")
    return 1 if report.failures else 0


def _spoil(report: rig.Report, requests: int, seed: int) -> None:
    random_ = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ridgeline-fuzz-") as folder, raw.served(Path(folder)) as port:
        for request in (*raw.CORPUS.values(), *(raw.mutated(random_) for _ in range(requests))):
            reply = raw.answer(port, request)
            report.requests += 1
            report.phases["raw"] += 1
            report.statuses[reply[9:12].decode("ascii", "replace") if reply else "cut off"] += 1
            if wrong := raw.wrong(reply):
                report.failures.setdefault(f"raw: {wrong}", repr(request[:300]))


if __name__ == "__main__":
    raise SystemExit(main())

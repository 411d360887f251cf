"""One of many processes that write to one database at once: does what clients and workers do, and tells at its end what it did.

`python -m tests.faults.contend URL TRANSACTIONS SEED [--die]`; with `--die` it ends by SIGKILL in the midst of a last transaction.
"""

import json
import os
import random
import signal
import sys
from collections import Counter
from typing import Any

from contract.errors import LostLeaseError, StateConflictError, StoreUnavailableError
from contract.lifecycle import Report
from contract.spec import JobSpec
from contract.store import Store, jobs, leases, listing, metrics, rows
from contract.store.leases import Lease
from contract.store.rows import Note
from worker.training import lifeline

TENANT = "default"
SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})


class Contender:
    """Draws one deed after another, and counts those that were done."""

    def __init__(self, url: str, seed: int) -> None:
        self.store, self.chance, self.done = Store(url), random.Random(seed), Counter[str]()
        self.name = f"contender-{seed}"
        self.lease: Lease | None = None
        self.told = 0
        self.known: list[str] = []

    def deed(self) -> None:
        """One transaction. What another process did first is refused, and counts for nothing."""
        deeds = [
            self.submit,
            self.cancel,
            self.read,
            *([self.renew] * 4 + [self.succeed, self.release] if self.lease else [self.claim] * 3),
        ]
        self.done["transactions"] += 1
        try:
            self.chance.choice(deeds)()
        except (LostLeaseError, StateConflictError):
            self.lease = None
        except StoreUnavailableError as error:
            self.done["locked"] += 1
            print(error, file=sys.stderr, flush=True)

    def submit(self) -> None:
        self.known.append(jobs.submit(self.store, TENANT, SPEC).job.id)
        self.done["submitted"] += 1

    def cancel(self) -> None:
        if self.known:
            _, moved = jobs.cancel(self.store, TENANT, self.chance.choice(self.known))
            self.done["cancels"] += moved

    def read(self) -> None:
        found = listing.page(self.store, TENANT, 20)
        for job in found[:2]:
            jobs.events(self.store, job.id)

    def claim(self) -> None:
        if job := leases.claim(self.store, self.name, "cpu", 600):
            self.lease, self.told = Lease(job.id, job.fence), 0
            self.done["claimed"] += 1

    def renew(self) -> None:
        assert self.lease
        self.told += 1
        note, sample = Note("epoch", "epoch", {"epoch": self.told}), metrics.Sample(self.told, "epoch", self.told, {"train.loss": 0.5})
        leases.renew(self.store, self.lease, 600, Report(epoch=self.told), [note], [sample], self.told)
        self.done["renewals"] += 1

    def succeed(self) -> None:
        assert self.lease
        leases.succeed(self.store, self.lease, {})
        self.lease = None
        self.done["succeeded"] += 1

    def release(self) -> None:
        assert self.lease
        leases.release(self.store, self.lease, "shutdown")
        self.lease = None

    def die(self) -> None:
        """Leave half a submission behind: written, and not committed."""
        create = rows.create

        def half(*given: Any) -> None:
            create(*given)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("nobody outlives SIGKILL")

        rows.create = half
        self.submit()


if __name__ == "__main__":
    lifeline.tie_to_parent()
    url, transactions, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    contender = Contender(url, seed)
    for _ in range(transactions):
        contender.deed()
    print(json.dumps(contender.done), flush=True)
    if "--die" in sys.argv:
        contender.die()
    contender.store.close()

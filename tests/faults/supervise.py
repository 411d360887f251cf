"""A supervisor in a process of its own that stops itself, by SIGSTOP, at the moment which its job's metadata names.

`freeze` names the deed before which the job's first owner stops, as in `before succeed`; with `freeze_trainer` its trainer is
stopped first. Before it stops it says `JOB asleep` on stdout; once it was woken, each of its writes about that job is told,
`JOB DEED refused|accepted`, and at last `JOB over`. With `--without-fence` the state machine does not ask for the fence, to see that its loss is noticed.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract import lifecycle
from contract.artifacts import LocalFolder
from contract.errors import LostLeaseError
from contract.job import Job
from contract.settings import Settings
from contract.store import Store, checkpoints, jobs, leases, rows, workers
from contract.store.leases import Lease
from worker.attempt import Attempt
from worker.supervisor import Supervisor
from worker.training import lifeline

TRAINER = (sys.executable, str(Path(__file__).parents[1] / "worker" / "scripted_trainer.py"))
woken: set[str] = set()
supervisor: Supervisor
pulse = threading.Lock()
"""Held while another thread writes: who is stopped amidst a transaction holds the one write lock of SQLite, for everybody."""


def freeze(metadata: dict[str, Any], job_id: str) -> None:
    """Stop here until somebody sends SIGCONT."""
    woken.add(job_id)
    if metadata.get("freeze_trainer"):
        _signal_trainer(signal.SIGSTOP)
    with pulse:
        print(job_id, "asleep", flush=True)
        # To this very thread: a signal to the process may be taken by another one, while this one runs on into its transaction.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    if metadata.get("freeze_trainer"):
        _signal_trainer(signal.SIGCONT)


def _signal_trainer(number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has died: that is what the owner is about to tell
        os.kill(supervisor.trainer_pid, number)


def doomed(store: Store, lease: Lease, moment: str) -> dict[str, Any] | None:
    """The metadata of the job if its first owner is to stop now, for the first time."""
    if lease.fence != 1 or lease.job_id in woken:
        return None
    metadata = jobs.get(store, "default", lease.job_id).metadata
    return metadata if metadata.get("freeze") == moment else None


def watched(name: str, deed: Callable[..., Job]) -> Callable[..., Job]:
    """The deed, stopped before where the job says so, and told of once its owner was stopped."""

    def done(store: Store, lease: Lease, *rest: Any, **more: Any) -> Job:
        if metadata := doomed(store, lease, f"before {name}"):
            freeze(metadata, lease.job_id)
        if lease.job_id not in woken or lease.fence != 1:
            return deed(store, lease, *rest, **more)
        try:
            job = deed(store, lease, *rest, **more)
        except LostLeaseError:
            print(lease.job_id, name, "refused", flush=True)
            raise
        print(lease.job_id, name, "accepted", flush=True)
        return job

    return done


def claimed(claim: Callable[..., Job | None]) -> Callable[..., Job | None]:
    def done(*given: Any) -> Job | None:
        job = claim(*given)
        if job and job.fence == 1 and job.metadata.get("freeze") == "after claim":
            freeze(job.metadata, job.id)
        return job

    return done


def saved(save: Callable[..., Job]) -> Callable[..., Job]:
    """Stops between the statements of a transaction."""

    def done(connection: Any, before: Job, *rest: Any) -> Job:
        amidst = before.metadata.get("freeze") == "amidst a transaction"
        if amidst and before.is_held and before.fence == 1 and before.id not in woken:
            freeze(before.metadata, before.id)
        return save(connection, before, *rest)

    return done


def putting(put: Callable[..., Any]) -> Callable[..., Any]:
    """Stops with a checkpoint's bytes written by the trainer and not yet stored."""

    def done(folder: LocalFolder, key: str, *rest: Any) -> Any:
        job_id, fence = key.split("/")[:2]
        if metadata := doomed(supervisor.store, Lease(job_id, int(fence)), "before put"):
            freeze(metadata, job_id)
        return put(folder, key, *rest)

    return done


def ending(run: Callable[[Attempt], None]) -> Callable[[Attempt], None]:
    def done(attempt: Attempt) -> None:
        try:
            run(attempt)
        finally:
            lease = attempt._tenure.lease
            if lease.fence == 1 and lease.job_id in woken:
                print(lease.job_id, "over", flush=True)

    return done


def locked(seen: Callable[..., None]) -> Callable[..., None]:
    def done(*given: Any, **more: Any) -> None:
        with pulse:
            seen(*given, **more)

    return done


def watch() -> None:
    """Puts the stops into the functions that a worker calls."""
    for name in ("renew", "succeed", "fail", "crash", "release"):
        setattr(leases, name, watched(name, getattr(leases, name)))
    leases.claim = claimed(leases.claim)
    checkpoints.record = watched("record", checkpoints.record)
    rows.save = saved(rows.save)
    workers.seen = locked(workers.seen)
    Attempt.run = ending(Attempt.run)  # type: ignore[method-assign]
    LocalFolder.put = putting(LocalFolder.put)  # type: ignore[method-assign]


if __name__ == "__main__":
    lifeline.tie_to_parent()
    if "--without-fence" in sys.argv:
        lifecycle._must_own = lambda *_: None
    watch()
    supervisor = Supervisor(Settings(), trainer_command=TRAINER)
    supervisor.start()
    print(supervisor.id, flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    supervisor.close()

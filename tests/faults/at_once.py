"""Everything at once: every process of the stack is killed in one moment, and the next `ridgeline up` ends every job."""

import time
from random import Random

from tests.faults.client import Client
from tests.faults.databases import Kind
from tests.faults.kinds import KINDS
from tests.faults.report import Report
from tests.faults.rig import Rig, rigged
from tests.faults.storms import logged, settle, undisturbed
from tests.up import Up

_JOBS = 6
"""A round: more than there are workers, so that some wait."""


def at_once(scale: int, seed: int, database: Kind) -> Report:
    """So many times: jobs run, wait and are on their way to a stop, when nothing is left of the stack."""
    report, rng, began = Report(f"everything at once, {database}", seed=seed), Random(seed), time.monotonic()
    with rigged(database, workers=2, as_users_do=True) as rig, logged() as log:
        rig.start()
        weights = undisturbed(rig)
        with Client(lambda: rig.up.url, log) as client:
            for round_number in range(scale):
                kinds = [*KINDS, *rng.choices(list(KINDS), k=max(0, _JOBS - len(KINDS)))]
                made = [client.submit(kind, f"key-{round_number}-{number}") for number, kind in enumerate(kinds)]
                report.jobs += len(made)
                _wait_for_one(rig.up, made, rng)
                cancelled, paused = rng.sample(made, 2)
                client.ask(cancelled, "cancel")
                client.ask(paused, "pause")
                time.sleep(rng.uniform(0, 0.3))
                report.add("processes killed", rig.kill_everything())
                report.notes["massacres"] = round_number + 1
                rig.start()
                _resume(rig, client, paused)
                rig.until(lambda: rig.unfinished() == 0, "the end of every job after all was killed")
            settle(rig, report, client, weights, log)
    report.trials = scale
    report.seconds = time.monotonic() - began
    return report


def _resume(rig: Rig, client: Client, job_id: str) -> None:
    """Set a job going again that was paused, or about to be, when all was killed."""
    rig.until(lambda: client.job(job_id)["status"] != "pausing", "the rest of a job that was asked to pause")
    if client.job(job_id)["status"] == "paused":
        client.ask(job_id, "resume")


def _wait_for_one(up: Up, made: list[str], rng: Random) -> None:
    """Until a job, drawn from the first few, is under way, so that some have ended and some wait."""
    drawn = rng.choice(made[:3])
    up.until(drawn, lambda job: job["progress"]["epoch"] >= 1 or job["status"] not in {"queued", "running"})

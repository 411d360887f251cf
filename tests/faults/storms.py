"""The kill storm: every process of the stack dies at random while jobs are submitted, and every promise made meanwhile is kept."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from tests.faults import checker
from tests.faults.client import Client
from tests.faults.databases import Kind
from tests.faults.kinds import KINDS
from tests.faults.report import Report
from tests.faults.rig import Rig, Role, kill, rigged
from tests.up import Json

WEIGHTS: Final = {
    Role.API: 3,
    Role.MAIN: 2,
    Role.SUPERVISOR: 2,
    Role.TRAINER: 4,
    Role.VALKEY: 3,
    Role.POSTGRES: 1,
    Role.BACKEND: 2,
    Role.UP: 0.5,
}
"""How often each is chosen, relative to the others. `up` takes all the others but PostgreSQL with it."""
_MOST_AT_ONCE: Final = 5
_LONGEST_GAP_SECONDS: Final = 0.4


def kills(scale: int, seed: int, database: Kind) -> Report:
    """So many SIGKILLs, in bursts, with one job for each two of them."""
    report, rng, began = Report(f"kills, {database}", seed=seed, jobs=max(4, scale // 2)), Random(seed), time.monotonic()
    with rigged(database, workers=2) as rig, logged() as log:
        rig.start()
        weights = undisturbed(rig)
        with Client(lambda: rig.up.url, log) as client:
            client.submit_meanwhile(report.jobs, rng, rig.unfinished)
            while report.faults < scale:
                _burst(rig, rng, report, scale)
            client.join(600)
            settle(rig, report, client, weights, log)
    report.seconds = time.monotonic() - began
    return report


def undisturbed(rig: Rig, kinds: Mapping[str, Json] = KINDS) -> dict[str, str]:
    """The SHA-256 of the weights that each kind of job ends with when nothing happens to it."""
    made = {kind: rig.up.submit({"name": kind, **spec})["id"] for kind, spec in kinds.items()}
    for job_id in made.values():
        assert rig.up.ended(job_id)["status"] == "succeeded"
    found = checker.gathered(rig.store)
    weights = {kind: checker.last_weights(found[job_id]) for kind, job_id in made.items()}
    return {kind: sha256 for kind, sha256 in weights.items() if sha256}


def settle(rig: Rig, report: Report, client: Client, weights: dict[str, str], log: Path) -> None:
    """After the last fault: wait until every job has ended, stop the stack, and have everything checked."""
    rig.until(lambda: rig.unfinished() == 0, "the end of every job")
    report.violations += [*client.violations, *rig.down(), *checker.violations(rig.store, rig.artifacts, log, weights)]
    if loops := checker.crash_loops(checker.gathered(rig.store)):
        report.notes["failed as promised (crash_loop)"] = loops


@contextmanager
def logged() -> Iterator[Path]:
    """A file for a client's log, outside what the storm harms."""
    with tempfile.TemporaryDirectory(prefix="rl-log-") as folder:
        yield Path(folder) / "client.log"


def _burst(rig: Rig, rng: Random, report: Report, scale: int) -> None:
    """Kill a few processes shortly after one another, then wait until jobs make progress again."""
    for _ in range(min(rng.randint(1, _MOST_AT_ONCE), scale - report.faults)):
        time.sleep(rng.uniform(0, _LONGEST_GAP_SECONDS))
        if role := _kill_one(rig, rng):
            report.add(role.value)
        if role is Role.UP:
            break
    recover(rig)
    before = rig.progress()
    rig.until(lambda: rig.progress() > before or rig.unfinished() == 0, "progress after a burst of kills")


def recover(rig: Rig) -> None:
    """Start again what nobody else starts: PostgreSQL, and the stack itself."""
    if not rig.database.is_sqlite and rig.database.server() is None:
        rig.database.restart()
    if Role.UP not in rig.processes().values():
        rig.up.process.wait()
        rig.until(lambda: not rig.left(), "the end of every process of a stack that was killed")
        rig.start()


def _kill_one(rig: Rig, rng: Random) -> Role | None:
    there = rig.processes()
    roles = sorted(set(there.values()) & WEIGHTS.keys())
    if not roles:
        return None
    (role,) = rng.choices(roles, [WEIGHTS[role] for role in roles])
    victim = rng.choice(sorted(pid for pid, found in there.items() if found is role))
    return role if kill(victim) else None

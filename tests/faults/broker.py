"""The broker storm: whatever becomes of the broker, submissions are accepted, jobs start, and workers end in good order."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import httpx

from contract.settings import Settings
from tests.faults import checker
from tests.faults.client import Client
from tests.faults.databases import Kind
from tests.faults.gate import Broker, Gate, Thief
from tests.faults.report import Report
from tests.faults.rig import Rig, rigged
from tests.faults.storms import logged
from tests.up import LONG

START_SECONDS: Final = 20.0
"""How soon a job starts on a free worker with no broker at all: the figure that is promised."""
_RINGS: Final = 20
"""Both wait at the same queue, and who has waited longer is served."""
SUBMIT_SECONDS: Final = 10.0
"""A submission that waits for the broker would take its socket's timeout, 15 s and more."""


def broker(scale: int, seed: int, database: Kind = "sqlite") -> Report:
    """So many events, beginning and ending with a worker that is started and drained without a broker."""
    report, rng, began = Report(f"broker, {database}", seed=seed), Random(seed), time.monotonic()
    with logged() as log, Broker(log.parent) as server, rigged(database, **_settings(server)) as rig:
        report.add("absent from the start")
        rig.start()
        storm = _Storm(rig, server, report, log)
        storm.expect_degraded("refused")
        storm.expect_start()
        while report.faults < scale - 2:
            storm.happen(rng.choice(list(_EVENTS)))
        for gate in (Gate.SHUT, Gate.HOLE):
            storm.drain(gate)
        server.set(Gate.OPEN)
        rig.until(lambda: rig.unfinished() == 0, "the end of every job")
        report.jobs = len(checker.gathered(rig.store))
        report.violations += [*storm.client.violations, *rig.down(), *checker.violations(rig.store, rig.artifacts, log)]
    report.seconds = time.monotonic() - began
    return report


def _settings(server: Broker) -> dict[str, str]:
    """Workers poll as seldom as they do by default, so that with a broker it is the ring that they hear."""
    return {"RIDGELINE_REDIS_URL": server.url, "RIDGELINE_POLL_SECONDS": str(Settings.model_fields["poll_seconds"].default)}


class _Storm:
    """What happens to the broker, and what must hold meanwhile."""

    def __init__(self, rig: Rig, server: Broker, report: Report, log: Path) -> None:
        self.rig, self.server, self.report = rig, server, report
        self.client = Client(lambda: rig.up.url, log)
        self._submitted = 0

    def happen(self, what: str) -> None:
        """One event, from a broker that is well to one that is well."""
        self.server.set(Gate.OPEN)
        self.report.add(what)
        _EVENTS[what](self)
        self.server.set(Gate.OPEN)

    def shut(self, gate: Gate) -> None:
        self.server.set(gate)
        self.expect_degraded(gate.value)
        self.expect_start()

    def flush(self) -> None:
        self.server.redis().flushall()
        self.expect_start(meanwhile=self.server.redis().flushall)

    def kill(self) -> None:
        self.server.kill()
        self.expect_start()
        self.server.start()

    def steal(self) -> None:
        with Thief(self.server.redis()) as thief:
            for _ in range(_RINGS):
                time.sleep(1.5)  # by then the thief has waited for longer than the worker
                self.expect_start()
                if thief.taken:
                    return
        raise AssertionError(f"of {_RINGS} rings, the worker took each before the thief could")

    def expect_degraded(self, how: str) -> None:
        """/readyz keeps the service in rotation, and names the broker as what is wrong."""
        reply = httpx.get(f"{self.rig.up.url}/readyz", timeout=30, trust_env=False)
        checks = {check["name"]: check for check in reply.json()["checks"]}
        well = reply.status_code == 200 and reply.json()["status"] == "degraded" and not checks["broker"]["ok"]
        if not well or "broker does not answer" not in checks["broker"]["detail"]:
            self.report.violations.append(f"readiness: with a broker that is {how}, /readyz says {reply.status_code} {reply.text}")

    def expect_start(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """A job is accepted at once and starts on a free worker."""
        self.rig.until(lambda: self.rig.unfinished() == 0 and "idle" in self.rig.worker_states(), "a free worker")
        self._submitted += 1
        began = time.monotonic()
        job_id = self.client.submit("momentum", f"key-{self._submitted}")
        if (took := time.monotonic() - began) > SUBMIT_SECONDS:
            self.report.violations.append(f"submission: {job_id} was accepted after {took:.1f} s")
        meanwhile()
        job = self.rig.up.ended(job_id)
        if (waited := checker.gathered(self.rig.store)[job_id].waited) > START_SECONDS:
            self.report.violations.append(f"start: {job_id} ({job['status']}) waited {waited:.1f} s for a worker that was free")

    def drain(self, gate: Gate) -> None:
        """Stop the stack without a broker while a job runs: the job is released with a checkpoint, and goes on after the next start."""
        self.report.add(f"drained, {gate.value}")
        self.server.set(Gate.OPEN)
        # A job that came by a ring runs in Celery's task, for whose end a shutdown waits; one found by polling does not.
        self.rig.until(self.server.is_listened_to, "a worker that waits for a ring")
        job_id = self.rig.up.submit({**LONG, "name": gate.value})["id"]
        self.rig.up.until(job_id, lambda job: job["progress"]["epoch"] >= 1)
        self.server.set(gate)
        time.sleep(1.0)  # until the worker has noticed and is in the loop in which it looks for the broker
        self.report.violations += self.rig.down()
        row = checker.gathered(self.rig.store)[job_id].row
        if (row["state"], row["release_count"], row["crash_count"]) != ("queued", 1, 0):
            self.report.violations.append(
                f"drain: {job_id} was left {row['state']} by a worker with a broker {gate.value}: {row['status_reason']}"
            )
        self.rig.start()
        self.rig.up.until(job_id, lambda job: job["status"] == "running" and job["attempt"] == 2)
        self.client.ask(job_id, "cancel")
        self.rig.up.ended(job_id)


_EVENTS: Final[dict[str, Callable[[_Storm], None]]] = {
    "FLUSHALL": _Storm.flush,
    "SIGKILL": _Storm.kill,
    "refused": lambda storm: storm.shut(Gate.SHUT),
    "black hole": lambda storm: storm.shut(Gate.HOLE),
    "messages stolen": _Storm.steal,
}

"""Whether the promise was kept: what SQL, the artifact store and the client's own log say, held against each other.

Each violation is a sentence that begins with the name of its rule, as `lost: job_… is running`. The rules:

`lost` an acknowledged job is not there, or has not ended · `failed` a healthy job failed · `disobeyed` an acknowledged cancel did
not end the job · `doubled` one key made two jobs · `result` results and `succeeded` do not go together · `fence` a fence fell, or a
row bears one that was never given · `checkpoint` the numbers of checkpoints have a gap · and those of `history`, `stored` and
`integrity`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path

from sqlalchemy import Table, select

from contract.job import TERMINAL, JobState
from contract.store import Store
from contract.store.tables import checkpoints, job_events, jobs, results
from tests.faults import client, history, integrity, stored
from tests.up import Json


@dataclass(frozen=True)
class Evidence:
    """Everything there is about one job. Rows are in the order of their seq."""

    row: Json
    events: list[Json] = field(default_factory=list)
    checkpoints: list[Json] = field(default_factory=list)
    results: list[Json] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def state(self) -> JobState:
        return JobState(self.row["state"])

    @property
    def waited(self) -> float:
        """Seconds from submission to the first attempt; infinite without one."""
        return inf if self.row["started_at"] is None else float(self.row["started_at"] - self.row["created_at"])


def violations(
    store: Store, artifacts: Path, log: Path, weights: Mapping[str, str] | None = None, failures: Mapping[str, str] | None = None
) -> list[str]:
    """Every breach of the promise, after the stack was stopped; empty where it was kept.

    `weights` has the SHA-256 of model.safetensors that an uninterrupted run of each kind ends with. `failures` names, by job,
    the failure code of those that are meant to fail; every other one must not.
    """
    found = gathered(store)
    lines = list(client.promises(log))
    return [
        *_promised(found, lines),
        *(fault for evidence in found.values() for fault in _about(evidence, artifacts, failures or {})),
        *_weights(found, client.kinds_of(lines), weights or {}),
        *integrity.faults(store),
    ]


def gathered(store: Store) -> dict[str, Evidence]:
    """What the database holds, by job."""
    with store.read() as connection:

        def by_job(table: Table, *order: str) -> dict[str, list[Json]]:
            rows: dict[str, list[Json]] = defaultdict(list)
            for row in connection.execute(select(table).order_by(*(table.c[name] for name in order))).mappings():
                rows[row["job_id"]].append(dict(row))
            return rows

        events, kept, won = by_job(job_events, "seq"), by_job(checkpoints, "seq"), by_job(results, "created_at")
        rows = connection.execute(select(jobs).order_by(jobs.c.id)).mappings().all()
    return {row["id"]: Evidence(dict(row), events[row["id"]], kept[row["id"]], won[row["id"]]) for row in rows}


def crash_loops(found: Mapping[str, Evidence]) -> int:
    """Jobs that failed because three crashes in a row left no checkpoint, which is what was promised for such a case."""
    return sum((evidence.row["error"] or {}).get("code") == "crash_loop" for evidence in found.values())


def _promised(found: Mapping[str, Evidence], lines: Sequence[Json]) -> Iterator[str]:
    """What the client was told, against what is there."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        evidence = found.get(line["job"])
        if evidence is None:
            yield f"lost: {line['job']} was acknowledged and is not in the database"
        elif evidence.state not in TERMINAL:
            yield f"lost: {evidence.id} was acknowledged and is {evidence.state.value}: {evidence.row['status_reason']}"
        elif line["deed"] == "cancel" and evidence.state is not JobState.CANCELLED:
            yield f"disobeyed: {evidence.id} has {evidence.state.value} after an acknowledged cancel"
        if line["deed"] == "submit":
            by_key[line["key"]].add(line["job"])
    yield from (f"doubled: the key {key} made {', '.join(sorted(made))}" for key, made in by_key.items() if len(made) > 1)


def _about(evidence: Evidence, artifacts: Path, failures: Mapping[str, str]) -> Iterator[str]:
    yield from _failure(evidence, failures.get(evidence.id))
    yield from _result(evidence)
    yield from _fences(evidence)
    yield from history.faults(evidence.id, evidence.row, evidence.events)
    yield from stored.faults(evidence.id, evidence.checkpoints, artifacts)


def _failure(evidence: Evidence, expected: str | None) -> Iterator[str]:
    code = (evidence.row["error"] or {}).get("code")
    if code == expected or (expected is None and code == "crash_loop" and history.is_crash_loop(evidence.events)):
        return
    yield f"failed: {evidence.id} ended with {code or 'no failure'} and should with {expected or 'none'}: {evidence.row['error']}"


def _result(evidence: Evidence) -> Iterator[str]:
    if len(evidence.results) > 1:
        yield f"result: {evidence.id} has {len(evidence.results)} results"
    if (evidence.state is JobState.SUCCEEDED) is not bool(evidence.results):
        yield f"result: {evidence.id} has {evidence.state.value} with {len(evidence.results)} results"
    for result in evidence.results:
        # Nothing raises the fence of a job that has ended, so the fence it was won under is the job's last one.
        if result["fence"] != evidence.row["fence"]:
            yield f"fence: the result of {evidence.id} bears fence {result['fence']}; the job ended under {evidence.row['fence']}"


def _fences(evidence: Evidence) -> Iterator[str]:
    kept, row = evidence.checkpoints, evidence.row
    seqs = [checkpoint["seq"] for checkpoint in kept]
    if seqs != list(range(1, len(seqs) + 1)) or row["checkpoint_seq"] != len(seqs):
        yield f"checkpoint: {evidence.id} counts {row['checkpoint_seq']} checkpoints and has the numbers {seqs}"
    for before, after in pairwise(kept):
        if after["fence"] < before["fence"]:
            yield f"fence: {evidence.id} has checkpoint {after['seq']} under fence {after['fence']}, after one under {before['fence']}"
    given = max((checkpoint["fence"] for checkpoint in kept), default=0)
    # Each claim raises the fence by one, and so does each crash and each expiry.
    if row["fence"] < given or row["fence"] != row["attempt"] + row["crash_count"]:
        yield (
            f"fence: {evidence.id} stands at fence {row['fence']} after {row['attempt']} claims, {row['crash_count']} crashes "
            f"and a checkpoint under fence {given}"
        )


def _weights(found: Mapping[str, Evidence], kinds: Mapping[str, str], weights: Mapping[str, str]) -> Iterator[str]:
    for job_id, kind in kinds.items():
        evidence = found.get(job_id)
        if evidence is None or evidence.state is not JobState.SUCCEEDED or kind not in weights:
            continue
        if (sha256 := last_weights(evidence)) != weights[kind]:
            yield f"weights: {job_id} ({kind}) ended with {sha256} after {evidence.row['attempt']} attempts, not {weights[kind]}"


def last_weights(evidence: Evidence) -> str | None:
    """SHA-256 of the model in the checkpoint that the job rests on."""
    for checkpoint in evidence.checkpoints:
        if checkpoint["id"] == evidence.row["checkpoint_id"]:
            return next((file["sha256"] for file in checkpoint["files"] if file["name"] == "model.safetensors"), None)
    return None

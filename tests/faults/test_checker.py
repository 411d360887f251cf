"""What the checker promises: nothing to say of a healthy database, and the name of each thing that is wrong with a broken one."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from contract import events
from contract.job import Job
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, schema
from contract.store.checkpoints import Draft
from contract.store.leases import Lease
from contract.store.rows import Note
from tests.faults import checker, integrity

pytestmark = pytest.mark.faults

WEIGHTS = b"weights"
KINDS = {"small": sha256(WEIGHTS).hexdigest()}


class Kept:
    """A small database with a job that succeeded after a crash and one that was cancelled, their bytes, and the client's log."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.artifacts, self.log = store, folder / "artifacts", folder / "client.log"
        self.won = self._trained()
        self.cancelled = self._submitted("key-2")
        jobs.cancel(store, "default", self.cancelled)
        self._note(deed="cancel", job=self.cancelled)

    def violations(self) -> list[str]:
        return checker.violations(self.store, self.artifacts, self.log, KINDS)

    @contextmanager
    def unguarded(self) -> Iterator[Connection]:
        """A transaction without the guards that would refuse what is planted, as a fault in them would leave it."""
        with self.store.engine.connect() as connection:
            if self.store.is_sqlite:
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
                connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
                connection.exec_driver_sql("BEGIN")
                for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            else:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield connection
            connection.commit()
        self.store.engine.dispose()

    def run(self, statement: str) -> None:
        with self.unguarded() as connection:
            assert connection.execute(text(statement), {"won": self.won, "cancelled": self.cancelled}).rowcount

    def file(self, name: str) -> Path:
        return self.artifacts / self.won / "3" / "second" / name

    def _trained(self) -> str:
        job_id = self._submitted("key-1")
        first = self._claimed()
        self._checkpoint(first, "first", 1)
        leases.crash(self.store, first, "the trainer was killed by signal 9")
        second = self._claimed()
        self._checkpoint(second, "second", 2)
        leases.succeed(self.store, second, {"stop_reason": "epochs"})
        return job_id

    def _submitted(self, key: str) -> str:
        spec = JobSpec.model_validate({"epochs": 2, "checkpoints": {"keep_last": 2}})
        job_id = jobs.submit(self.store, "default", spec, key).job.id
        self._note(deed="submit", job=job_id, key=key, kind="small")
        return job_id

    def _claimed(self) -> Lease:
        job = leases.claim(self.store, "worker", "cpu", 60)
        assert isinstance(job, Job)
        return Lease(job.id, job.fence)

    def _checkpoint(self, lease: Lease, name: str, epoch: int) -> None:
        leases.renew(self.store, lease, 60, notes=[Note("epoch", "an epoch", {"epoch": epoch})])
        prefix = f"{lease.job_id}/{lease.fence}/{name}"
        files = [self._stored(prefix, "model.safetensors", WEIGHTS)]
        manifest = json.dumps({"format": 1, "files": [file.model_dump() for file in files]}).encode()
        files.append(self._stored(prefix, "manifest.json", manifest))
        checkpoints.record(self.store, lease, Draft(epoch, epoch * 8, {"val.loss": 1.0 / epoch}, False, prefix, files))

    def _stored(self, prefix: str, name: str, content: bytes) -> events.File:
        place = self.artifacts / prefix / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return events.File(name=name, size_bytes=len(content), sha256=sha256(content).hexdigest())

    def _note(self, **line: str) -> None:
        with self.log.open("a") as log:
            log.write(json.dumps(line) + "\n")


@pytest.fixture
def kept(sqlite_store: Store, tmp_path: Path) -> Kept:
    return Kept(sqlite_store, tmp_path)


def test_a_healthy_database_has_no_violations(store: Store, tmp_path: Path) -> None:
    assert Kept(store, tmp_path).violations() == []


_WON = "WHERE job_id = :won"
_FAIL = """UPDATE jobs SET state = 'failed', error = '{"code": "%s"}' WHERE id = :won"""
_TELL = "UPDATE job_events SET data = '%s' WHERE job_id = :won AND type = 'status' AND seq = %s"

PLANTS = {
    "an acknowledged job that is gone": ("lost", "DELETE FROM jobs WHERE id = :won"),
    "an acknowledged job that never ended": ("lost", "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = :won"),
    "a healthy job that failed": ("failed", _FAIL % "internal"),
    "a crash loop without the crashes": ("failed", _FAIL % "crash_loop"),
    "a cancel that was not obeyed": ("disobeyed", "UPDATE jobs SET state = 'succeeded' WHERE id = :cancelled"),
    "a success without a result": ("result", f"DELETE FROM results {_WON}"),
    "a result of a job that did not succeed": ("result", "UPDATE results SET job_id = :cancelled WHERE job_id = :won"),
    "a result won by a stale fence": ("fence", f"UPDATE results SET fence = 1 {_WON}"),
    "a checkpoint by a stale fence after a newer one": ("fence", f"UPDATE checkpoints SET fence = 4 - fence {_WON}"),
    "a checkpoint under a fence never given": ("fence", f"UPDATE checkpoints SET fence = 9 {_WON} AND seq = 2"),
    "a fence that fell": ("fence", "UPDATE jobs SET fence = fence - 1 WHERE id = :won"),
    "a fence that rose without a claim": ("fence", "UPDATE jobs SET fence = fence + 1 WHERE id = :won"),
    "a checkpoint that is gone": ("checkpoint", f"DELETE FROM checkpoints {_WON} AND seq = 1"),
    "a checkpoint that the job does not count": ("checkpoint", "UPDATE jobs SET checkpoint_seq = 1 WHERE id = :won"),
    "an event that is gone": ("event", f"DELETE FROM job_events {_WON} AND seq = 3"),
    "an event that the job does not count": ("event", "UPDATE jobs SET event_seq = event_seq - 1 WHERE id = :won"),
    "a move that is not allowed": ("move", _TELL % ('{"from": "queued", "to": "paused", "reason": ""}', 2)),
    "a move that begins elsewhere": ("move", _TELL % ('{"from": "paused", "to": "queued", "reason": ""}', 6)),
    "moves that end elsewhere": ("replay", f"DELETE FROM job_events {_WON} AND seq = 9"),
    "an attempt that no event tells of": ("replay", "UPDATE jobs SET attempt = attempt + 1 WHERE id = :won"),
    "an epoch told twice in one attempt": ("epoch", "UPDATE job_events SET type = 'epoch', data = '{\"epoch\": 2}' WHERE job_id = :won AND seq = 8"),
    "other weights than those of an undisturbed run": (
        "weights", """UPDATE checkpoints SET files = '[{"name": "model.safetensors", "size_bytes": 7, "sha256": "0"}]' WHERE seq = 2"""
    ),
    "a job that rests on no checkpoint": ("weights", "UPDATE jobs SET checkpoint_id = NULL WHERE id = :won"),
    "a row whose job is not there": ("database", f"UPDATE results SET job_id = 'job_none' {_WON}"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTS)
def test_a_planted_violation_is_named(kept: Kept, what: str) -> None:
    rule, statement = PLANTS[what]
    kept.run(statement)
    assert _rules(kept) & {rule}, kept.violations()


def _rules(kept: Kept) -> set[str]:
    return {violation.partition(":")[0] for violation in kept.violations()}


def _two_results(kept: Kept) -> None:
    with kept.unguarded() as connection:
        connection.execute(text("ALTER TABLE results RENAME TO old"))
        connection.execute(text("CREATE TABLE results AS SELECT * FROM old UNION ALL SELECT * FROM old"))


def _forget_the_key(kept: Kept) -> None:
    with kept.log.open("a") as log:
        log.write(json.dumps({"deed": "submit", "job": kept.cancelled, "key": "key-1", "kind": "small"}) + "\n")


def _rot_a_manifest(kept: Kept) -> None:
    body = json.loads(kept.file("manifest.json").read_bytes())
    body["files"][0]["sha256"] = "0" * 64
    kept.file("manifest.json").write_bytes(json.dumps(body).encode())


HARM: dict[str, tuple[str, Callable[[Kept], object]]] = {
    "two results of one job": ("result", _two_results),
    "one key that made two jobs": ("doubled", _forget_the_key),
    "a file that is gone": ("bytes", lambda kept: kept.file("model.safetensors").unlink()),
    "a file that was cut": ("bytes", lambda kept: kept.file("model.safetensors").write_bytes(WEIGHTS[:-1])),
    "a bit that turned over": ("bytes", lambda kept: kept.file("model.safetensors").write_bytes(b"weighty")),
    "a manifest that is gone": ("manifest", lambda kept: kept.file("manifest.json").unlink()),
    "a manifest that vouches for other bytes": ("manifest", _rot_a_manifest),
}


@pytest.mark.parametrize("what", HARM)
def test_harm_done_outside_the_rows_is_named(kept: Kept, what: str) -> None:
    rule, harm = HARM[what]
    harm(kept)
    assert rule in _rules(kept), kept.violations()


def test_a_page_that_was_overwritten_is_named(kept: Kept) -> None:
    with kept.store.read() as connection:
        index = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_job_events_1'"
        page, size = connection.execute(text(index)).scalar_one(), connection.execute(text("PRAGMA page_size")).scalar_one()
    kept.store.engine.dispose()  # with the last connection goes the write-ahead log, and every page lies in the file
    with Path(kept.store.engine.url.database or "").open("r+b") as file:
        file.seek((page - 1) * size + size - 40)
        file.write(b"\0" * 8)
    assert "database" in _rules(kept)


_BLIND_INDEX = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'pk_results'::regclass"
HARM_TO_POSTGRESQL = {
    "a row whose job is not there": (["UPDATE results SET job_id = 'job_none'"], "1 rows of results break the constraint fk_results_job_id"),
    "a row that breaks a check": (
        [
            "ALTER TABLE jobs DROP CONSTRAINT ck_jobs_failed_has_error",
            "UPDATE jobs SET error = '{}' WHERE state = 'succeeded'",
            "ALTER TABLE jobs ADD CONSTRAINT ck_jobs_failed_has_error CHECK ((state = 'failed') = (error IS NOT NULL)) NOT VALID",
        ],
        "1 rows of jobs break the constraint ck_jobs_failed_has_error",
    ),
    "an index that misses a row": (
        [_BLIND_INDEX.format("false"), "INSERT INTO results SELECT id, 0, 0, '{}' FROM jobs WHERE state = 'cancelled'", _BLIND_INDEX.format("true")],
        "results has (2, ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HARM_TO_POSTGRESQL)
def test_harm_done_to_postgresql_is_named(postgresql_url: str, tmp_path: Path, what: str) -> None:
    statements, sentence = HARM_TO_POSTGRESQL[what]
    store = Store(postgresql_url)
    schema.migrate(store)
    kept = Kept(store, tmp_path)
    for statement in statements:
        with kept.unguarded() as connection:
            connection.execute(text(statement))
    assert [fault for fault in integrity.faults(store) if fault.startswith(f"database: {sentence}")]
    store.close()


def test_a_crash_loop_with_its_crashes_is_no_violation(kept: Kept) -> None:
    job_id = jobs.submit(kept.store, "default", JobSpec.model_validate({"epochs": 2})).job.id
    for _ in range(3):
        with kept.store.write() as connection:
            connection.execute(text("UPDATE jobs SET available_at = 0 WHERE id = :id"), {"id": job_id})
        leases.crash(kept.store, kept._claimed(), "the trainer was killed by signal 9")
    assert kept.violations() == []
    assert checker.crash_loops(checker.gathered(kept.store)) == 1

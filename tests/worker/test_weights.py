"""A worker hands a trainer the weights that a job starts from, and says so where it cannot."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from contract.artifacts import LocalFolder
from contract.job import Job, JobState
from contract.settings import Settings
from contract.store import Store, checkpoints, jobs
from tests.worker.test_supervisor import TENANT, TRAINER, settings, submit
from worker import orders, storage
from worker.process import Trainer
from worker.supervisor import Supervisor

__all__ = ["settings"]


@pytest.fixture
def supervisor(settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    # The scripted trainer leaves no other file.
    monkeypatch.setattr(storage, "WEIGHTS", "state.json")
    made = Supervisor(settings, trainer_command=TRAINER)
    yield made
    made.close()


def done(store: Store, supervisor: Supervisor, script: str, **fields: object) -> Job:
    job = submit(store, script, **fields)
    supervisor.answer(job.id)
    return jobs.get(store, TENANT, job.id)


def test_a_trainer_is_handed_the_weights_that_the_job_names(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[bytes | None] = []
    tell = Trainer.tell

    def noted(self: Trainer, order: orders.Order) -> None:
        if isinstance(order, orders.Train):
            handed.append(Path(order.weights).read_bytes() if order.weights else None)
        tell(self, order)

    monkeypatch.setattr(Trainer, "tell", noted)
    parent = done(sqlite_store, supervisor, "epoch checkpoint")
    child = done(sqlite_store, supervisor, "epoch checkpoint", init_from=parent.checkpoint_id)
    assert handed == [None, b'{"word": 2, "epoch": 1}']
    result = jobs.result(sqlite_store, child.id)
    assert result is not None
    assert result["init_from"] == parent.checkpoint_id


@pytest.mark.parametrize("loss", ["the row", "the bytes", "other bytes"])
def test_weights_that_are_lost_end_the_job_or_put_it_to_rest_with_the_reason(
    supervisor: Supervisor, sqlite_store: Store, settings: Settings, loss: str
) -> None:
    parent = done(sqlite_store, supervisor, "epoch checkpoint")
    kept = checkpoints.get(sqlite_store, parent, "last")
    child = submit(sqlite_store, "epoch", init_from=kept.id)
    match loss:
        case "the row":
            with sqlite_store.write() as connection:
                connection.execute(text("UPDATE checkpoints SET deleted_at = 1.0"))
        case "the bytes":
            LocalFolder(settings.artifacts_folder).delete(kept.prefix)
        case _:
            (settings.artifacts_folder / kept.prefix / "state.json").write_bytes(b"rotten")
    supervisor.answer(child.id)
    found = jobs.get(sqlite_store, TENANT, child.id)
    if loss == "the bytes":
        # Perhaps the store is only not mounted.
        assert (found.state, found.releases_since_progress) == (JobState.QUEUED, 1)
        assert "not in the artifact store" in (found.status_reason or "")
    else:
        assert (found.state, (found.error or {}).get("code")) == (JobState.FAILED, "artifact_corrupt")

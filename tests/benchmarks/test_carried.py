"""What a broker carries is counted as it is: each message heard, each byte of those that are not."""

from benchmarks.scale import broker
from contract import lifecycle
from contract.job import Job
from contract.spec import JobSpec
from contract.store import Store, jobs


def test_the_messages_of_a_job_that_waits_are_those_that_the_reconciler_would_send(sqlite_store: Store) -> None:
    job: Job = jobs.submit(sqlite_store, "default", JobSpec.model_validate({})).job
    began, sent = job.created_at, 1
    for waited in sorted(broker.WAITS.values()):
        while lifecycle.is_due_to_ring(job, began + waited + 0.5):
            job, sent = lifecycle.rung(job, job.next_ring_at), sent + 1
        assert broker.rings(waited + 0.5) == sent


def test_a_broker_gives_figures_of_every_ring_and_its_memory_grows_by_what_waits() -> None:
    found = broker.measured(rings=40, unheard=2_000)
    assert found.rung_per_second > 0
    assert found.heard_per_second > 0
    assert 0.9 * found.message_bytes < found.unheard_bytes < 2 * found.message_bytes
    assert found.log_bytes > found.message_bytes
    assert dict(broker.rows(found))["memory of 1,000,000 of them, MB"] == f"{found.unheard_bytes:,.0f}"

"""What an operator can watch: the queue, the workers, the requests, and the counts that are 0 while every promise is kept."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from contract.job import JobState
from contract.settings import Settings
from contract.store import tables, webhooks
from contract.webhooks import EventType
from service.app import create_app

pytestmark = pytest.mark.anyio

PROMISES = ("running_lease_expired", "queued_unclaimed", "succeeded_without_result", "checkpoint_missing")


async def scraped(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, which the format puts in alphabetical order."""
    reply = await client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(reply.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def test_the_queue_the_jobs_and_the_workers_are_told(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    await client.post("/v1/jobs", json={"device": "cuda"})
    hands.appear("busy")
    hands.claim(job_id)
    found = await scraped(client)
    assert {state: found["ridgeline_jobs", state] for state in JobState if found["ridgeline_jobs", state]} == {"queued": 1, "running": 1}
    assert found["ridgeline_queue_jobs", "cuda"] == 1
    assert found["ridgeline_queue_oldest_seconds", "cuda"] >= 0
    assert found["ridgeline_workers", "true", "busy"] == 1
    assert found["ridgeline_up", "store"] == 1
    assert [found[f"ridgeline_{name}",] for name in PROMISES] == [0, 0, 0, 0]


async def test_a_lease_that_nobody_took_back_is_counted(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.lapse(hands.claim(job_id))
    assert (await scraped(client))["ridgeline_running_lease_expired",] == 1


async def test_a_job_that_an_idle_worker_leaves_waiting_is_counted(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    with hands.store.write() as connection:
        connection.execute(update(tables.jobs).values(available_at=1.0))
    assert (await scraped(client))["ridgeline_queued_unclaimed",] == 0
    hands.appear("idle")
    assert (await scraped(client))["ridgeline_queued_unclaimed",] == 1
    with hands.store.write() as connection:
        connection.execute(update(tables.jobs).values(device="cuda"))
    assert (await scraped(client))["ridgeline_queued_unclaimed",] == 0


async def test_a_success_without_a_result_is_counted(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.succeed(hands.claim(job_id))
    assert (await scraped(client))["ridgeline_succeeded_without_result",] == 0
    with hands.store.write() as connection:
        connection.execute(tables.results.delete())
    assert (await scraped(client))["ridgeline_succeeded_without_result",] == 1


async def test_a_last_checkpoint_that_is_not_kept_is_counted(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.checkpoint(hands.claim(job_id), 1, 0.5)
    assert (await scraped(client))["ridgeline_checkpoint_missing",] == 0
    with hands.store.write() as connection:
        connection.execute(update(tables.checkpoints).values(deleted_at=1.0))
    assert (await scraped(client))["ridgeline_checkpoint_missing",] == 1


async def test_bytes_that_are_still_to_be_removed_are_counted(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    lease = hands.claim(job_id)
    for epoch in range(1, 4):
        hands.checkpoint(lease, epoch, 1 / epoch)
    assert (await scraped(client))["ridgeline_checkpoints_unpurged",] == 1
    with hands.store.write() as connection:
        connection.execute(update(tables.checkpoints).where(tables.checkpoints.c.deleted_at.is_not(None)).values(purged_at=1.0))
    assert (await scraped(client))["ridgeline_checkpoints_unpurged",] == 0


async def test_messages_that_wait_to_be_sent_and_those_given_up_are_counted(client: httpx.AsyncClient, hands: Any) -> None:
    names = ("deliveries_due", "oldest_due_seconds", "deliveries_dead")

    async def told() -> list[float]:
        found = await scraped(client)
        return [found[f"ridgeline_webhook_{name}",] for name in names]

    def settle(table: Any, **values: Any) -> None:
        with hands.store.write() as connection:
            connection.execute(update(table).values(values))

    hook = {"url": "https://example.com", "events": [*EventType], "enabled": True, "description": ""}
    webhooks.add(hands.store, "default", "wh_1", "s", **hook)
    assert await told() == [0, 0, 0]
    for _ in range(2):
        await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})
    settle(tables.deliveries, next_attempt_at=tables.deliveries.c.created_at - 100)
    due, oldest, dead = await told()
    assert (due, dead) == (2, 0)
    assert 100 <= oldest < 1000
    settle(tables.webhooks, enabled=0)
    assert await told() == [0, 0, 0]
    settle(tables.webhooks, enabled=1)
    settle(tables.deliveries, state="dead")
    assert await told() == [0, 0, 2]
    settle(tables.deliveries, created_at=1.0)
    assert await told() == [0, 0, 0]


async def test_a_scrape_answers_while_the_database_is_away(settings: Settings, serve: Any) -> None:
    async with serve(create_app(settings)) as client:
        found = await scraped(client)
    assert found["ridgeline_up", "store"] == 0
    assert not any(name.startswith("ridgeline_jobs") for name, *_ in found)


async def test_requests_are_counted_by_operation_and_never_by_what_a_client_chose(client: httpx.AsyncClient, job_id: str) -> None:
    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{'job_' + '0' * 26}", "/nowhere/else"):
        await client.get(path)
    await client.request("BREW", "/nowhere/else")
    found = await scraped(client)
    assert found["ridgeline_http_requests_total", "GET", "get_job", "2xx"] == 1
    assert found["ridgeline_http_requests_total", "GET", "get_job", "4xx"] == 1
    assert found["ridgeline_http_requests_total", "POST", "submit_job", "2xx"] == 1
    assert found["ridgeline_http_request_seconds_count", "GET", "get_job"] == 2
    told = (await client.get("/metrics")).text
    assert "job_0" not in told
    assert "nowhere" not in told
    assert "BREW" not in told


async def test_a_stream_is_counted_while_it_is_open(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.succeed(hands.claim(job_id))
    await client.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"})
    found = await scraped(client)
    assert found["ridgeline_event_streams_open",] == 0
    assert found["ridgeline_http_requests_total", "GET", "list_events", "2xx"] == 1
    assert ("ridgeline_http_request_seconds_count", "GET", "list_events") not in found


async def test_two_applications_count_apart(settings: Settings) -> None:
    assert create_app(settings).state.measures.registry is not create_app(settings).state.measures.registry


async def test_a_scraper_of_openmetrics_gets_openmetrics(client: httpx.AsyncClient) -> None:
    reply = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.text.endswith("# EOF\n")


async def test_the_page_for_operators_names_every_gauge_and_no_other(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.appear("idle")
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    for _ in range(2):
        served = {line.split()[2] for line in (await client.get("/metrics")).text.splitlines() if line.startswith("# TYPE")}
    assert set(re.findall(r"^\| `(ridgeline_\w+)`", page, flags=re.MULTILINE)) == {name for name in served if not name.endswith("_created")}

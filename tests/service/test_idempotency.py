"""However often and however much at once a submission is repeated under its key, it makes one job. On both databases.

RIDGELINE_TEST_SUBMISSIONS=1000 makes it a thousand submissions.
"""

import asyncio
import os
from typing import Any

import httpx
import pytest

from contract.settings import Settings
from contract.store import Store, listing
from service.app import create_app

pytestmark = pytest.mark.anyio

SUBMISSIONS = int(os.environ.get("RIDGELINE_TEST_SUBMISSIONS", "50"))
TIMES = 8
SPEC = {"dataset": {"kind": "fake"}, "epochs": 1}


async def test_submissions_each_sent_eight_times_at_once_make_one_job_each(store: Store, settings: Settings, serve: Any) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    async with serve(create_app(settings.model_copy(update={"database_url": url}))) as client:
        made: list[str] = []
        for start in range(0, SUBMISSIONS, 10):
            numbers = range(start, min(start + 10, SUBMISSIONS))
            made += await asyncio.gather(*(submitted(client, number) for number in numbers))
    assert len(set(made)) == SUBMISSIONS
    walked, after = [], None
    while page := listing.page(store, "default", 100, after=after):
        walked += [job.id for job in page]
        after = listing.Place(page[-1].priority, page[-1].id)
    assert sorted(walked) == sorted(made)


async def submitted(client: httpx.AsyncClient, number: int) -> str:
    """The one job that all of the replies name, one of them as new and all others as replayed."""
    headers = {"Idempotency-Key": f"submission {number}"}
    replies = await asyncio.gather(*(client.post("/v1/jobs", json=SPEC | {"seed": number}, headers=headers) for _ in range(TIMES)))
    assert {reply.status_code for reply in replies} == {201}
    assert sorted(reply.headers.get("idempotency-replayed", "") for reply in replies) == ["", *["true"] * (TIMES - 1)]
    assert {(reply.json()["spec"]["seed"], reply.headers["location"]) for reply in replies} == {
        (number, f"/v1/jobs/{replies[0].json()['id']}")
    }
    return str(replies[0].json()["id"])

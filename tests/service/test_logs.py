"""What a job logged: found by level, by words and by place, as a list and as text."""

from typing import Any

import httpx
import pytest

from contract.store import leases
from contract.store.rows import Note

pytestmark = pytest.mark.anyio


@pytest.fixture
async def page(client: httpx.AsyncClient, hands: Any, job_id: str) -> str:
    """The logs of a job whose trainer died once and that failed in the end."""
    lease = hands.claim(job_id)
    notes = [
        Note("log", "started on cpu", {"machine": {"device": "needle"}}),
        Note("epoch", "epoch 1 done"),
        Note("warning", "only 50% of the rows have labels", level="warning"),
        Note("log", "the trainer exited with code 1; its last words:", {"stderr": ["Traceback:", "  Needle_in a haystack"]}, level="error"),
    ]
    leases.renew(hands.store, lease, 60, notes=notes)
    hands.fail(lease)
    return f"/v1/jobs/{job_id}/logs"


async def seqs(client: httpx.AsyncClient, page: str, **query: Any) -> list[int]:
    return [line["seq"] for line in (await client.get(page, params=query)).json()["data"]]


async def test_moves_warnings_and_last_words_are_told_in_order(client: httpx.AsyncClient, page: str) -> None:
    lines = (await client.get(page)).json()["data"]
    assert [(line["seq"], line["level"], line["source"]) for line in lines] == [
        (1, "info", "job"),
        (2, "info", "job"),
        (3, "info", "trainer"),
        (5, "warning", "trainer"),
        (6, "error", "trainer"),
        (7, "error", "job"),
    ]
    assert lines[0]["message"] == "queued: submitted"
    assert lines[4]["lines"] == ["Traceback:", "  Needle_in a haystack"]
    assert lines[5]["message"].startswith("failed: diverged: loss became nan")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"level": "warning"}, [5, 6, 7]),
        ({"level": "error"}, [6, 7]),
        ({"q": "NEEDLE_IN"}, [6]),
        ({"q": "50%"}, [5]),
        ({"q": "0% o"}, [5]),
        ({"q": "needle_"}, [6]),
        ({"q": "no such words"}, []),
        ({"after": 5}, [6, 7]),
        ({"tail": 2}, [6, 7]),
        ({"tail": 1, "level": "warning", "q": "rows"}, [5]),
        ({"tail": 100, "after": 6}, [7]),
    ],
)
async def test_lines_are_chosen(client: httpx.AsyncClient, page: str, query: dict[str, Any], wanted: list[int]) -> None:
    assert await seqs(client, page, **query) == wanted


async def test_pages_of_lines_join_without_gap(client: httpx.AsyncClient, page: str) -> None:
    seen, after = [], "0"
    while after is not None:
        found = (await client.get(page, params={"after": after, "limit": 2})).json()
        seen += [line["seq"] for line in found["data"]]
        after = found["next_cursor"]
    assert seen == [1, 2, 3, 5, 6, 7]


async def test_text_is_a_line_for_each_and_a_link_to_what_follows(client: httpx.AsyncClient, page: str) -> None:
    reply = await client.get(page, params={"limit": 5, "level": "info"}, headers={"Accept": "text/plain"})
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.text.splitlines()[0].endswith("Z info    queued: submitted")
    assert reply.text.endswith("its last words:\n    Traceback:\n      Needle_in a haystack\n")
    following = reply.headers["link"].removeprefix("<").partition(">")[0]
    rest = await client.get(following, headers={"Accept": "text/plain"})
    assert rest.text.splitlines()[0].partition(" ")[2].startswith("error   failed")
    assert "link" not in rest.headers


@pytest.mark.parametrize(
    "query", ["level=fatal", "tail=0", "tail=1001", "limit=0", "after=-1", "after=x", "q=%00", "q=" + "x" * 201, "x=1"]
)
async def test_a_question_that_cannot_be_is_refused(standing: httpx.AsyncClient, standing_job: str, query: str) -> None:
    assert (await standing.get(f"/v1/jobs/{standing_job}/logs?{query}")).status_code == 422


async def test_a_form_that_there_is_not_is_refused(standing: httpx.AsyncClient, standing_job: str) -> None:
    assert (await standing.get(f"/v1/jobs/{standing_job}/logs", headers={"Accept": "image/png"})).status_code == 406

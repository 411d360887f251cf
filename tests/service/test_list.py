"""Which jobs a list finds, in which order, and that a walk through its pages is one walk."""

from typing import Any

import httpx
import pytest

from contract.spec import JobSpec
from contract.store import Store, jobs, listing
from service import cursors
from service.filters import Filters
from tests.service.conftest import Hands
from tests.service.test_lifecycle_routes import made

pytestmark = pytest.mark.anyio


async def ids(client: httpx.AsyncClient, query: Any = "", **params: Any) -> list[str]:
    reply = await client.get("/v1/jobs", params=params or query)
    assert reply.status_code == 200, reply.text
    return [job["id"] for job in reply.json()["data"]]


async def test_jobs_are_found_by_their_labels_all_of_them(client: httpx.AsyncClient, hands: Hands) -> None:
    one = await made(client, hands, "queued", metadata={"team": "vision", "a.b-c/d_e": "x:y z"})
    two = await made(client, hands, "queued", metadata={"team": "vision", "stage": "2"})
    await made(client, hands, "queued", metadata={"team": "speech"})
    assert await ids(client, label="team:vision") == [two, one]
    assert await ids(client, label=["team:vision", "stage:2"]) == [two]
    assert await ids(client, label="a.b-c/d_e:x:y z") == [one]
    assert await ids(client, label="team:visio") == await ids(client, label="nobody:") == []


@pytest.mark.parametrize("label", ["team", ":x", 'a"b:x', "a b:x", "k:" + "v" * 201, "k:\x00"])
async def test_a_label_that_cannot_be_is_a_422(standing: httpx.AsyncClient, label: str) -> None:
    reply = await standing.get("/v1/jobs", params={"label": label})
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/query/label/0")


async def test_jobs_are_found_by_part_of_their_name_or_id_taken_literally(client: httpx.AsyncClient, hands: Hands) -> None:
    one = await made(client, hands, "queued", name="Fashion 100%_l1")
    two = await made(client, hands, "queued", name="fashion 100 l1")
    assert await ids(client, q="FASHION") == [two, one]
    assert await ids(client, q="100%_") == [one]
    assert await ids(client, q=two[6:].upper()) == await ids(client, q=two) == [two]
    assert await ids(client, q="%") == [one]
    assert await ids(client, q="/") == []


@pytest.mark.parametrize("query", ["q=", "q=%00", "q=" + "x" * 201, "sort=name", "parent=job_x", "created_after=yesterday", "created_after=2026-11-22",
                                   "created_before=2026-11-22T07:15:00", "created_after=NaN", "created_after=99999-01-01T00:00:00Z"])  # fmt: skip
async def test_a_filter_that_cannot_be_is_a_422(standing: httpx.AsyncClient, query: str) -> None:
    assert (await standing.get(f"/v1/jobs?{query}")).status_code == 422


async def test_jobs_are_found_by_the_time_that_they_show(client: httpx.AsyncClient, hands: Hands) -> None:
    first, second = [await made(client, hands, "queued") for _ in range(2)]
    at = (await client.get(f"/v1/jobs/{second}")).json()["created_at"]
    assert second not in await ids(client, created_after=at)
    assert second not in await ids(client, created_before=at)
    assert set(await ids(client, created_after="2020-01-01T00:00:00+02:00")) == {first, second}
    assert await ids(client, "created_after=2020-01-01T00:00:00+02:00&created_before=2020-01-02T00:00:00-02:00") == []


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "-priority", "priority"])
@pytest.mark.parametrize("limit", [1, 3])
async def test_a_walk_shows_each_job_once_in_every_order_while_others_come_in(client: httpx.AsyncClient, sort: str, limit: int) -> None:
    async def submit(priority: int) -> tuple[int, str]:
        return priority, str((await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "priority": priority})).json()["id"])

    there = [await submit(priority) for priority in (0, 5, -3, 5, 0, 5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": limit, "sort": sort}
    while True:
        page = (await client.get("/v1/jobs", params=query)).json()
        seen += [job["id"] for job in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        if len(seen) < 8:
            await submit(0)
    assert len(seen) == len(set(seen))
    known = {job_id: priority for priority, job_id in there}
    orders: dict[str, list[str]] = {
        "created_at": sorted(known), "-created_at": sorted(known, reverse=True),
        "-priority": sorted(known, key=lambda job_id: (-known[job_id], job_id)),
    }  # fmt: skip
    orders["priority"] = orders["-priority"][::-1]
    assert [job_id for job_id in seen if job_id in known] == orders[sort]


BESIDE = [
    {"sort": "created_at"},
    {"status": "running"},
    {"label": "a:b"},
    {"q": "x"},
    {"created_after": "2020-01-01T00:00:00Z"},
    {"parent": "job_" + "0" * 26},
]


@pytest.mark.parametrize("other", BESIDE, ids=str)
async def test_a_cursor_holds_for_its_own_filters_and_order_only(client: httpx.AsyncClient, hands: Hands, other: dict[str, str]) -> None:
    for _ in range(2):
        await made(client, hands, "queued")
    cursor = (await client.get("/v1/jobs", params={"limit": 1})).json()["next_cursor"]
    assert (await client.get("/v1/jobs", params={"cursor": cursor, "limit": 5})).status_code == 200
    reply = await client.get("/v1/jobs", params={"cursor": cursor, **other})
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_cursor")


def test_both_databases_find_the_same(store: Store) -> None:
    made_ = [
        jobs.submit(store, "t", JobSpec.model_validate({"name": name, "metadata": {"k.a": value}, "priority": priority})).job
        for name, value, priority in (("Änne", "1", 0), ("lulu_%", "1", 3), ("LULU/x", "2", 3))
    ]
    jobs.submit(store, "another", JobSpec.model_validate({"name": "b_%", "metadata": {"k.a": "1"}}))

    def found(sort: listing.Sort = "created_at", **filters: Any) -> list[int]:
        page = listing.page(store, "t", 10, listing.Filters(**filters), sort)
        return [made_.index(job) for job in page]

    assert found(labels={"k.a": "1"}) == [0, 1]
    assert found(text="Lulu") == [1, 2]
    assert found(text="_%") == [1]
    assert found(text="/") == [2]
    assert found(text="ob_") == []
    assert found("-priority") == [1, 2, 0]
    assert found("priority") == [0, 2, 1]
    assert found(created_until=made_[0].created_at) == []


@pytest.mark.parametrize("place", [[10**30, f"job_{'0' * 26}"], [0, "job_x"], [0, "' OR 1=1"], [0], ["0", f"job_{'0' * 26}"]])
async def test_a_cursor_that_no_list_gave_out_is_refused_though_its_filters_fit(standing: httpx.AsyncClient, place: list[Any]) -> None:
    filters = Filters().told()
    good = cursors.encode([0, f"job_{'0' * 26}"], filters)
    assert (await standing.get("/v1/jobs", params={"cursor": good})).status_code == 200

    reply = await standing.get("/v1/jobs", params={"cursor": cursors.encode(place, filters)})

    assert (reply.status_code, reply.json()["code"]) == (400, "bad_cursor")


def test_filters_are_the_same_in_whatever_order_and_however_often_they_are_given() -> None:
    one = Filters.model_validate({"status": ["queued", "running"], "label": ["a:b", "c:d"], "limit": 3, "cursor": "x"})
    same = Filters.model_validate({"status": ["running", "queued", "running"], "label": ["c:d", "a:b", "a:b"]})
    assert one.told() == same.told() != Filters().told()
    assert Filters.model_validate({"label": ["k:x:y"]}).read().labels == {"k": "x:y"}


@pytest.mark.parametrize(
    ("given", "after", "before"),
    [
        ("2026-11-22T07:15:00.123Z", 0.124, 0.123), ("2026-11-22T07:15:00.123400Z", 0.124, 0.124), ("2026-11-22T08:15:00.123+01:00", 0.124, 0.123),
        ("2026-11-22T08:15:00.123 01:00", 0.124, 0.123),
    ],
)  # fmt: skip
def test_times_are_compared_by_the_milliseconds_that_are_shown(given: str, after: float, before: float) -> None:
    """What was made in a millisecond is shown as made at its beginning."""
    found = Filters.model_validate({"created_after": given, "created_before": given}).read()
    start = 1_795_331_700
    assert (found.created_from, found.created_until) == (pytest.approx(start + after, abs=1e-5), pytest.approx(start + before, abs=1e-5))

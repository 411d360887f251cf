"""Submissions that come at the same time share one commit, and each hears what became of its own."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, event, func, select

from contract.errors import IdempotencyMismatchError, OperatorError, QuotaExceededError, StoreUnavailableError
from contract.spec import JobSpec
from contract.store import Store, jobs, quotas, submissions, tables
from contract.store.quotas import Limits
from contract.store.submissions import Asked, Submission
from service.app import create_app
from service.together import Together

pytestmark = pytest.mark.anyio

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
OTHER = SPEC.model_copy(update={"seed": 1})


def asked(tenant: str = "default", spec: JobSpec = SPEC, key: str | None = None) -> Asked:
    return Asked(tenant, spec, key)


def written(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.jobs)).scalar_one())


@contextmanager
def commits(store: Store) -> Iterator[list[bool]]:
    """Of each commit meanwhile, whether it wrote."""
    seen: list[bool] = []

    def note(connection: Connection) -> None:
        seen.append(bool(connection.get_execution_options().get("ridgeline_writes")))

    event.listen(store.engine, "commit", note)
    yield seen
    event.remove(store.engine, "commit", note)


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Those sent meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    yield seen
    event.remove(store.engine, "before_cursor_execute", note)


def test_a_refused_submission_leaves_the_others_of_its_commit(store: Store) -> None:
    quotas.put(store, "full", Limits(queued_jobs=1))
    done = submissions.write(store, [asked(), asked("full"), asked("full"), asked(key="k"), asked(spec=OTHER, key="k"), asked()])
    kinds = [type(one) for one in done]
    assert kinds == [Submission, Submission, QuotaExceededError, Submission, IdempotencyMismatchError, Submission]
    assert written(store) == 4
    for one in done:
        if isinstance(one, Submission):
            assert jobs.get(store, one.job.tenant, one.job.id) == one.job


def test_a_group_is_one_commit_and_each_job_has_its_place_behind_those_before_it(store: Store) -> None:
    jobs.submit(store, "default", SPEC.model_copy(update={"priority": 5}))
    with commits(store) as seen:
        done = submissions.write(store, [asked() for _ in range(20)])
    assert seen == [True]
    found = sorted((one.job.id, one.place.position) for one in done if isinstance(one, Submission) and one.place)
    assert [position for _, position in found] == list(range(2, 22))


def test_a_key_that_comes_twice_in_one_commit_makes_one_job(store: Store) -> None:
    first, again = submissions.write(store, [asked(key="k"), asked(key="k")])
    assert isinstance(first, Submission)
    assert isinstance(again, Submission)
    assert (first.job.id, first.replayed, again.replayed) == (again.job.id, False, True)
    assert written(store) == 1


def test_a_commit_that_fails_acknowledges_none(store: Store) -> None:
    def fail(_: Connection) -> None:
        raise StoreUnavailableError("the disk is full")

    event.listen(store.engine, "commit", fail)
    with pytest.raises(StoreUnavailableError):
        submissions.write(store, [asked(), asked()])
    event.remove(store.engine, "commit", fail)
    assert written(store) == 0


@pytest.mark.parametrize("lost_at", [1, 3])
def test_a_connection_that_is_lost_within_a_group_fails_all_of_it(store: Store, monkeypatch: pytest.MonkeyPatch, lost_at: int) -> None:
    quotas.put(store, "full", Limits(queued_jobs=0))  # so that they are written together first, and then each by itself
    create, tried = submissions.rows.create, 0

    def cut(*given: Any) -> None:
        nonlocal tried
        tried += 1
        if tried == lost_at:
            given[0].invalidate()
            raise StoreUnavailableError("the server closed the connection")
        create(*given)

    monkeypatch.setattr(submissions.rows, "create", cut)
    with pytest.raises(StoreUnavailableError):
        submissions.write(store, [asked(), asked(), asked("full")])
    assert tried == lost_at
    assert written(store) == 0


def test_a_job_more_in_a_group_is_no_statement_more(store: Store) -> None:
    counts = []
    for size in (2, 20):
        with statements(store) as sent:
            submissions.write(store, [asked(key=f"{size} {number}") for number in range(size)])
        counts.append(len(sent))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("tenant", "one", "other"), [("free", "ab", "ba"), ("limited", "ab", "b")])
def test_two_processes_that_are_sent_the_same_keys_at_once_do_not_wait_in_a_circle(
    store: Store, monkeypatch: pytest.MonkeyPatch, tenant: str, one: str, other: str
) -> None:
    quotas.put(store, "limited", Limits(queued_jobs=9))
    met = threading.Barrier(2)

    def meet(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        # Each goes on once the other has written its first job as well, or seems to wait for this one.
        if statement.startswith("INSERT INTO jobs "):
            with suppress(threading.BrokenBarrierError):
                met.wait(1)

    def refuse(*_: Any) -> Any:
        raise ValueError("each by itself")

    monkeypatch.setattr(submissions, "_together", refuse)  # what locks all of its rows in one statement leaves no room to meet
    event.listen(store.engine, "after_cursor_execute", meet)
    with ThreadPoolExecutor(2) as pool:
        groups = [pool.submit(submissions.write, store, [asked(tenant, key=key) for key in keys]) for keys in (one, other)]
        found = [done for group in groups for done in group.result(60)]
    assert [done for done in found if not isinstance(done, Submission)] == []
    assert written(store) == 2


def test_jobs_are_written_by_tenant_and_key_in_whatever_order_they_came(store: Store) -> None:
    came = [("tenant b", "key 1"), ("tenant a", "key 2"), ("tenant a", "key 1"), ("tenant b", "key 0")]
    with statements(store) as sent:
        done = submissions.write(store, [asked(tenant, key=key) for tenant, key in came])
    [rows] = [given for statement, given in sent if statement.startswith("INSERT INTO jobs ")]
    values = [list(row.values() if isinstance(row, dict) else row) for row in rows]
    assert [[value for value in row if str(value).startswith(("tenant ", "key "))] for row in values] == [
        list(pair) for pair in sorted(came)
    ]
    assert [(one.job.tenant, one.job.idempotency_key) for one in done if isinstance(one, Submission)] == came


async def test_requests_that_come_during_a_commit_share_the_next_one(sqlite_store: Store, settings: Any, serve: Any) -> None:
    app, begun, go_on = create_app(settings), threading.Event(), threading.Event()
    async with serve(app) as client:
        held = app.state.held
        write = held.submitter._deed

        def slowly(questions: Sequence[Asked]) -> Sequence[Submission | Exception]:
            begun.set()
            assert go_on.wait(30)
            return write(questions)

        held.submitter._deed = slowly
        with commits(held.store) as seen:
            replies = [asyncio.create_task(client.post("/v1/jobs", json={"dataset": {"kind": "fake"}}))]
            assert await asyncio.to_thread(begun.wait, 30)
            replies += [asyncio.create_task(client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})) for _ in range(11)]
            with anyio.fail_after(30):
                while held.submitter._waiting.qsize() < 11:  # noqa: ASYNC110  a queue tells nobody how long it is
                    await asyncio.sleep(0.01)
            go_on.set()
            told = await asyncio.gather(*replies)
    assert {reply.status_code for reply in told} == {201}
    assert seen.count(True) == 2
    assert written(sqlite_store) == 12


async def test_a_failed_commit_is_a_503_for_every_request_of_it(
    sqlite_store: Store, settings: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Connection) -> None:
        raise StoreUnavailableError("the disk is full")

    app = create_app(settings)
    async with serve(app) as client:
        event.listen(app.state.held.store.engine, "commit", fail)
        replies = await asyncio.gather(*(client.post("/v1/jobs", json={"dataset": {"kind": "fake"}}) for _ in range(4)))
    assert [(reply.status_code, reply.json()["code"]) for reply in replies] == [(503, "store_unavailable")] * 4
    assert written(sqlite_store) == 0


async def test_who_waits_when_the_service_stops_is_answered_and_who_comes_later_is_refused() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def deed(questions: Sequence[int]) -> list[int | Exception]:
        begun.set()
        assert go_on.wait(30)
        return [number * 2 for number in questions]

    together: Together[int, int] = Together(deed, 2, "test")
    together.start()
    waiting = [asyncio.create_task(together.ask(number)) for number in range(5)]
    assert await asyncio.to_thread(begun.wait, 30)
    stopping = asyncio.create_task(asyncio.to_thread(together.stop, 30))
    with anyio.fail_after(30):
        while not together._is_closed:  # noqa: ASYNC110  set by the thread that then waits
            await asyncio.sleep(0.01)
    with anyio.fail_after(30), pytest.raises(OperatorError, match="stopping"):
        await together.ask(9)
    go_on.set()
    with anyio.fail_after(30):
        assert await asyncio.gather(*waiting) == [0, 2, 4, 6, 8]
        await stopping


async def test_an_error_reaches_the_one_that_it_is_about() -> None:
    together: Together[int, int] = Together(lambda asked: [ValueError(str(n)) if n else n for n in asked], 8, "test")
    together.start()
    found = await asyncio.gather(*(together.ask(number) for number in range(3)), return_exceptions=True)
    together.stop(30)
    assert (found[0], str(found[1]), str(found[2])) == (0, "1", "2")

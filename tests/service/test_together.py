"""Submissions that come at the same time share one commit, and each hears what became of its own."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def test_a_connection_that_is_lost_within_a_group_fails_all_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create, made = submissions.rows.create, []

    def cut(connection: Connection, *rest: Any) -> Any:
        made.append(create(connection, *rest))
        if len(made) == 2:
            connection.invalidate()
            raise StoreUnavailableError("the server closed the connection")
        return made[-1]

    monkeypatch.setattr(submissions.rows, "create", cut)
    with pytest.raises(StoreUnavailableError):
        submissions.write(store, [asked(), asked()])
    assert len(made) == 2
    assert written(store) == 0


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

"""How long an owner believes in its lease and how long it tries to tell its news, on a clock of the test's own."""

import threading
from collections.abc import Callable

import pytest

from contract.errors import LostLeaseError, StoreUnavailableError
from contract.spec import JobSpec
from contract.store import Store, jobs, leases
from worker.tenure import DRAINING_SECONDS, Tenure

LEASE = 60.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert self.now < 10_000.0, "it never gives up"
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("worker.tenure.monotonic", made)
    monkeypatch.setattr("worker.tenure.sleep", made.sleep)
    return made


@pytest.fixture
def draining() -> threading.Event:
    return threading.Event()


@pytest.fixture
def tenure(clock: Clock, draining: threading.Event, sqlite_store: Store) -> Tenure:
    jobs.submit(sqlite_store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}}))
    job = leases.claim(sqlite_store, "worker-1", "cpu", LEASE)
    assert job is not None
    return Tenure(job, sqlite_store, LEASE, draining)


def away(clock: Clock, until: float = float("inf")) -> Callable[[], str]:
    """A deed that finds the database away until then."""

    def deed() -> str:
        if clock.now < until:
            raise StoreUnavailableError("the database is away")
        return "done"

    return deed


def test_an_owner_is_cut_off_once_no_renewal_has_succeeded_for_a_whole_lease(tenure: Tenure, clock: Clock) -> None:
    clock.now = LEASE
    assert not tenure.is_cut_off
    clock.now = LEASE + 1
    assert tenure.is_cut_off


def test_each_renewal_gives_a_whole_lease_more(tenure: Tenure, clock: Clock) -> None:
    for _ in range(3):
        clock.now += LEASE
        tenure.renew()
        assert not tenure.is_cut_off
    clock.now += LEASE
    assert not tenure.is_cut_off
    clock.now += 1
    assert tenure.is_cut_off


def test_a_renewal_without_an_answer_gives_nothing(tenure: Tenure, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "renew", lambda *_: away(clock)())
    clock.now = LEASE + 1
    with pytest.raises(StoreUnavailableError):
        tenure.renew()
    assert tenure.is_cut_off


def test_a_deed_is_done_however_long_the_database_was_away(tenure: Tenure, clock: Clock) -> None:
    assert tenure.steadily(away(clock, until=5_000.0)) == "done"
    assert clock.now == 5_000.0


def test_a_deed_with_a_limit_is_given_up_when_it_has_passed(tenure: Tenure, clock: Clock) -> None:
    with pytest.raises(StoreUnavailableError):
        tenure.steadily(away(clock), for_seconds=30.0)
    assert 30.0 < clock.now <= 31.0


@pytest.mark.parametrize(("asked", "given"), [(float("inf"), DRAINING_SECONDS), (3.0, 3.0)])
def test_a_worker_that_shuts_down_tries_for_a_while_only_and_never_longer_than_it_else_would(
    tenure: Tenure, clock: Clock, draining: threading.Event, asked: float, given: float
) -> None:
    draining.set()
    with pytest.raises(StoreUnavailableError):
        tenure.steadily(away(clock), for_seconds=asked)
    assert given < clock.now <= given + 1.0


def test_a_worker_that_begins_to_shut_down_while_the_database_is_away_gives_up_then(
    tenure: Tenure, clock: Clock, draining: threading.Event
) -> None:
    def deed() -> None:
        if clock.now >= 500.0:
            draining.set()
        raise StoreUnavailableError("the database is away")

    with pytest.raises(StoreUnavailableError):
        tenure.steadily(deed)
    assert clock.now == 500.0


def test_a_lost_lease_is_not_tried_again(tenure: Tenure, clock: Clock) -> None:
    def deed() -> None:
        raise LostLeaseError("another has it")

    with pytest.raises(LostLeaseError):
        tenure.steadily(deed)
    assert clock.now == 0.0

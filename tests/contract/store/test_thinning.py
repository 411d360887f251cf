"""What is left of a long series: first, last and best, evenly what lies between, and never more than was asked for."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import insert

from contract.spec import JobSpec
from contract.store import Store, jobs, schema, tables
from contract.store.metrics import Point
from contract.store.thinning import Bests, thinned
from tests.conftest import DATABASES

REPORTS, EVERY, EPOCHS = 20_000, 5, 400
STEPS = REPORTS * EVERY
BEST_EPOCH, BEST_STEP = 137, 33_335
LOSS: Bests = {"val.loss": "min"}


@pytest.fixture(scope="module", params=DATABASES)
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    """A job of 20,000 reports and 400 epochs, on each kind of database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_standing_url")
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('long')}/ridgeline.db"
    store = Store(url)
    schema.migrate(store)
    job_id = jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id
    with store.write() as connection:
        for start in range(1, REPORTS + 1, 2000):
            rows = [row(job_id, n * EVERY, "step", {"train.loss": 1.0, "n": n}) for n in range(start, start + 2000)]
            connection.execute(insert(tables.metrics), rows)
        connection.execute(insert(tables.metrics), [row(job_id, n * STEPS // EPOCHS, "epoch", epoch(n)) for n in range(1, EPOCHS + 1)])
        best = (tables.metrics.c.step == BEST_STEP, tables.metrics.c.scope == "step")
        connection.execute(tables.metrics.update().where(*best).values(values={"train.loss": 0.5, "n": 0}))
    yield store, job_id
    store.close()


def row(job_id: str, step: int, scope: str, values: dict[str, object]) -> dict[str, object]:
    return {"job_id": job_id, "step": step, "scope": scope, "epoch": 1, "at": 1.0, "values": values}


def epoch(n: int) -> dict[str, object]:
    return {"val.loss": "-Infinity" if n % 7 == 0 else 0.25 if n == BEST_EPOCH else 0.5, "val.accuracy": 0.9 if n == 3 else 0.5}


def read(long: tuple[Store, str], most: int, **asked: object) -> list[Point]:
    given = {"scope": None, "step_from": 0, "step_to": None, "names": (), "bests": LOSS} | asked
    return thinned(*long, most=most, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", [None, "step", "epoch"])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 10, 1000, 5000])
def test_there_are_never_more_than_asked_for_in_the_order_of_their_steps(long: tuple[Store, str], most: int, scope: str | None) -> None:
    found = read(long, most, scope=scope)
    places = [(point.step, point.scope == "epoch") for point in found]
    assert places == sorted(set(places))
    there_are = {None: REPORTS + EPOCHS, "step": REPORTS, "epoch": EPOCHS}[scope]
    assert min(most, there_are) * 0.9 <= len(found) <= most
    assert found[-1].step == STEPS
    if most > 1:
        assert found[0].step == (STEPS // EPOCHS if scope == "epoch" else EVERY)


def test_what_lies_between_is_even(long: tuple[Store, str]) -> None:
    steps = [point.step for point in read(long, 100, scope="step")]
    assert max(b - a for a, b in pairwise(steps)) <= 2.1 * STEPS / 100


@pytest.mark.parametrize("most", [3, 4, 10, 100, 300])
def test_the_best_epoch_is_kept_and_a_value_that_is_no_number_is_not_it(long: tuple[Store, str], most: int) -> None:
    found = read(long, most, scope="epoch")
    assert BEST_EPOCH * STEPS // EPOCHS in [point.step for point in found]
    assert 3 * STEPS // EPOCHS in [point.step for point in read(long, most, scope="epoch", bests={"val.accuracy": "max"})]


def test_the_best_report_is_kept_where_few_enough_are_looked_through(long: tuple[Store, str]) -> None:
    found = read(long, 10, scope="step", step_from=20_001, step_to=40_000, bests={"train.loss": "min"})
    assert BEST_STEP in [point.step for point in found]
    assert {20_005, 40_000} <= {point.step for point in found}


def test_steps_do_not_crowd_out_epochs(long: tuple[Store, str]) -> None:
    found = read(long, 100)
    assert sum(point.scope == "epoch" for point in found) == 50
    assert {point.step for point in found} >= {EVERY, BEST_EPOCH * STEPS // EPOCHS, STEPS}


def test_names_that_only_epochs_have_get_all_the_room(long: tuple[Store, str]) -> None:
    found = read(long, 300, names=["val.loss"])
    assert len(found) == 300
    assert {point.scope for point in found} == {"epoch"}
    assert {name for point in found for name in point.values} == {"val.loss"}


def test_a_short_series_is_whole(long: tuple[Store, str]) -> None:
    found = read(long, 1000, step_from=101, step_to=600)
    assert [(point.step, point.scope) for point in found] == [
        place for step in range(105, 601, EVERY) for place in ((step, "step"), (step, "epoch")) if place[1] == "step" or step % 250 == 0
    ]


def test_reports_in_lumps_leave_their_ends(store: Store) -> None:
    """A job that reported often, then long not at all, then often again."""
    job_id = jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id
    lumps = [*range(1, 200), *range(10**9, 10**9 + 200)]
    with store.write() as connection:
        connection.execute(insert(tables.metrics), [row(job_id, step, "step", {"lr": 1.0}) for step in lumps])
    steps = [point.step for point in read((store, job_id), 20)]
    assert steps[0] == 1
    assert steps[-1] == lumps[-1]
    assert len(steps) <= 20
    assert 10**9 in steps

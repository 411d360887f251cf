"""What is done every second, or for every request, reads no more of the database the more jobs have ended, on both kinds of it.

Counted is what is read, never a time: on PostgreSQL the rows that scans look at, on SQLite the steps of its machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from benchmarks.scale import history, looks, plans
from benchmarks.scale.history import Size
from contract import lifecycle
from contract.job import FIELDS, Job, JobState
from contract.lifecycle import Report
from contract.spec import JobSpec
from contract.store import Store, schema, tables
from tests.conftest import DATABASES

SIZE: Final = Size(ended=6000, queued=120, held=100)
MOST: Final = {True: 15_000, False: 500}
"""On SQLite, and on PostgreSQL: some times what the open jobs and a page need. To pass over all that have ended takes more than 40,000
steps, and 6,000 rows; so does to look at every worker for every job."""
PASSES_OVER_HISTORY: Final = {
    # A count of all jobs by state, at the pace of a scrape, from an index alone.
    (True, "gauges"), (False, "gauges"),
    # SQLite has no index of documents.
    (True, "list, by a rare label"),
}  # fmt: skip
"""Whether it is SQLite, and the deed: what stands in docs/scale.md among what grows."""


@pytest.fixture(scope="module", params=DATABASES)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store where thousands of jobs have ended."""
    folder: Path = tmp_path_factory.mktemp("old")
    is_sqlite = request.param == "sqlite"
    store = Store(f"sqlite:///{folder}/ridgeline.db" if is_sqlite else request.getfixturevalue("postgresql_standing_url"))
    schema.migrate(store)
    history.fill(store, SIZE, JobSpec.model_validate({}))
    yield store
    store.close()


@pytest.mark.parametrize("name", looks.DEEDS)
def test_a_deed_does_not_pass_over_the_jobs_that_have_ended(old: Store, name: str) -> None:
    works = plans.of(old, looks.DEEDS[name])
    assert works, "the deed sent no statement that could be explained"
    worst = max(works, key=lambda work: work.touched)
    if (old.is_sqlite, name) in PASSES_OVER_HISTORY:
        assert worst.touched > MOST[old.is_sqlite], f"{name} no longer passes over history: take it off the list, here and in docs/scale.md"
    else:
        assert worst.touched <= MOST[old.is_sqlite], f"{worst.touched} for {worst.plan}: {worst.statement}"


def test_a_claim_looks_at_no_job_but_the_one_it_takes(old: Store) -> None:
    works = plans.of(old, looks.DEEDS["claim"])
    found = next(work for work in works if "priority DESC" in work.statement)
    assert found.touched <= (200 if old.is_sqlite else 1)
    assert any("ix_jobs_queue" in line for line in found.plan)


def test_a_renewal_changes_no_column_that_an_index_knows() -> None:
    """Or PostgreSQL would write to every index of the table, twice a second for each worker."""
    told = Report(1, 1, {}, 1, {}, {}, "", 1)
    before = Job(id="", tenant="", name=None, metadata={}, spec={}, spec_sha256="", state=JobState.RUNNING, owner="w", lease_until=0.0)
    after = lifecycle.renew(before, before.fence, 1.0, 60.0, told, batch=1)
    changed = {name for name in FIELDS if getattr(after, name) != getattr(before, name)} | {"event_seq"}
    known = {" ".join([*map(str, each.expressions), str(each.dialect_options["postgresql"]["where"])]) for each in tables.jobs.indexes}
    assert {"lease_until", "updated_at", "version", "step"} <= changed
    assert not [(column, index) for column in changed for index in known if re.search(rf"\b{column}\b", index)]

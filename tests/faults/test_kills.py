"""That no process is so important that its death, at any moment, costs a job, doubles a result or changes a bit of it."""

import pytest

from tests.faults import storms
from tests.faults.databases import Kind

pytestmark = pytest.mark.faults

SEED = 20261122


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("database", "kills"), [("sqlite", 40), ("postgresql", 20)])
def test_a_storm_of_kills_breaks_no_promise(database: Kind, kills: int) -> None:
    report = storms.kills(kills, SEED, database)
    report.assert_kept()
    assert report.faults >= kills
    assert report.jobs >= kills // 2

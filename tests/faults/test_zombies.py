"""An owner that slept for longer than its lease has no say any more, wherever it fell asleep."""

from pathlib import Path

import pytest

from contract.store import Store
from tests.faults import zombies

pytestmark = [pytest.mark.faults, pytest.mark.storm]


@pytest.mark.parametrize("seed", [1])
def test_nothing_that_a_zombie_writes_is_accepted_and_it_goes_on_to_serve(store: Store, tmp_path: Path, seed: int) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    report = zombies.storm(url, tmp_path, number=15, seed=seed)
    report.assert_kept()
    assert report.faults == 15


def test_a_store_that_does_not_ask_for_the_fence_is_found_out(sqlite_store: Store, tmp_path: Path) -> None:
    url = sqlite_store.engine.url.render_as_string(hide_password=False)
    report = zombies.storm(url, tmp_path, 6, 2, "--without-fence")
    assert any("was accepted" in violation for violation in report.violations), report

"""What is described is what is answered: each bound, each type, each method and media type that the description does not allow."""

from pathlib import Path

from tests.fuzz import rig

_SPECS = r"^/v1/jobs(/validate)?$"
# The same body as /v1/jobs, at half the price of asking both.
_ONE = r"^/v1/jobs/validate$"
MOST = 2500


def test_every_bound_of_a_spec_is_held(tmp_path: Path) -> None:
    report = rig.fuzz(rig.app(tmp_path), phases=("coverage",), only=_ONE, most=MOST)
    assert report.failures == {}, report
    assert report.requests >= 1000


def test_every_bound_of_everything_else_is_held(tmp_path: Path) -> None:
    report = rig.fuzz(rig.app(tmp_path), phases=("coverage",), leave_out=_SPECS, most=MOST)
    assert report.failures == {}, report
    assert report.requests >= 500

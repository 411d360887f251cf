"""What is described is what is answered: examples of everything, drawn from the description, allowed and forbidden."""

from pathlib import Path

from tests.fuzz import rig


def test_no_request_that_the_description_allows_or_forbids_is_answered_otherwise_than_it_says(tmp_path: Path) -> None:
    report = rig.fuzz(rig.app(tmp_path), phases=("examples", "fuzzing"), examples=4)
    assert report.failures == {}, report
    assert report.requests >= 200


def test_no_chain_of_requests_is_answered_otherwise_than_the_description_says(tmp_path: Path) -> None:
    report = rig.fuzz(rig.app(tmp_path), phases=("stateful",), examples=20)
    assert report.failures == {}, report
    assert report.requests >= 60

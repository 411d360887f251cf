"""What the table of storms promises: a bound that can be checked by hand, and an exit code that a script can trust."""

from pathlib import Path

import pytest

from tests.faults import __main__ as command
from tests.faults.report import Report, bound, table

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("failures", "trials", "expected"),
    [(0, 1000, 0.003), (0, 2, 1.0), (0, 0, 1.0), (5, 5, 1.0), (1, 10, 0.3942), (2, 100, 0.0616), (10, 1_000_000, 1.6962e-5)],
)
def test_the_bound_is_three_in_n_without_a_failure_and_the_exact_one_otherwise(failures: int, trials: int, expected: float) -> None:
    """The last three are the 95 % points of Beta(k + 1, n - k)."""
    assert bound(failures, trials) == pytest.approx(expected, rel=1e-3)


def test_the_table_shows_what_was_done_and_what_was_found() -> None:
    report = Report("kills", {"api": 600, "trainer": 400}, jobs=500, seed=7, seconds=61.2)
    row = table([("nothing lost", report)]).splitlines()[-1]
    assert row == "| kills | nothing lost | 1,000: 600 api, 400 trainer | 500 | 0 | < 0.003 | 7 | 61 |"


@pytest.mark.parametrize(("violations", "code"), [([], 0), (["lost: job_1 is running"], 1)])
def test_a_violation_ends_the_command_with_1_and_is_told(
    violations: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.faults.storms.kills", lambda scale, seed, _: Report("", {"api": scale}, violations, seed=seed))
    arguments = ["--only", "kills", "--database", "sqlite", "--seed", "7", "--table", str(tmp_path / "table.md")]
    assert command.main(arguments) == code
    said = capsys.readouterr()
    assert said.out == (tmp_path / "table.md").read_text()
    assert "| kills, sqlite |" in said.out
    assert all(violation in said.err for violation in violations)


def test_a_storm_that_breaks_off_counts_as_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Report:
        raise AssertionError("waited in vain")

    monkeypatch.setattr("tests.faults.storms.kills", breaks)
    assert command.main(["--only", "kills", "--database", "sqlite", "--seed", "7"]) == 1


@pytest.mark.parametrize("storm", command.STORMS, ids=lambda storm: storm.name)
def test_every_storm_that_is_listed_is_there(storm: command.Storm) -> None:
    from importlib import import_module

    module, _, function = storm.where.partition(":")
    assert callable(getattr(import_module(module), function))

"""Figures are computed and shown as the pages say."""

import pytest

from benchmarks import figures, one, page
from benchmarks.figures import Absent, Goal, Row, Spread
from benchmarks.page import Section
from benchmarks.turns import turns


def test_a_ratio_is_taken_round_by_round_and_the_median_shown_with_its_middle_half() -> None:
    # The machine was slow in two of three rounds: the ratio of the medians would be 2.
    assert figures.ratios([300, 75, 80], [100, 25, 40]) == Spread(3, 2.5, 3)
    assert figures.ratios([10, 20, 30, 40, 50], [10, 10, 10, 10, 10]) == Spread(3, 2, 4)


def test_a_single_measurement_is_its_own_middle_half() -> None:
    assert figures.spread([7.0]) == Spread(7, 7, 7)


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (0.991, 100), (1, 100), (0, 1)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, found: int) -> None:
    assert figures.percentile([*range(100, 0, -1)], share) == found


@pytest.mark.parametrize(
    ("goal", "median", "verdict"),
    [
        (Goal("at least", 5), 4.99, "**missed**"),
        (Goal("at least", 5), 5.0, "met"),
        (Goal("at most", 3), 3.01, "**missed**"),
        (Goal("at most", 3), 3.0, "met"),
        (None, 3.0, None),
    ],
)
def test_a_row_that_misses_its_goal_says_so(goal: Goal | None, median: float, verdict: str | None) -> None:
    section = Section("engine", "What it costs.", [Row("engine over loop", Spread(median, 1, 9), "%", goal)])
    said = [word for word in ("**missed**", "met") if f" {word} " in page.section(section)]
    assert said == ([verdict] if verdict else [])


def test_accuracy_stands_beside_speed_and_what_is_absent_is_named() -> None:
    rows = [Row("loop", Spread(12345.6, 1, 2), "samples/s", beside={"test accuracy": 0.87654}), Absent("skorch", "not installed")]
    shown = page.section(Section("training", "In turn.", rows))
    assert "| loop | 12,346 samples/s | 1 to 2 |  | test accuracy 0.877 |" in shown
    assert "| skorch | absent: not installed | | | |" in shown


def test_a_scenario_that_broke_shows_the_rows_it_had_and_why_there_are_no_more() -> None:
    shown = page.section(Section("submit", "In turn.", [Row("ours", Spread(1, 1, 1), "req/s")], failure="the time was over"))
    assert "| ours |" in shown
    assert "the time was over" in shown


@pytest.mark.parametrize(
    "row", [Row("a", Spread(1, 0.5, 2), "x", Goal("at least", 5), {"refused": 0}), Row("b", Spread(1, 1, 1), "ms"), Absent("c", "no GPU")]
)
def test_a_row_comes_out_of_its_process_as_it_went_in(row: Row | Absent) -> None:
    assert one.from_line(one.to_line(row)) == row


def test_every_program_takes_every_turn_and_none_is_always_first() -> None:
    assert list(turns("abc", 4)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]

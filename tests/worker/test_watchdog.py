"""When a trainer counts as hung, on a clock of the test's own."""

from contract import events
from worker.watchdog import Watchdog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(step: int) -> events.Progress:
    return events.Progress(epoch=1, step=step, metrics={})


def test_silence_for_longer_than_the_limit_is_a_hang_and_any_word_is_a_sign_of_life() -> None:
    clock = Clock()
    dog = Watchdog(600, clock)
    clock.now = 600.0
    assert not dog.is_due
    clock.now = 601.0
    assert dog.is_due
    dog.hear(events.Beat(step=0))
    assert not dog.is_due


def test_slow_steps_are_given_twenty_times_their_median() -> None:
    clock = Clock()
    dog = Watchdog(600, clock)
    for step in range(1, 6):
        clock.now += 100.0
        dog.hear(progress(step))
    clock.now += 1_999.0
    assert not dog.is_due
    clock.now += 2.0
    assert dog.is_due
    assert dog.limit_seconds == 2_000.0


def test_the_time_of_a_step_is_that_between_reports_shared_among_their_steps() -> None:
    clock = Clock()
    dog = Watchdog(1, clock)
    dog.hear(progress(10))
    clock.now = 50.0
    dog.hear(progress(110))
    assert dog.limit_seconds == 20 * 0.5


def test_a_resume_to_an_earlier_step_counts_no_time() -> None:
    clock = Clock()
    dog = Watchdog(1, clock)
    dog.hear(progress(10))
    clock.now = 50.0
    dog.hear(progress(5))
    assert dog.limit_seconds == 1


def test_a_time_in_which_nobody_listened_is_forgiven() -> None:
    clock = Clock()
    dog = Watchdog(600, clock)
    clock.now = 900.0
    dog.forgive()
    assert not dog.is_due

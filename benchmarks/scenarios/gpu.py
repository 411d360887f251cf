"""The same training on a GPU, beside the example's loop and the same loop with its data there. Needs torch and pydantic alone."""

from collections.abc import Iterator
from statistics import median

import torch

from benchmarks import figures, lessons, ours
from benchmarks.figures import Absent, Goal, Row
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers import Peer, example_loop, handwritten, resident
from benchmarks.scenarios import Size
from benchmarks.turns import turns

TITLE = "Training alone on one GPU: the same network, rows, batches of 64 and epochs, each program in turn."
NEEDS_STACK = False
_EPOCHS = {Size.SMOKE: 1, Size.QUICK: 4, Size.FULL: 20}
_ROUNDS = {Size.SMOKE: 2, Size.QUICK: 3, Size.FULL: 5}
_PEERS: tuple[Peer, ...] = (example_loop, resident, handwritten)
_GOALS = {example_loop.NAME: Goal("at least", 40), resident.NAME: Goal("at least", 5)}


def run(size: Size) -> Iterator[Row | Absent]:
    """A row for each program, then one for each ratio; "no GPU" where there is none."""
    if not torch.cuda.is_available():
        yield Absent("training on a GPU", "no GPU")
        return
    programs = (ours, *_PEERS)
    lesson = lessons.fake(640, device="cuda") if size is Size.SMOKE else lessons.fashion(_EPOCHS[size], device="cuda")
    for program in programs:
        program.train(lessons.fake(640, device="cuda"))
    found = _measured(programs, lesson, _ROUNDS[size])
    for name, outcomes in found.items():
        speed = figures.spread([outcome.speed for outcome in outcomes])
        yield Row(
            f"{name}, {torch.cuda.get_device_name(0)}",
            speed,
            "samples/s",
            beside={"test accuracy": median(one.accuracy for one in outcomes)},
        )
    for peer in _PEERS:
        mine, theirs = ([outcome.speed for outcome in found[one]] for one in (ours.NAME, peer.NAME))
        yield Row(f"{ours.NAME} over {peer.NAME}", figures.ratios(mine, theirs), "x", _GOALS.get(peer.NAME))


def _measured(programs: tuple[Peer, ...], lesson: Lesson, rounds: int) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {program.NAME: [] for program in programs}
    for turn in turns(programs, rounds):
        for program in turn:
            found[program.NAME].append(program.train(lesson))
    return found

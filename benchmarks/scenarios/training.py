"""Samples a second of training alone, beside the programs that people would otherwise use, and what was learnt."""

from collections.abc import Iterator
from statistics import median

from benchmarks import figures, lessons, ours, peers
from benchmarks.figures import Absent, Goal, Row
from benchmarks.lessons import Outcome
from benchmarks.peers import Peer
from benchmarks.scenarios import Size
from benchmarks.turns import turns

TITLE = "Training alone: the tutorial's network, Adam, batches of 64; each program trains the same rows for the same epochs, in turn."
NEEDS_STACK = False
_PEERS = ("example_loop", "lightning", "skorch", "handwritten")
_GOALS = {"example_loop": Goal("at least", 5.8)}
_FULL_EPOCHS = 3
_DRAWN = {Size.SMOKE: 192, Size.QUICK: 2560}
"""Rows, where images are drawn: how fast a program trains does not depend on what it sees, how well it does only the full size tells."""
_ROUNDS = {Size.SMOKE: 2, Size.QUICK: 2, Size.FULL: 7}


def run(size: Size) -> Iterator[Row | Absent]:
    """A row for each program, then one for each ratio."""
    lesson = lessons.fake(_DRAWN[size]) if size in _DRAWN else lessons.fashion(_FULL_EPOCHS)
    others = {name: peers.load(name) for name in _PEERS}
    present = {name: peer for name, peer in others.items() if not peer.absent()}
    programs: list[Peer] = [ours, *present.values()]
    for program in programs:
        program.train(lessons.fake(128))
    found: dict[str, list[Outcome]] = {program.NAME: [] for program in programs}
    for turn in turns(programs, _ROUNDS[size]):
        for program in turn:
            found[program.NAME].append(program.train(lesson))
    yield from (Absent(peer.NAME, why) for peer in others.values() if (why := peer.absent()))
    yield from (_row(name, outcomes) for name, outcomes in found.items())
    yield from (_ratio(peer.NAME, found, _GOALS.get(name)) for name, peer in present.items())


def _row(name: str, outcomes: list[Outcome]) -> Row:
    speed = figures.spread([outcome.speed for outcome in outcomes])
    return Row(name, speed, "samples/s", beside={"test accuracy": median(outcome.accuracy for outcome in outcomes)})


def _ratio(name: str, found: dict[str, list[Outcome]], goal: Goal | None) -> Row:
    mine, theirs = ([outcome.speed for outcome in found[one]] for one in (ours.NAME, name))
    return Row(f"{ours.NAME} over {name}", figures.ratios(mine, theirs), "x", goal)

"""Which of the snapshots that wait to be written are still wanted: those that retention would leave, were all of them written."""

from collections.abc import Sequence
from math import isnan

from contract.spec.limits import Checkpoints
from worker.training.checkpoint import Snapshot


class Waiting:
    """Snapshots not written yet, the oldest first."""

    def __init__(self, policy: Checkpoints) -> None:
        self._policy = policy
        self._snapshots: list[Snapshot] = []

    def __bool__(self) -> bool:
        return bool(self._snapshots)

    @property
    def size_bytes(self) -> int:
        return sum(snapshot.size_bytes for snapshot in self._snapshots)

    def add(self, snapshot: Snapshot) -> None:
        """Takes in the newest, and lets go of those that are not wanted beside it."""
        self._snapshots = wanted([*self._snapshots, snapshot], self._policy)

    def oldest(self) -> Snapshot:
        """Takes it out."""
        return self._snapshots.pop(0)

    def clear(self) -> None:
        """Forget what waits, unwritten."""
        self._snapshots.clear()


def wanted(snapshots: Sequence[Snapshot], policy: Checkpoints) -> list[Snapshot]:
    """Those of `snapshots`, oldest first, that the policy may still want; what comes later only ever makes it want fewer.

    Of the regular ones the last and the best, as the store keeps them: of equal scores it counts the newer as better, and besides
    never lets go of the first that reached the best score. An interim one is there to resume from, and only the newest is wanted.
    """
    places = range(len(snapshots))
    regular = [place for place in places if not snapshots[place].interim]
    scores = {place: score for place in regular if (score := _score(snapshots[place], policy)) is not None}
    best = sorted(scores, key=lambda place: (scores[place], place), reverse=True)[: policy.keep_best]
    first = max(scores, key=lambda place: (scores[place], -place), default=None)
    kept = {*regular[-policy.keep_last :], *best, first, *places[-1:]}
    return [snapshots[place] for place in places if place in kept]


def _score(snapshot: Snapshot, policy: Checkpoints) -> float | None:
    """The monitored metric, turned so that more is better; None where there is none."""
    value = snapshot.standing.metrics.get(policy.monitor)
    if value is None or isnan(value):
        return None
    return value if policy.mode == "max" else -value

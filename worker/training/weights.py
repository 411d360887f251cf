"""Which weights a run is judged by and gives away: its own, or an average of them that training does not see."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from worker.training import averaging, optimizers
from worker.training.run import Run


@contextmanager
def evaluated(run: Run) -> Iterator[None]:
    """While inside, the network has the weights that it is judged by. Never yield to `fit`'s caller from inside.

    Tensors are exchanged and not their values, so that training finds its own to the bit.
    """
    given = given_away(run)
    places = averaging.averageable(run)
    own = {name: places[name].data for name in given}
    _put(places, given)
    try:
        yield
    finally:
        _put(places, own)


def given_away(run: Run) -> dict[str, Tensor]:
    """The averages by name, of those parameters and buffers that have one; empty where the run's own weights are the ones."""
    if run.average:
        return averaging.sparse(run)
    own = optimizers.averaged(run.spec.optimizer, run.optimizer, list(run.named.values()))
    return {} if own is None else dict(zip(run.named, own, strict=True))


def _put(places: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        places[name].data = value

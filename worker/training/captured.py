"""Whether the gradient of a batch is recorded once and then replayed as one launch.

A batch of 64 is some forty kernels of a few microseconds each, and a GPU waits for their launches longer than it works. All that comes
before the penalties (gather, standardise, forward, loss, backward, sums) depends on nothing that the host knows but the rows' numbers,
so a CUDA graph of it serves every whole batch of a job, with the kernels, and hence the bits, of the eager step. What follows it
(penalties, check, optimizer, proximal maps) takes a learning rate and strengths that change from step to step, and is launched as ever.

Only where RIDGELINE_CUDA_GRAPHS asks for it: the tests that hold a replay to the bits of the eager step have not been run on a GPU yet.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from contract.spec import optimizers
from worker.training import models, objective, wire
from worker.training.run import Run, Totals

# As torch's notes on CUDA graphs ask for: libraries choose and allocate in their first calls, which a graph cannot hold.
_WARM_UPS = 3

Work = Callable[[], None]
"""Does something to tensors that stay where they are."""
Recorder = Callable[[Work], Work]
"""Does a work once or more, and gives what repeats it on the same tensors."""


def of(run: Run) -> Callable[[Tensor], Totals] | None:
    """What leaves the gradient of a whole batch in each `.grad` and gives its rows' sums, from the rows' numbers; None where the run's
    steps are launched kernel by kernel."""
    if run.device.type != "cuda" or not is_static(run) or os.environ.get("RIDGELINE_CUDA_GRAPHS") != "1":
        return None
    try:
        return Recording(run, _graph).take
    except RuntimeError as error:  # an operation that cannot be recorded, or no memory for it: the eager step is as right
        wire.log(f"the step could not be recorded and is launched kernel by kernel ({str(error).splitlines()[0]})")
        run.model.zero_grad(set_to_none=True)
        return lambda indices: objective.backward(run, *run.data.train.take(indices))


def is_static(run: Run) -> bool:
    """Whether the same work on other rows is all that a step's gradient is: no second pass, no dropout's new seed, no epoch's draws."""
    is_batch, is_sam = run.spec.batch_size != "full", isinstance(run.spec.optimizer, optimizers.SAM)
    return is_batch and not is_sam and models.dropout(run.spec.model) == 0 and run.spec.dataset.augment is None


class Recording:
    """The work of one whole batch on tensors that stay where they are: row numbers in, gradients and sums out."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        assert run.spec.batch_size != "full"
        self._run = run
        self._parameters = list(run.named.values())
        # Any rows will do while it is recorded; what batch norm made of them is taken back.
        self._indices = torch.arange(run.spec.batch_size, device=run.device).remainder_(len(run.data.train))
        self._sums = Totals.zero(run.device)
        buffers = list(run.model.buffers())
        kept = [buffer.clone() for buffer in buffers]
        try:
            self._replay = recorder(self._work)
        finally:
            _copy(buffers, kept)
        self._gradients = [parameter.grad for parameter in self._parameters]

    def take(self, indices: Tensor) -> Totals:
        """The gradient of the mean loss over the rows `indices`, [batch_size], in each `.grad`; their sums, good until the next call."""
        self._indices.copy_(indices)
        self._replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            # Others set it to None between steps, and a graph knows addresses alone.
            parameter.grad = gradient
        return self._sums

    def _work(self) -> None:
        # Gradients that are not there are written and not added to, so that a replay writes over those of the last one.
        self._run.model.zero_grad(set_to_none=True)
        self._sums = objective.backward(self._run, *self._run.data.train.take(self._indices))


def _graph(work: Work) -> Work:
    """Records `work` as a CUDA graph, after it was done some times on a stream beside."""
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph: Any = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Work = graph.replay
    return replay


@torch.no_grad()
def _copy(into: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for place, value in zip(into, values, strict=True):
        place.copy_(value)

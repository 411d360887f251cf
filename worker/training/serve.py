"""How orders become events: jobs one after another in a warm process, until stdin ends.

Events carry no job, so each belongs to the last Train. A Stop is answered once: for the job under way, with its checkpoint if
asked; for a job this process has never trained, with Stopped while idle. A Stop that arrives after the job's last word (Finished,
Failed or Stopped) says nothing, for that word was final; and a Stop for another job than the one under way is only logged.
"""

import errno
import gc
import os
import traceback
from collections import deque
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch

from contract import events
from contract.events import FailureCode
from contract.spec import JobSpec
from worker import orders
from worker.training import build, datasets, faults, lifeline, measured, precision, wire
from worker.training.faults import TrainingError
from worker.training.fit import fit
from worker.training.measured import Measured
from worker.training.run import Run
from worker.training.said import Said, Tick
from worker.training.saver import Saver

_BEAT_SECONDS = 10.0


def serve(voice: wire.Voice, inbox: wire.Inbox) -> None:
    """Takes orders for as long as the process lives."""
    _prepare()
    voice.say(
        events.TrainerReady(
            device=precision.describe(precision.device("auto")), torch=torch.__version__, cpu_capability=precision.cpu_capability()
        )
    )
    trainer = Trainer(voice, inbox)
    while True:
        trainer.follow()


class Trainer:
    """Trains the jobs it is told to, in turn."""

    def __init__(self, voice: wire.Voice, inbox: wire.Inbox) -> None:
        self._voice = voice
        self._inbox = inbox
        self._waiting: deque[orders.Order | wire.Unreadable] = deque()
        self._ended: str | None = None
        self._threads = torch.get_num_threads()
        self._said_at = monotonic()
        self._measured: Measured | None = None
        """Of this machine, once there was time to see to it."""

    def follow(self) -> None:
        """Takes the next order and sees it through."""
        match self._waiting.popleft() if self._waiting else self._idle():
            case orders.Train() as order:
                self._train(order)
            case orders.Stop() as order:
                if order.job_id != self._ended:
                    self._voice.say(events.Stopped(step=0))
            case wire.Unreadable():
                self._voice.say(
                    events.Failed(
                        code=FailureCode.SPEC_INVALID,
                        message="the trainer cannot read its order",
                        hint="Run service and workers of the same version.",
                        step=0,
                    )
                )

    def _idle(self) -> orders.Order | wire.Unreadable:
        if self._measured is None:
            self._measured = measured.settled(lambda: not self._inbox.empty())
        return self._inbox.get()

    def _train(self, order: orders.Train) -> None:
        run: Run | None = None
        try:
            source = Path(order.checkpoint) if order.checkpoint else None
            data = Path(order.data) if order.data else None
            weights = Path(order.weights) if order.weights else None
            run = build.run(order.spec, Path(order.scratch), source, order.begun_with_epochs, weights, data, self._measured)
            self._drive(order, run)
        except Exception as error:  # whatever it is, the job fails with a reason and the process takes the next one
            if not isinstance(error, TrainingError):
                traceback.print_exc()
            if faults.is_device_lost(error):
                os._exit(1)  # CUDA does not recover within a process: the job goes on in the next one
            self._voice.say(failed(error, run.step if run else 0))
        self._ended = order.job_id
        del run
        # A resumed job computes with as many threads as it began with; the next one is this worker's own again.
        torch.set_num_threads(self._threads)
        _tidy()

    def _drive(self, order: orders.Train, run: Run) -> None:
        saver = Saver(run, order.checkpoint_seconds, share=order.checkpoint_share)
        with closing(fit(run, saver)) as training:
            for said in training:
                self._say(said, run)
                if isinstance(said, events.Finished):
                    return
                if stop := self._stop(order.job_id):
                    for written in saver.end() if stop.save else ():
                        self._say(written, run)
                    break
        # Said once no write is under way: the scratch folder is removed next.
        self._say(events.Stopped(step=run.step), run)

    def _say(self, said: Said, run: Run) -> None:
        """Passes on what is news, and a sign of life where nothing has been for long though the work goes on."""
        if isinstance(said, Tick):
            if monotonic() - self._said_at < _BEAT_SECONDS:
                return
            said = events.Beat(step=run.step)
        self._voice.say(said)
        self._said_at = monotonic()

    def _stop(self, job_id: str) -> orders.Stop | None:
        """The Stop for the job under way, if one has come. Another Train waits its turn."""
        while not self._inbox.empty():
            match self._inbox.get():
                case orders.Stop(job_id=asked) as stop if asked == job_id:
                    return stop
                case orders.Train() as order:
                    self._waiting.append(order)
                case _:
                    wire.log(f"ignored an order that is not for {job_id}, the job under way")
        return None


def failed(error: Exception, step: int) -> events.Failed:
    """What the user is told of an error, and in which class it falls."""
    match error:
        case TrainingError():
            return events.Failed(code=error.code, message=str(error), hint=error.hint, step=step)
        case ValueError() if "more than 1 value per channel" in str(error):
            message = f"the batch norm of step {step + 1} received a single value per channel, which has no spread to divide by"
            return events.Failed(
                code=FailureCode.SPEC_INVALID, message=message, hint="Take another batch_size, larger images, or norm none.", step=step
            )
        case _ if faults.is_out_of_memory(error):
            return _out_of_memory(step)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            message = f"no space left for a checkpoint of step {step}"
            return events.Failed(code=FailureCode.DISK_FULL, message=message, hint="Free space on the worker's scratch disk.", step=step)
        case OSError():
            # Not the job's fault: a disk that fails or was taken away, too many open files. Another try may end otherwise.
            message = f"a file could not be read or written at step {step}: {os.strerror(error.errno or 0)}"
            return events.Failed(
                code=FailureCode.DEPENDENCY_DOWN, message=message, hint="The job is tried again; check the worker's disks.", step=step
            )
        case _:
            return events.Failed(
                code=FailureCode.INTERNAL,
                message=f"the trainer failed with {type(error).__name__}",
                hint="The worker's log has the trace.",
                step=step,
            )


def _out_of_memory(step: int) -> events.Failed:
    hint = "Take a smaller batch_size or network, or a worker with more memory."
    return events.Failed(code=FailureCode.OUT_OF_MEMORY, message=f"memory ran out at step {step}", hint=hint, step=step)


def _prepare() -> None:
    threads = os.environ.get("RIDGELINE_TRAINER_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    # The first steps of a process load kernels; better now than in a job's time.
    spec = JobSpec.model_validate(
        {"dataset": {"kind": "fake", "train_rows": 4, "test_rows": 1, "validation_fraction": 0.0}, "batch_size": 2}
    )
    with TemporaryDirectory(prefix="ridgeline-warm-") as scratch:
        for _ in zip(range(4), fit(build.run(spec, Path(scratch))), strict=False):
            pass
    datasets.forget()


def _tidy() -> None:
    gc.collect()
    lifeline.give_back_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

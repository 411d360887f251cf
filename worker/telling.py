"""What the store is told of an attempt: the trainer's events gathered into the news of one renewal."""

from dataclasses import dataclass, field, replace

from contract import events
from contract.job import Json
from contract.lifecycle import Report
from contract.store.metrics import Sample
from contract.store.rows import Note


@dataclass
class News:
    """What has not been told yet. A renewal that fails leaves it as it was, so nothing is lost while the database is away."""

    latest_metrics: Json
    """Of the whole job: each metric's newest value."""
    report: Report = field(default_factory=Report)
    notes: list[Note] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def add(self, event: events.Event) -> None:
        """Take in what the trainer said; events that are no news of the training itself change nothing."""
        match event:
            case events.Started():
                self._started(event)
            case events.Progress():
                self.samples.append(Sample(event.step, "step", event.epoch, event.metrics))
                self._measured(event.metrics, epoch=event.epoch - 1, step=event.step)
            case events.EpochDone():
                self.samples.append(Sample(event.step, "epoch", event.epoch, event.metrics))
                data = {"epoch": event.epoch, "step": event.step, "seconds": event.seconds, "metrics": event.metrics}
                self.notes.append(Note("epoch", f"epoch {event.epoch} done in {event.seconds:.1f} s", data))
                self._measured(event.metrics, epoch=event.epoch, step=event.step)
            case events.Warned():
                self.warn(event.message)
            case _:
                return

    def warn(self, message: str) -> None:
        self.notes.append(Note("warning", message, level="warning"))

    def told(self) -> None:
        """Everything has been written down."""
        self.report, self.notes, self.samples = Report(), [], []

    def _started(self, event: events.Started) -> None:
        data, machine = event.data.model_dump(), event.machine.model_dump()
        self.report = replace(
            self.report,
            epoch=event.epoch,
            step=event.step,
            steps=event.steps,
            data=data,
            machine=machine,
            env_fingerprint=event.machine.fingerprint(),
            parameters=event.parameters,
        )
        rows = f"{event.data.train_rows:,} + {event.data.validation_rows:,} + {event.data.test_rows:,} rows"
        where = f"resumed at step {event.step}" if event.step else "started"
        message = f"{where} on {event.machine.device}, {event.data.name} from {event.data.source} ({rows})"
        self.notes.append(Note("log", message, {"data": data, "machine": machine, "step": event.step}))

    def _measured(self, metrics: events.Metrics, *, epoch: int, step: int) -> None:
        self.latest_metrics = {**self.latest_metrics, **metrics}
        self.report = replace(self.report, epoch=epoch, step=step, latest_metrics=self.latest_metrics)

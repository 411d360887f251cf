"""What the store is told of an attempt: the trainer's events gathered into batches, each told once."""

from dataclasses import dataclass, field, replace

from contract import events
from contract.job import Json
from contract.lifecycle import Report
from contract.store.metrics import Sample
from contract.store.rows import Note

_LONGEST_LINE = 1000
"""Characters of a line that is kept."""


@dataclass
class Batch:
    """The news of one renewal. `number` counts from 1 within a lease; a batch without news has none."""

    number: int | None = None
    report: Report = field(default_factory=Report)
    notes: list[Note] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def is_news(self) -> bool:
        """Whether there is anything in it to tell."""
        return bool(self.notes or self.samples) or self.report != Report()


class News:
    """What has not been told yet. A batch whose telling failed is told again as it was, since it may have been written; what has
    happened meanwhile waits for the next. So nothing is lost or doubled while the database is away."""

    def __init__(self, latest_metrics: Json) -> None:
        self.latest_metrics = latest_metrics
        """Of the whole job: each metric's newest value."""
        self._gathered = Batch()
        self._outgoing: Batch | None = None
        self._told = 0

    def batch(self) -> Batch:
        """What to tell now: the batch whose answer is missing, or all that was gathered since."""
        if self._outgoing is None and self._gathered.is_news:
            self._outgoing, self._gathered = replace(self._gathered, number=self._told + 1), Batch()
        return self._outgoing or Batch()

    def told(self) -> None:
        """The batch has been written down."""
        self._told += self._outgoing is not None
        self._outgoing = None

    @property
    def is_all_told(self) -> bool:
        """Whether the store has acknowledged all that was gathered."""
        return self._outgoing is None and not self._gathered.is_news

    def add(self, event: events.Event) -> None:
        """Take in what the trainer said; events that are no news of the training itself change nothing."""
        match event:
            case events.Started():
                self._started(event)
            case events.Progress():
                self._gathered.samples.append(Sample(event.step, "step", event.epoch, event.metrics))
                self._measured(event.metrics, epoch=event.epoch - 1, step=event.step)
            case events.EpochDone():
                self._gathered.samples.append(Sample(event.step, "epoch", event.epoch, event.metrics))
                data = {"epoch": event.epoch, "step": event.step, "seconds": event.seconds, "metrics": event.metrics}
                self._gathered.notes.append(Note("epoch", f"epoch {event.epoch} done in {event.seconds:.1f} s", data))
                self._measured(event.metrics, epoch=event.epoch, step=event.step)
            case events.Warned():
                self.warn(event.message)
            case _:
                return

    def warn(self, message: str, data: Json | None = None) -> None:
        """Gather a warning, to be told as an event of the job with the next renewal."""
        self._gathered.notes.append(Note("warning", message, data or {}, level="warning"))

    def last_words(self, cause: str, tail: str) -> None:
        """Keep what a trainer wrote before it died: the machine's log may be nobody's to read."""
        lines = [line[:_LONGEST_LINE] for line in tail.splitlines()]
        self._gathered.notes.append(Note("log", f"{cause}; its last words:", {"stderr": lines}, level="error"))

    def _started(self, event: events.Started) -> None:
        data, machine = event.data.model_dump(), event.machine.model_dump()
        self._gathered.report = replace(
            self._gathered.report,
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
        self._gathered.notes.append(Note("log", message, {"data": data, "machine": machine, "step": event.step}))

    def _measured(self, metrics: events.Metrics, *, epoch: int, step: int) -> None:
        self.latest_metrics = {**self.latest_metrics, **metrics}
        self._gathered.report = replace(self._gathered.report, epoch=epoch, step=step, latest_metrics=self.latest_metrics)

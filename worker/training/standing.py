"""Where a run stands: everything about it that is neither a tensor nor decided by its spec, written into each checkpoint as it is."""

from math import isnan

from pydantic import BaseModel, ConfigDict

from contract import events
from contract.spec import limits
from contract.spec.base import Mode
from worker.training import schedules


class Standing(BaseModel):
    """Always at a step boundary. `batch` equal to the steps of an epoch means: trained, and not yet validated."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    epoch: int = 0
    """Epochs trained and validated."""
    batch: int = 0
    """Steps done in the epoch that follows."""
    checkpoint_due: bool = False
    """Whether the policy wants the finished epoch kept and that has not happened yet."""
    metrics: events.Metrics = {}
    """Of the last finished epoch."""
    best_epoch: int = 0
    best_metrics: events.Metrics = {}
    watched: float | None = None
    """The best value early stopping has seen."""
    stale_epochs: int = 0
    """Epochs since then."""
    plateau: schedules.Watched = schedules.Watched()
    """What a `plateau` schedule has seen."""
    resumed_at_steps: tuple[int, ...] = ()

    def close_epoch(self, metrics: events.Metrics, policy: limits.Checkpoints, stopping: limits.EarlyStopping | None, epochs: int) -> None:
        """Takes in a validated epoch: counts it, and decides what it means for the best epoch, for stopping and for checkpoints."""
        self.epoch, self.batch, self.metrics = self.epoch + 1, 0, metrics
        value = metrics[policy.monitor]
        is_best = not self.best_metrics or improves(value, self.best_metrics[policy.monitor], policy.mode)
        if is_best:
            self.best_epoch, self.best_metrics = self.epoch, metrics
        if stopping:
            self._watch(metrics[stopping.monitor], stopping)
        is_last = self.epoch >= epochs or self.is_stale(stopping)
        self.checkpoint_due = is_best or is_last or self.epoch % policy.every_epochs == 0

    def is_stale(self, stopping: limits.EarlyStopping | None) -> bool:
        """Whether early stopping has run out of patience."""
        return stopping is not None and self.stale_epochs >= stopping.patience

    def _watch(self, value: float, stopping: limits.EarlyStopping) -> None:
        if self.watched is None or improves(value, self.watched, stopping.mode, stopping.min_delta):
            self.watched, self.stale_epochs = value, 0
        else:
            self.stale_epochs += 1


def improves(value: float, best: float, mode: Mode, min_delta: float = 0.0) -> bool:
    """Whether `value` beats `best` by more than `min_delta`. Any number beats NaN; NaN beats nothing."""
    if isnan(best) or isnan(value):
        return isnan(best) and not isnan(value)
    return value < best - min_delta if mode == "min" else value > best + min_delta

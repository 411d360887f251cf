"""Where a run stands: everything about it that is neither a tensor nor decided by its spec, written into each checkpoint as it is."""

from math import inf, isnan

from pydantic import BaseModel, ConfigDict

from contract import events
from contract.spec import JobSpec, limits
from contract.spec.base import Mode
from worker.training import schedules

GRADIENT_MAPPING = "train.gradient_mapping"


class Standing(BaseModel):
    """Always at a step boundary. `batch` equal to the steps of an epoch means: trained, and not yet validated."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    epoch: int = 0
    """Epochs trained and validated."""
    batch: int = 0
    """Steps done in the epoch that follows."""
    polished_from: int | None = None
    """Epochs done when polish began; None before that."""
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
    bitwise: bool = True
    """Whether every resume went on to the bit."""

    def close_epoch(self, metrics: events.Metrics, spec: JobSpec) -> None:
        """Takes in a validated epoch: counts it, and decides what it means for the best epoch, for stopping and for checkpoints."""
        self.epoch, self.batch, self.metrics = self.epoch + 1, 0, metrics
        policy = spec.checkpoints
        is_best = not self.best_metrics or improves(metrics[policy.monitor], self.best_metrics[policy.monitor], policy.mode)
        if is_best:
            self.best_epoch, self.best_metrics = self.epoch, metrics
        if spec.early_stopping and self.polished_from is None:
            self._watch(metrics[spec.early_stopping.monitor], spec.early_stopping)
        ends_a_phase = self.is_over(spec) or (self.polished_from is None and self.has_settled(spec))
        self.checkpoint_due = is_best or ends_a_phase or self.epoch % policy.every_epochs == 0

    def is_over(self, spec: JobSpec) -> bool:
        """Whether nothing is left to train: the main phase has ended, and the polish after it if there is one."""
        if spec.polish is None:
            return self.has_settled(spec)
        return self.polished_from is not None and self.epoch >= self.polished_from + spec.polish.epochs

    def has_settled(self, spec: JobSpec) -> bool:
        """Whether the main phase has come to its end, in whichever way."""
        return self.epoch >= spec.epochs or self._is_stale(spec) or self._is_stationary(spec)

    def stop_reason(self, spec: JobSpec) -> events.StopReason:
        """What ended the main phase."""
        main_epochs = self.epoch if self.polished_from is None else self.polished_from
        if main_epochs >= spec.epochs:
            return events.StopReason.EPOCHS
        return events.StopReason.EARLY_STOPPING if self._is_stale(spec) else events.StopReason.TOLERANCE

    def _is_stale(self, spec: JobSpec) -> bool:
        return spec.early_stopping is not None and self.stale_epochs >= spec.early_stopping.patience

    def _is_stationary(self, spec: JobSpec) -> bool:
        return spec.tolerance is not None and self.metrics.get(GRADIENT_MAPPING, inf) <= spec.tolerance.gradient_mapping

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

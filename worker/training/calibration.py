"""What class probabilities are worth: how often they are right, how likely they find the truth, and whether they mean what they say."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract import events

BINS = 15


@dataclass
class Tally:
    """Sums over rows, kept on the device: nothing of a chunk stays but these, whatever the size of the set."""

    confusion: Tensor
    """Rows by true class and predicted class, [classes, classes]."""
    nll: Tensor
    """Σ -log p_y, with p the softmax of the network's outputs, whatever loss it was trained by."""
    brier: Tensor
    """Σ over rows and classes of (p_c - 1[c = y])², from 0 to 2 a row (Brier, 1950)."""
    bins: Tensor
    """Rows, highest probabilities and right answers by bin of that probability, [BINS, 3]: bin k holds [k, k + 1)/BINS, the last one 1
    too."""

    @classmethod
    def zero(cls, classes: int, device: torch.device) -> "Tally":
        """Nothing counted yet, in float64 on the device: counts [classes, classes], bins [BINS, 3]."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        return cls(zeros(classes, classes), zeros(), zeros(), zeros(BINS, 3))

    def add(self, logits: Tensor, classes: Tensor) -> None:
        """Takes in rows: logits [n, classes], true classes [n]. In float64: a bin's edge must not depend on the precision."""
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        # Comparisons and products in place of scatters, whose order on a GPU varies from run to run.
        truth = _one_hot(classes, logits.shape[1])
        highest, guess = p.max(1)
        bins = _one_hot((highest * BINS).long().clamp_max(BINS - 1), BINS)
        self.confusion += truth.T @ _one_hot(guess, logits.shape[1])
        self.nll -= (torch.where(truth > 0, log_p, 0.0)).sum()
        self.brier += (p - truth).square().sum()
        self.bins += bins.T @ torch.stack([torch.ones_like(highest), highest, (guess == classes).double()], 1)

    def metrics(self, prefix: str) -> events.Metrics:
        """`nll` and `brier`, means over the rows, and `ece` = Σ_bins (n_b/n)·|accuracy_b - confidence_b| (Guo et al., 2017)."""
        rows = float(self.confusion.sum())
        _, confidence, right = self.bins.unbind(1)
        ece = float((confidence - right).abs().sum())
        return {f"{prefix}.nll": float(self.nll) / rows, f"{prefix}.brier": float(self.brier) / rows, f"{prefix}.ece": ece / rows}

    def counts(self) -> tuple[tuple[int, ...], ...]:
        """The confusion matrix in whole numbers."""
        return tuple(tuple(row) for row in self.confusion.long().tolist())

    def classes(self) -> tuple[events.ClassFigures, ...]:
        """Each class's figures, 0 where they divide by nothing."""
        right = self.confusion.diagonal().tolist()
        predicted, support = self.confusion.sum(0).tolist(), self.confusion.sum(1).tolist()
        return tuple(
            events.ClassFigures(
                label=label,
                precision=hits / guessed if guessed else 0.0,
                recall=hits / rows if rows else 0.0,
                f1=2 * hits / (guessed + rows) if guessed + rows else 0.0,
                support=int(rows),
            )
            for label, (hits, guessed, rows) in enumerate(zip(right, predicted, support, strict=True))
        )


def _one_hot(classes: Tensor, count: int) -> Tensor:
    """[n, count] of 0 and 1 in float64."""
    return (classes.unsqueeze(1) == torch.arange(count, device=classes.device)).double()

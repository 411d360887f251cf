"""What the tests of convex problems share: a run's data as scikit-learn takes them, and the objective in NumPy alone."""

import numpy as np

from worker.training.run import Run

# Under `max` a falling loss makes the first epoch the best one: no checkpoint at each step of thousands.
QUIET = {"every_epochs": 10_000, "monitor": "train.loss", "mode": "max"}


def arrays(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The standardised training rows [n, features] and their targets."""
    images, targets = run.data.train.between(0, len(run.data.train))
    return images.flatten(1).numpy(), targets.numpy()


def logistic(X: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
    """The mean cross entropy of a multinomial logistic regression."""
    logits = X @ weight.T + bias
    highest = logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits - highest).sum(1)) + highest[:, 0] - logits[np.arange(len(y)), y]))

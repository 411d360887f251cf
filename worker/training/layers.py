"""What became of each layer's weights: how many are zero, which units are dead, and how large they are."""

from collections.abc import Iterator
from typing import assert_never

import torch
from torch import Tensor

from contract import events
from contract.spec import models, plan
from worker.training.run import Run

_NEAR_ZERO = 1e-3


@torch.no_grad()
def of(run: Run) -> tuple[events.LayerWeights, ...]:
    """Every layer but the norms, as the network's weights are now."""
    dead = _dead(run)
    return tuple(_figures(layer.name, weight, dead.get(layer.name, 0)) for layer, weight in _weights(run))


def share_of_zeros(run: Run) -> float:
    """Exact zeros among all weights, biases and norms left out."""
    weights = [weight for _, weight in _weights(run)]
    zeros = sum(weight.numel() - int(weight.count_nonzero()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def _weights(run: Run) -> list[tuple[plan.Layer, Tensor]]:
    return [(layer, run.named[f"{layer.name}.weight"].detach()) for layer in run.network if not layer.norm]


def _figures(name: str, weight: Tensor, dead: int) -> events.LayerWeights:
    return events.LayerWeights(
        name=name,
        size=weight.numel(),
        zeros=weight.numel() - int(weight.count_nonzero()),
        near_zero=int((weight.abs() < _NEAR_ZERO).sum()),
        l1=float(torch.linalg.vector_norm(weight, 1, dtype=torch.float64)),
        l2=float(torch.linalg.vector_norm(weight, 2, dtype=torch.float64)),
        filters=len(weight),
        dead_filters=dead,
        sigma_max=_sigma_max(weight),
    )


def _sigma_max(weight: Tensor) -> float:
    """The largest singular value of the weight as a matrix [outputs, inputs·k·k], from the smaller of its two Gram matrices.

    Squaring costs the small singular values their digits and the largest none: its relative error stays that of float64.
    """
    matrix = weight.flatten(1).double()
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    # A weight that has run away would make the eigenvalue solver fail where its norms merely say so.
    return float(torch.linalg.eigvalsh(gram)[-1].clamp_min(0).sqrt()) if bool(gram.isfinite().all()) else float("nan")


def _dead(run: Run) -> dict[str, int]:
    """Units (filters, neurons) of each hidden layer that give 0 to the next one, whatever the input: they can be removed.

    Such a unit is constant, since all its weights are zero or the scale of the norm behind it is; and that constant (its bias, as the
    norm's running statistics shift it) is not above 0 where a ReLU follows, and is 0 where anything else does. Zero weights under a
    positive bias are no dead unit: its constant reaches the next layer, at a padded border other than elsewhere. Outputs of the
    network are classes or targets and never dead.
    """
    norms, rectified = plan.norms_behind(run.network), set(_rectified(run))
    return {layer.name: _count_dead(run, layer, norms.get(layer.name), layer.name in rectified) for layer, _ in _weights(run)[:-1]}


def _count_dead(run: Run, layer: plan.Layer, norm: str | None, rectified: bool) -> int:
    weight, bias = run.named[f"{layer.name}.weight"], run.named.get(f"{layer.name}.bias")
    is_constant = weight.flatten(1).count_nonzero(1) == 0
    constant = torch.zeros_like(weight.flatten(1)[:, 0]) if bias is None else bias
    if norm is not None:
        behind = run.model.get_submodule(norm)
        scale = run.named[f"{norm}.weight"]
        deviation = (behind.get_buffer("running_var") + float(getattr(behind, "eps", 0.0))).sqrt()
        is_constant = is_constant | (scale == 0)
        constant = scale * (constant - behind.get_buffer("running_mean")) / deviation + run.named[f"{norm}.bias"]
    return int((is_constant & ((constant <= 0) if rectified else (constant == 0))).sum())


def _rectified(run: Run) -> Iterator[str]:
    """The layers whose output goes into a ReLU before anything else sees it."""
    model = run.spec.model
    for layer, _ in _weights(run):
        match model:
            case models.ResNet18():
                # Within a block the second convolution is added to what bypasses it, and a negative constant there is not nothing.
                if layer.name.rpartition(".")[2] == "conv1":
                    yield layer.name
            case models.CNN() | models.MLP():
                if model.activation == "relu":
                    yield layer.name
            case models.TutorialCNN():
                yield layer.name
            case models.Linear():
                pass
            case _:
                assert_never(model)

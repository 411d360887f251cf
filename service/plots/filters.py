"""The picture of what a network looks for first: the filters of its first layer, in its best checkpoint."""

import re
from math import ceil, isqrt, sqrt
from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifacts
from contract.errors import GoneError, NotFoundError
from contract.job import Job
from contract.store import Store, checkpoints
from service import tensors
from service.errors import NoResultError, NotFinishedError
from service.plots.canvas import Drawing, Theme
from service.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from service.tensors import Floats

MOST: Final = 64
_FILE: Final = "model.safetensors"


def read(store: Store, artifacts: Artifacts, job: Job) -> Drawing:
    """The first layer of the job's best checkpoint. Raises NotFinishedError or NoResultError where there is none, or no filters in it."""
    if job.checkpoint_id is None and job.best_checkpoint_id is None:
        raise _nothing(job)
    checkpoint = checkpoints.get(store, job, "best")
    key = f"{checkpoint.prefix}/{_FILE}"
    try:
        first = _first(tensors.listed(artifacts, key))
        weights_KCHW = _images(tensors.rows(artifacts, key, first, MOST))
    except NotFoundError:
        raise GoneError(f"the bytes of checkpoint {checkpoint.id} are not kept any longer") from None
    title = f"{first.name} after epoch {checkpoint.epoch}"
    if first.shape[0] > len(weights_KCHW):
        title += f", {len(weights_KCHW)} of {first.shape[0]}"
    sha256 = next((file.sha256 for file in checkpoint.files if file.name == _FILE), checkpoint.id)
    content = {"title": title, "sha256": sha256, "shape": list(weights_KCHW.shape)}
    return Drawing(content, lambda figure, theme: _draw(figure, theme, title, weights_KCHW))


def _first(found: list[Tensor]) -> Tensor:
    """The weight that meets the image: of the convolutions if there are any, else of the dense layers, the first by number."""
    weights = [tensor for tensor in found if tensor.name.endswith("weight") and len(tensor.shape) in {2, 4}]
    if not weights:
        raise NoResultError("the network has no layer with filters")
    return min(weights, key=lambda tensor: (-len(tensor.shape), [int(digits) for digits in re.findall(r"\d+", tensor.name)], tensor.name))


def _images(rows: "Floats") -> "Floats":
    """As [filters, channels, height, width]. A dense layer's row is an image again where the pixels make a square one, else a strip."""
    if rows.ndim == 4:
        return rows
    pixels = rows.shape[1]
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if channels * side * side == pixels:
            return rows.reshape(-1, channels, side, side)
    return rows.reshape(-1, 1, 1, pixels)


def _draw(figure: "Figure", theme: Theme, title: str, weights_KCHW: "Floats") -> None:
    # As many columns as make the tiles about square on the paper that there is.
    width, height = figure.get_size_inches()
    count = len(weights_KCHW)
    columns = min(count, ceil(sqrt(count * width / height)))
    grid = figure.subplots(ceil(count / columns), columns, squeeze=False)
    figure.suptitle(title, color=theme.text, fontsize=10)
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < count:
            _show(axes, weights_KCHW[place])


def _show(axes: "Axes", weight_CHW: "Floats") -> None:
    """Three channels are colours, grey where they are 0; of any others the mean, blue below 0 and red above."""
    import numpy as np

    weight_CHW = np.nan_to_num(weight_CHW)
    largest = float(np.abs(weight_CHW).max()) or 1.0
    options: dict[str, Any] = {"interpolation": "nearest", "aspect": "equal" if weight_CHW.shape[1] > 1 else "auto"}
    if len(weight_CHW) == 3:
        axes.imshow(0.5 + 0.5 * weight_CHW.transpose(1, 2, 0) / largest, **options)
    else:
        mean = weight_CHW.mean(axis=0)
        bound = float(np.abs(mean).max()) or 1.0
        axes.imshow(mean, cmap="RdBu_r", vmin=-bound, vmax=bound, **options)


def _nothing(job: Job) -> NotFinishedError | NoResultError:
    if job.is_terminal:
        return NoResultError(f"the job is {job.state.value} and left no checkpoint whose filters could be drawn")
    return NotFinishedError(f"the job is {job.state.value} and has no checkpoint yet; its events tell of the first one")

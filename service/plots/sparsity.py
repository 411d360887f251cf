"""The picture of a job's zeros: for each layer the share of weights that are exactly 0, and of those that nearly are."""

from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifacts
from contract.job import Job
from contract.store import Store
from service.plots import canvas, outcome
from service.plots.canvas import Drawing, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS: Final = 30


def read(store: Store, artifacts: Artifacts, job: Job) -> Drawing:  # noqa: ARG001  one signature for every picture
    """The share of zeros in each layer of the result. Raises NotFinishedError before there is one, NoResultError where none will come."""
    layers = outcome.of(store, job)["layers"]
    content = {
        "title": canvas.printable(job.name or job.id),
        "layers": [
            {"name": layer["name"], "zeros": layer["zeros"] / layer["size"], "near": layer["near_zero"] / layer["size"]} for layer in layers
        ],
    }
    return Drawing(content, lambda figure, theme: _draw(figure, theme, content))


def _draw(figure: "Figure", theme: Theme, content: dict[str, Any]) -> None:
    layers = content["layers"]
    axes = figure.subplots()
    rows = range(len(layers))
    axes.barh(rows, [100 * layer["near"] for layer in layers], color=theme.line, label="below 0.001")
    bars = axes.barh(rows, [100 * layer["zeros"] for layer in layers], color=theme.accent, height=0.5, label="exactly 0")
    if len(layers) <= MOST_LABELS:
        axes.bar_label(bars, [f"{100 * layer['zeros']:.1f} %" for layer in layers], padding=4, fontsize=8, color=theme.text)
    axes.set_yticks(rows, [layer["name"] for layer in layers], fontsize=8 if len(layers) <= MOST_LABELS else 5)
    axes.invert_yaxis()
    axes.set(title=content["title"], xlabel="% of the layer's weights", xlim=(0, 108))
    axes.legend(fontsize=8, loc="lower right")

"""The picture of a job's confusion matrix: counts as numbers, the share of each true class as colour."""

from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifacts
from contract.job import Job
from contract.store import Store
from service.errors import NoResultError
from service.plots import canvas, outcome
from service.plots.canvas import Drawing, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS: Final = 20
"""Classes beyond which a number has no room in its cell."""
_CLASSES: Final = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip


def read(store: Store, artifacts: Artifacts, job: Job) -> Drawing:  # noqa: ARG001  one signature for every picture
    """The counts of the job's result. Raises NotFinishedError before there is one, NoResultError where targets are no classes or none will
    come."""
    body = outcome.of(store, job)
    counts = body.get("confusion")
    if not counts:
        raise NoResultError("the job learnt real targets; only classes can be confused")
    content = {"title": canvas.printable(job.name or job.id), "counts": counts, "names": _names(body, len(counts))}
    return Drawing(content, lambda figure, theme: _draw(figure, theme, content))


def _names(body: dict[str, Any], classes: int) -> list[str]:
    known = _CLASSES.get(str(body.get("data", {}).get("name")), ())
    return list(known) if len(known) == classes else [str(label) for label in range(classes)]


def _draw(figure: "Figure", theme: Theme, content: dict[str, Any]) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    counts, names = np.array(content["counts"]), content["names"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("rising", [theme.page, theme.accent]), vmin=0, vmax=1, aspect="auto")
    axes.set(title=content["title"], xlabel="called", ylabel="true class")
    if len(names) <= MOST_NUMBERS:
        axes.set_xticks(
            range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0, ha="right" if max(map(len, names)) > 3 else "center"
        )
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            # The page's own colours, turned around where a cell is full.
            colour = theme.page if shares[row, column] > 0.5 else theme.text
            axes.text(column, row, f"{count:,}" if count else "·", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, label="share of the true class")

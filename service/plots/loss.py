"""The picture of a job's loss: each term by itself over the epochs, what is not finite left out and counted."""

from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifacts
from contract.job import Job
from contract.store import Store, thinning
from service.errors import NoResultError, NotFinishedError
from service.plots import canvas
from service.plots.canvas import Drawing, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS: Final = 2000
WIDE: Final = 100
"""How many times the smallest term's last value the largest value must be for a logarithmic scale to show more than a straight one."""


def read(store: Store, artifacts: Artifacts, job: Job) -> Drawing:  # noqa: ARG001  one signature for every picture
    """By epochs; by the reports within them while there are fewer than two."""
    points = thinning.thinned(store, job.id, "epoch", 0, None, [], MAX_POINTS, {})
    if len(points) < 2:
        points = thinning.thinned(store, job.id, "step", 0, None, [], MAX_POINTS, {}) or points
    if not points:
        raise _nothing(job)
    each = job.steps / job.epochs if job.steps else 1.0
    names = sorted({name for point in points for name in point.values if _is_term(name)}, key=_rank)
    content = {
        "title": canvas.printable(job.name or job.id),
        "epochs": [point.epoch if point.scope == "epoch" else point.step / each for point in points],
        "terms": {name: [point.values.get(name) for point in points] for name in names},
    }
    return Drawing(content, lambda figure, theme: _draw(figure, theme, content))


def _draw(figure: "Figure", theme: Theme, content: dict[str, Any]) -> None:
    axes = figure.subplots()
    terms: dict[str, list[Any]] = content["terms"]
    for index, (name, values) in enumerate(terms.items()):
        finite = [(x, y) for x, y in zip(content["epochs"], values, strict=True) if isinstance(y, int | float)]
        dashes = "--" if name.startswith("val.") else "-"
        colour = theme.series[index % len(theme.series)]
        marker = "o" if len(finite) < 30 else None
        axes.plot(
            [x for x, _ in finite], [y for _, y in finite], dashes, color=colour, label=name, linewidth=1.8, marker=marker, markersize=3
        )
    if _is_wide(terms):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.set(title=content["title"], xlabel="epoch", ylabel="loss, its terms apart")
    axes.grid(color=theme.line, linewidth=0.6)
    axes.legend(fontsize=8)
    _note(axes, theme, sum(isinstance(value, str) for values in terms.values() for value in values))


def _note(axes: "Axes", theme: Theme, left_out: int) -> None:
    if left_out:
        text = f"{left_out} values that are not finite are left out"
        axes.text(0.01, 0.01, text, transform=axes.transAxes, color=theme.series[1], fontsize=8)


def _is_wide(terms: dict[str, list[Any]]) -> bool:
    numbers = [value for values in terms.values() for value in values if isinstance(value, int | float)]
    ends = [values[-1] for values in terms.values() if isinstance(values[-1], int | float)]
    # A term that reaches 0 or below has no place on a logarithmic scale.
    return bool(numbers and ends) and min(numbers) > 0 and max(numbers) > WIDE * min(ends)


def _is_term(name: str) -> bool:
    return name in {"train.loss", "val.loss"} or name.startswith("train.penalty.")


def _rank(name: str) -> tuple[int, str]:
    return ({"train.loss": 0, "val.loss": 1}.get(name, 2), name)


def _nothing(job: Job) -> NotFinishedError | NoResultError:
    if job.is_terminal:
        return NoResultError(f"the job is {job.state.value} and told no numbers; there is nothing to draw")
    return NotFinishedError(f"the job is {job.state.value} and has told no numbers yet; its first epoch brings some")

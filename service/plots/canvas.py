"""How a picture becomes bytes: its size, its two themes, one at a time, and the same bytes for the same numbers."""

import asyncio
import hashlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

from contract import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]
MEDIA_TYPES: Final[dict[Format, str]] = {"png": "image/png", "svg": "image/svg+xml"}
POINTS: Final = 100
"""Dots an inch at which a width or a height counts in pixels."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a picture, as the dashboard has them."""

    page: str
    text: str
    soft: str
    line: str
    accent: str
    series: tuple[str, ...]


THEMES: Final = {
    "light": Theme(
        "#ffffff", "#17202c", "#566273", "#dde2e9", "#1d5fbf",
        ("#1d5fbf", "#d1495b", "#2a9d5c", "#b06f00", "#7b4fc9", "#0e8c9b", "#a23b8f", "#5b6673"),
    ),
    "dark": Theme(
        "#1a2029", "#e6eaf0", "#a3aebc", "#2d3642", "#7db2ff",
        ("#7db2ff", "#ff8d9b", "#6fd39a", "#f0b95a", "#b99bff", "#5fd0dd", "#f193dd", "#b3bdca"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that is not drawn yet."""

    content: Any
    """The numbers and words it shows, as plain data: what they are decides its bytes."""
    draw: Callable[["Figure", Theme], None]


@dataclass(frozen=True, slots=True)
class Paper:
    """What a picture is drawn on."""

    format: Format
    theme: str
    width: int
    height: int
    dpi: int
    """Dots an inch: the picture has `width` x `dpi` / 100 pixels across. Letters grow with it."""


def etag(drawing: Drawing, paper: Paper) -> str:
    """Changes with what the picture shows, how, and by which matplotlib; known before it is drawn."""
    shown = json.dumps([numbers.to_json(drawing.content), [getattr(paper, name) for name in paper.__slots__], _version()], sort_keys=True)
    return f'"{hashlib.sha256(shown.encode()).hexdigest()[:32]}"'


def printable(text: str) -> str:
    """`text` with a sign in place of what has no look of its own: some of them would make an SVG no XML."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


async def drawn(drawing: Drawing, paper: Paper) -> bytes:
    """The picture. In a thread of its own, so that however many are asked for, other requests find theirs free."""
    return await asyncio.get_running_loop().run_in_executor(_PEN, partial(_draw, drawing, paper))


@cache
def _version() -> str:
    return metadata.version("matplotlib")


_PEN: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pen")
"""One: matplotlib is not made to be used by several threads. It starts with the first picture."""


def _draw(drawing: Drawing, paper: Paper) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    theme, held = THEMES[paper.theme], io.BytesIO()
    # Names of parts of an SVG and its date would otherwise be others each time. Text stays text: it can be searched and read aloud.
    with matplotlib.rc_context({"svg.hashsalt": "ridgeline", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}):
        figure = Figure(figsize=(paper.width / POINTS, paper.height / POINTS), dpi=paper.dpi, layout="constrained", facecolor=theme.page)
        drawing.draw(figure, theme)
        for axes in figure.axes:
            _dress(axes, theme)
        # A figure without pyplot has the canvas of its format alone, and no window anywhere.
        left_out: Any = {"Date": None} if paper.format == "svg" else {"Software": None}
        figure.savefig(held, format=paper.format, dpi=paper.dpi, metadata=left_out, facecolor=theme.page)
    return held.getvalue()


def _dress(axes: "Axes", theme: Theme) -> None:
    axes.set_facecolor(theme.page)
    axes.title.set_color(theme.text)
    axes.tick_params(colors=theme.soft, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.soft)
    for spine in axes.spines.values():
        spine.set_color(theme.line)
    if legend := axes.get_legend():
        legend.get_frame().set(facecolor=theme.page, edgecolor=theme.line)
        for text in legend.get_texts():
            text.set_color(theme.text)

"""In which precision and memory layout a convolutional network takes its steps fastest on this machine, as a short measurement says.

Only where RIDGELINE_MEASURED names a file to remember it in: bits follow from precision and layout, and without a measurement two
machines of one class begin the same job alike. A resumed job keeps what it began with, whatever is found later.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from hashlib import blake2b
from math import inf
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile, TemporaryDirectory
from time import perf_counter
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.events import Layout
from contract.spec import JobSpec
from worker.training import datasets, precision, wire

_ROUNDS: Final = 5
_STEPS: Final = 3
LEAST_GAIN: Final = 1.1
"""How many times as fast as the default another form must be, in the median of the rounds, and faster in each of them."""


class Form(BaseModel):
    """How a network is worked out: its numbers, and how its images lie in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: precision.Chosen
    layout: Layout = "channels_last"

    def __str__(self) -> str:
        return f"{self.precision}, {self.layout}"


class Measured(BaseModel):
    """What was found on a machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str
    """As `machine` names it."""
    form: Form
    milliseconds: dict[str, float]
    """Median of a step at batch 64, by form."""

    def layout(self, chosen: precision.Chosen) -> Layout:
        """That of a network in this precision: as measured, or the usual one where it was measured for another."""
        return self.form.layout if chosen == self.form.precision else "channels_last"

    def is_of(self, device: torch.device) -> bool:
        """Whether it was found on this machine, as it is now."""
        return self.machine == machine(device)


def settled(is_wanted: Callable[[], bool]) -> Measured | None:
    """What is remembered of this machine, else what is measured now, unless an order comes meanwhile (`is_wanted`) or nobody asks for
    it. A file that cannot be read or written costs a line in the log and a measurement; a measurement that fails leaves the default."""
    if not (named := os.environ.get("RIDGELINE_MEASURED")):
        return None
    file, device = Path(named), precision.device("auto")
    if (found := _remembered(file, device)) is not None:
        return found
    seconds: list[dict[Form, float]] = []
    try:
        with closing(rounds(device)) as measuring:
            for each in measuring:
                if is_wanted():
                    return None
                seconds += [each] if each else []
    except (RuntimeError, OSError) as error:  # no memory, no space: jobs may still go well
        wire.log(f"this machine could not be measured, and jobs begin by the default: {error}")
        return Measured(machine=machine(device), form=candidates(device)[0], milliseconds={})
    found = Measured(machine=machine(device), form=decide(seconds), milliseconds=_medians(seconds))
    wire.log(f"measured, in ms a step: {found.milliseconds}; jobs begin in {found.form}")
    _remember(file, found)
    return found


def rounds(device: torch.device) -> Generator[dict[Form, float] | None, None, None]:
    """None after each step, and after each round the seconds of a step in each form, the default first."""
    with TemporaryDirectory(prefix="ridgeline-measured-") as scratch:
        steps = {form: _steps(form, device, Path(scratch)) for form in candidates(device)}
        for number in range(_ROUNDS + 1):
            taken: dict[Form, float] = {}
            for form, each in steps.items():
                for _ in range(_STEPS):
                    taken[form] = min(next(each), taken.get(form, inf))
                    yield None
            if number:  # the first round loads kernels
                yield taken
    datasets.forget()


def candidates(device: torch.device) -> tuple[Form, ...]:
    """What is tried, the default first: bfloat16 only where the hardware multiplies it."""
    default = precision.choose("auto", device)
    kinds: tuple[precision.Chosen, ...] = (default,) if default == "float32" else (default, "float32")
    return tuple(Form(precision=kind, layout=layout) for kind in kinds for layout in ("channels_last", "contiguous"))


def decide(seconds: list[dict[Form, float]]) -> Form:
    """The fastest form of these rounds where its gain is beyond their noise, else the default, which is the first of each."""
    default, *_ = seconds[0]
    best = min(seconds[0], key=lambda form: median(each[form] for each in seconds))
    gains = [each[default] / each[best] for each in seconds]
    return best if median(gains) >= LEAST_GAIN and min(gains) > 1 else default


def machine(device: torch.device) -> str:
    """What a measurement holds for: torch, device, threads and the processor, by its name and what it can."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    processor = sorted(set(re.findall(r"^(?:model name|flags|Features)\s*:.*$", told, re.MULTILINE)))
    digest = blake2b("\n".join(processor).encode(), digest_size=8).hexdigest()
    return f"torch {torch.__version__}, {precision.describe(device)}, {torch.get_num_threads()} threads, processor {digest}"


def _steps(form: Form, device: torch.device, scratch: Path) -> Iterator[float]:
    """The seconds of one step after the other, of the tutorial's network on noise."""
    # Here and not above: they take what this module found.
    from worker.training import build
    from worker.training.fit import fit

    data = {"kind": "fake", "train_rows": 64 * _STEPS * (_ROUNDS + 1), "test_rows": 1, "validation_fraction": 0.0}
    asked = {"dataset": data, "batch_size": 64, "epochs": 1000, "precision": form.precision, "device": device.type}
    forced = Measured(machine=machine(device), form=form, milliseconds={})
    run = build.run(JobSpec.model_validate(asked), scratch, measured=forced)
    with closing(fit(run)) as training:
        next(training)  # Started
        while True:
            began, step = perf_counter(), run.step
            while run.step == step:
                next(training)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            yield perf_counter() - began


def _medians(seconds: list[dict[Form, float]]) -> dict[str, float]:
    return {str(form): round(1000 * median(each[form] for each in seconds), 3) for form in seconds[0]}


def _remembered(file: Path, device: torch.device) -> Measured | None:
    try:
        found = Measured.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        wire.log(f"what {file} remembers of this machine cannot be read and is measured anew: {type(error).__name__}")
        return None
    return found if found.is_of(device) else None


def _remember(file: Path, found: Measured) -> None:
    """Whole or not at all: workers of one machine may share the file, and the last one's word holds."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.name}.", delete=False) as draft:
            draft.write(found.model_dump_json(indent=1))
        Path(draft.name).replace(file)
    except OSError as error:
        wire.log(f"what was measured of this machine cannot be kept in {file}: {error}")

"""On which device and in which numbers a job is worked out, and what of the machine decides its bits."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch

from contract import events, spec
from contract.events import FailureCode
from worker.training.faults import TrainingError

# torch sets this attribute through a property on the module, which its types do not know.
_fill: Any = torch.utils.deterministic

Chosen = Literal["float32", "bfloat16", "float64"]

# The CPU flags with which bfloat16 products are faster than float32 ones; without them they are emulated and slower.
_FAST_BFLOAT16 = re.compile(r"\b(amx_bf16|avx512_bf16)\b")


def device(asked: spec.Device) -> torch.device:
    """The device to train on. Raises TrainingError where `cuda` is asked for and there is none."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise TrainingError(FailureCode.SPEC_INVALID, "device cuda was asked for and this worker has none", "Use device auto or cpu.")
    return torch.device("cuda", 0) if asked != "cpu" and torch.cuda.is_available() else torch.device("cpu")


def choose(asked: spec.Precision, device: torch.device) -> Chosen:
    """What `asked` means on `device`."""
    if asked != "auto":
        return asked
    return "bfloat16" if _gains_from_bfloat16(device) else "float32"


def dtype(chosen: Chosen) -> torch.dtype:
    """Of weights and data: bfloat16 runs keep float32 masters, for a threshold of 5e-7 would vanish in bfloat16."""
    return torch.float64 if chosen == "float64" else torch.float32


def autocast(chosen: Chosen, device: torch.device) -> AbstractContextManager[object]:
    """The context of every forward pass."""
    return torch.autocast(device.type, torch.bfloat16) if chosen == "bfloat16" else nullcontext()


def machine(
    chosen: Chosen, device: torch.device, layout: events.Layout = "channels_last", figures: Mapping[str, float] | None = None
) -> events.Machine:
    """What decides the bits of a result besides spec, data and seed; `figures` is what precision and layout were chosen by."""
    return events.Machine(
        device=describe(device),
        precision=chosen,
        layout=layout,
        measured=dict(figures) if figures else None,
        threads=torch.get_num_threads(),
        cpu_capability=cpu_capability(),
        torch=torch.__version__,
    )


def cpu_capability() -> str:
    """The widest instructions that torch uses, as `AVX2`."""
    return str(torch.backends.cpu.get_cpu_capability())


def describe(device: torch.device) -> str:
    """`cpu`, or `cuda:0 NVIDIA …`."""
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "cpu"


@contextmanager
def algorithms(*, deterministic: bool) -> Iterator[None]:
    """While inside, only algorithms whose result does not vary from run to run, if `deterministic`."""
    if not deterministic:
        yield
        return
    # It would write over every fresh tensor; none of ours is read before it is written.
    fills, _fill.fill_uninitialized_memory = _fill.fill_uninitialized_memory, False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        _fill.fill_uninitialized_memory = fills


def _gains_from_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return bool(_FAST_BFLOAT16.search(Path("/proc/cpuinfo").read_text()))
    except OSError:
        return False

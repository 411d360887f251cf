"""Trains without what of torch serves its compiler alone: the compiler itself, whose import the first optimizer would pull in and which
takes as long as all the rest, and the kernels for tensors without values (`torch._meta_registrations`), a quarter of that rest.

torch's optimizers call two functions of `torch._dynamo` that mark where a compiler must not go on; eager training has no compiler and
needs neither. Until anything else of that package is asked for, a stand-in answers those two; then it makes way for the real one, and
so does the one of the kernels, which nothing but a compiler's shape inference calls.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_COMPILER: Final = "torch._dynamo"
_KERNELS: Final = "torch._meta_registrations"


class _Nothing(ModuleType):
    """`torch._meta_registrations` for as long as no tensor goes without values."""


class _StandIn(ModuleType):
    """`torch._dynamo` for as long as nothing is compiled."""

    def graph_break(self, msg: str = "") -> None:
        """Nothing: there is no graph."""

    def disable(self, fn: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        """The function as it is: nothing compiles it."""
        return fn

    def __getattr__(self, name: str) -> Any:
        # `import` itself asks for these two of what it finds in place; the real package would be loaded for nothing.
        if name in ("__spec__", "__file__"):
            raise AttributeError(name)
        return getattr(_real(), name)


def spare_the_compiler() -> None:
    """Loads torch with the stand-ins in place. What of it is loaded already stays as it is."""
    if "torch" not in sys.modules:
        sys.modules[_KERNELS] = _Nothing(_KERNELS)
        import torch

        if not _draws_numbers():
            _load_kernels()
    import torch

    if _COMPILER not in sys.modules:
        sys.modules[_COMPILER] = torch._dynamo = _StandIn(_COMPILER)


def _draws_numbers() -> bool:
    """Whether there are generators of random numbers. torch 2.15 finishes their class in passing, in what those kernels import; this
    does it in its place. A torch that wants yet another thing is given the kernels after all."""
    import torch

    try:
        from torch._custom_class_base import CustomClassBaseMeta

        torch._C._set_generator_metaclass(CustomClassBaseMeta)
    except (ImportError, AttributeError):
        pass  # before 2.15 there is nothing to finish
    try:
        torch.Generator()
    except RuntimeError:
        return False
    return True


def _load_kernels() -> None:
    if isinstance(sys.modules.get(_KERNELS), _Nothing):
        del sys.modules[_KERNELS]
        importlib.import_module(_KERNELS)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(_COMPILER), _StandIn):
        import torch

        del sys.modules[_COMPILER]
        _load_kernels()
        torch._dynamo = importlib.import_module(_COMPILER)
    return sys.modules[_COMPILER]

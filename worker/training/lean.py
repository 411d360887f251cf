"""Trains without torch's compiler: its import, which the first optimizer would pull in, takes as long as all the rest of torch.

torch's optimizers call two functions of `torch._dynamo` that mark where a compiler must not go on; eager training has no compiler and
needs neither. Until anything else of that package is asked for, a stand-in answers those two; then it makes way for the real one.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import torch

_NAME: Final = "torch._dynamo"


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
    """Puts the stand-in in place of torch's compiler; does nothing where that is loaded already."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = torch._dynamo = _StandIn(_NAME)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(_NAME), _StandIn):
        del sys.modules[_NAME]
        torch._dynamo = importlib.import_module(_NAME)
    return sys.modules[_NAME]

"""How a row is copied when a million schedules copy it: slot by slot, four times as fast as `dataclasses.replace`, to the same effect."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contract import lifecycle
from contract.job import FIELDS, Job

_SETTERS: dict[str, Callable[[Job, Any], None]] = {name: Job.__dict__[name].__set__ for name in FIELDS}


def _make_copier() -> Callable[[Job], Job]:
    """One statement a field: a loop over the fields is what makes `replace` slow."""
    lines = [f"    set_{name}(new, job.{name})" for name in FIELDS]
    names = {"make": object.__new__, "Job": Job, **{f"set_{name}": setter for name, setter in _SETTERS.items()}}
    exec("\n".join(["def copied(job):", "    new = make(Job)", *lines, "    return new"]), names)
    return names["copied"]  # type: ignore[return-value]


_copied = _make_copier()


def replace(row: Any, /, **changes: Any) -> Any:
    """What `dataclasses.replace` gives. Raises TypeError for a field that there is not."""
    if type(row) is not Job:
        return dataclasses.replace(row, **changes)
    new = _copied(row)
    for name, value in changes.items():
        if name not in _SETTERS:
            raise TypeError(f"a job has no field '{name}'")
        _SETTERS[name](new, value)
    return new


@contextmanager
def copies() -> Iterator[None]:
    """Lend `replace` to the pure core. Its own is put back after."""
    own = lifecycle.replace  # type: ignore[attr-defined]
    lifecycle.replace = replace  # type: ignore[attr-defined]
    try:
        yield
    finally:
        lifecycle.replace = own  # type: ignore[attr-defined]

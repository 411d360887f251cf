"""In what several documents differ, value by value."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from contract.spec.faults import Fault, Path

ABSENT: Final = object()
"""In place of a value that a document does not have."""


def differences(documents: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """The JSON pointer to each value that is not the same in all, with what each document has there, or ABSENT."""
    yield from _within((), documents)


def _within(path: Path, values: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    if all(isinstance(value, dict) for value in values):
        for name in dict.fromkeys(name for value in values for name in value):
            yield from _within((*path, name), [value.get(name, ABSENT) for value in values])
    elif all(isinstance(value, list) for value in values):
        for index in range(max(len(value) for value in values)):
            yield from _within((*path, index), [value[index] if index < len(value) else ABSENT for value in values])
    # 1 and True are equal in Python, and 1 and 1.0 are the same number in JSON.
    elif any(value != values[0] or isinstance(value, bool) != isinstance(values[0], bool) for value in values):
        yield Fault(path, "", "").pointer, list(values)

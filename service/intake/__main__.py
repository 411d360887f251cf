"""`python -m service.intake FILE FOLDER LIMITS`: checks an upload under limits of its own and prints the verdict as JSON."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_MEMORY = 1 << 30
"""Bytes of memory; the arrays lie in files and need none."""


def main(upload: Path, folder: Path, limits: dict[str, Any]) -> dict[str, Any]:
    """The verdict: `format`, `sha256`, `files` and `facts`, or `faults`."""
    _confine(limits)
    # Only now: what an upload makes these do is held by the limits.
    from service.intake import canonical, formats, meaning
    from service.intake.refusal import Refused, fault

    (found := folder / "found").mkdir()
    (kept := folder / "kept").mkdir()
    try:
        parts = formats.read(upload, found, int(limits["bytes"]))
        arrays, facts = meaning.check(parts)
        digest, files = canonical.write(arrays, parts.classes, kept)
    except Refused as refused:
        return {"faults": refused.faults}
    except MemoryError:
        return {"faults": [fault("too_large", "it takes more memory to read than is allowed; send fewer or smaller rows")]}
    return {"format": parts.format, "sha256": digest, "files": files, "facts": facts}


def _confine(limits: dict[str, Any]) -> None:
    os.nice(10)  # others wait for the API on the same cores
    size, seconds = int(limits["bytes"]), int(limits["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    # Files that are mapped count here, read-only as they are: what was unpacked, at most all of it at once.
    resource.setrlimit(resource.RLIMIT_AS, (2 * _MEMORY + 2 * size, 2 * _MEMORY + 2 * size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + _MEMORY // 1024, 2 * size + _MEMORY // 1024))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))))

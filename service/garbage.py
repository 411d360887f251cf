"""Which bytes in the artifact store nobody needs: old enough that no upload of them can be under way, and named by no row."""

import time

from contract.artifacts import Artifacts
from contract.store import Store, checkpoints

_PARTS = 4
"""Of a checkpoint's key: job, fence, folder, file."""


def find(store: Store, artifacts: Artifacts, older_than_seconds: float) -> list[str]:
    """Prefixes to remove. Bytes are listed before rows are read, so that a row written meanwhile is seen."""
    newest: dict[str, float] = {}
    for artifact in artifacts.list():
        prefix = _prefix(artifact.key)
        newest[prefix] = max(newest.get(prefix, 0.0), artifact.stored_at)
    oldest = time.time() - older_than_seconds
    return checkpoints.unnamed(store, sorted(prefix for prefix, stored_at in newest.items() if stored_at < oldest))


def _prefix(key: str) -> str:
    """The folder of a checkpoint, which a row names as a whole; a key of another form stands alone."""
    parts = key.split("/")
    return "/".join(parts[:-1]) if len(parts) == _PARTS else key

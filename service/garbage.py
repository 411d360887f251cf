"""Which bytes in the artifact store nobody needs: old enough that no upload of them can be under way, and named by no row."""

import time

from contract.artifacts import Artifacts
from contract.store import Store, checkpoints

PROBES = "_ready"
"""Where /readyz tries the store: what is left there is of a probe that was killed."""
_PARTS = 4
"""Of a checkpoint's key: job, fence, folder, file."""


def find(store: Store, artifacts: Artifacts, older_than_seconds: float) -> list[str]:
    """Prefixes to remove: of checkpoints of our jobs, and of our probes. Whatever else lies there is somebody else's.

    Bytes are listed before rows are read, so that a row written meanwhile is seen.
    """
    newest: dict[str, float] = {}
    for artifact in artifacts.list():
        if prefix := _prefix(artifact.key):
            newest[prefix] = max(newest.get(prefix, 0.0), artifact.stored_at)
    oldest = time.time() - older_than_seconds
    old = sorted(prefix for prefix, stored_at in newest.items() if stored_at < oldest)
    probes = [prefix for prefix in old if prefix.startswith(f"{PROBES}/")]
    return probes + checkpoints.unnamed(store, [prefix for prefix in old if prefix not in probes])


def _prefix(key: str) -> str | None:
    """The folder of a checkpoint, which a row names as a whole, or a probe's own key; None for what we did not write."""
    parts = key.split("/")
    if parts[0] == PROBES:
        return key
    return "/".join(parts[:-1]) if len(parts) == _PARTS else None

"""Which API key a client sends: its own, or on the operator's machine the operator's."""

import os

from client.wire import is_loopback


def of(url: str) -> str | None:
    """RIDGELINE_API_KEY; without it RIDGELINE_ADMIN_KEY, but to this machine only: it may do everything, and is no server's to read."""
    return os.environ.get("RIDGELINE_API_KEY") or (os.environ.get("RIDGELINE_ADMIN_KEY") if is_loopback(url) else None) or None


def of_own_stack() -> str | None:
    """What the API of a stack started here asks for: RIDGELINE_ADMIN_KEY, which it was given, whatever server the other key is for."""
    return os.environ.get("RIDGELINE_ADMIN_KEY") or os.environ.get("RIDGELINE_API_KEY") or None

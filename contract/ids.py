"""The names we give to things: a prefix that says what it is, then a ULID, so that names sort by time."""

from ulid import ULID


def job() -> str:
    """A new job's id. Like all that follow: a prefix that says of what, and a ULID, so that ids sort by the time they were made."""
    return f"job_{ULID()!s}".lower()


def checkpoint() -> str:
    """A new checkpoint's id."""
    return f"ckpt_{ULID()!s}".lower()


def webhook() -> str:
    """A new webhook's id."""
    return f"wh_{ULID()!s}".lower()


def event() -> str:
    """The id of a message to a webhook: its `webhook-id`, the same for each attempt."""
    return f"evt_{ULID()!s}".lower()


def request() -> str:
    """The id of a request whose sender gave it none."""
    return f"req_{ULID()!s}".lower()


def worker() -> str:
    """A worker's id; another one each time that it starts."""
    return f"worker_{ULID()!s}".lower()


def dataset() -> str:
    """A new data set's id."""
    return f"ds_{ULID()!s}".lower()


def api_key() -> str:
    """A new API key's id. Not its secret, which is random."""
    return f"key_{ULID()!s}".lower()


def audit_event() -> str:
    """The id of a line of the audit log."""
    return f"audit_{ULID()!s}".lower()

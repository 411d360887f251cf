"""The names we give to things: a prefix that says what it is, then a ULID, so that names sort by time."""

from ulid import ULID


def job() -> str:
    return f"job_{ULID()!s}".lower()


def checkpoint() -> str:
    return f"ckpt_{ULID()!s}".lower()


def webhook() -> str:
    return f"wh_{ULID()!s}".lower()


def event() -> str:
    return f"evt_{ULID()!s}".lower()


def request() -> str:
    return f"req_{ULID()!s}".lower()


def worker() -> str:
    return f"worker_{ULID()!s}".lower()

"""What can go wrong for a client, split by what the reader of the message can do about it."""

from collections.abc import Sequence
from typing import Any


class ClientError(Exception):
    """Every error the client raises on purpose. The message names the value and the remedy."""


class ServerUnreachable(ClientError):  # noqa: N818 - reads as what it is, at every raise and except
    """Nothing answered at the address: start a server, or name another address."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"no answer from {url} ({cause}); start a server with `ridgeline up`, or name another by --url or RIDGELINE_URL")
        self.url = url


class AddressError(ClientError):
    """The address of the server is none: it needs to begin with http:// or https://."""


class ApiError(ClientError):
    """The server answered and said no. `errors` holds one `{pointer, code, message}` for each thing wrong with the request."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[dict[str, Any]] = (), request_id: str | None = None) -> None:
        remedy = ["give the key to this client as RIDGELINE_API_KEY"] if status == 401 else []
        super().__init__("\n".join([f"{status} {code}: {detail}", *(_line(error) for error in errors), *remedy]))
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id


class DownloadCorruptError(ClientError):
    """The bytes that arrived do not have the promised SHA-256; they were thrown away, so asking again starts afresh."""


class UnusableFileError(ClientError):
    """A file that the command was given cannot be read or written where it is."""


class StackError(ClientError):
    """The stack cannot be started on this machine as asked, or did not become ready."""


def _line(error: dict[str, Any]) -> str:
    return f"  {error.get('pointer') or 'the document'}: {error.get('message') or error.get('code')}"

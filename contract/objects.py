"""Artifacts in S3, or in what speaks like it: each key an object, written once and never over another."""

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifact, Artifacts, LocalFolder, assert_key, assert_same
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, ConfigurationError, NotFoundError
from contract.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Store

_CHUNK: Final = 1 << 20
_WHOLE: Final = 64 << 20
"""Up to so many bytes an object is sent in one request, which the store refuses where the key is taken."""
_CLIENT: Final[dict[str, Any]] = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    # Of a whole request: a large file on a slow line takes its time, and the worker has a limit of its own.
    "timeout": timedelta(hours=6),
}
_RETRY: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def opened(settings: Settings) -> Artifacts:
    """The place that the settings name. Reaches for no server. Raises ConfigurationError for an address that is none of S3's."""
    if not settings.artifacts_url:
        return LocalFolder(settings.artifacts_folder)
    return Bucket(settings.artifacts_url, settings.s3_endpoint)


class Bucket:
    """Artifacts in a bucket. Keys, region and role come from where every program of AWS's finds them: AWS_ variables, or the machine."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        """`url` is `s3://BUCKET/PREFIX`; `endpoint` another server than Amazon's, as `http://127.0.0.1:9000`."""
        if not url.startswith("s3://"):
            raise ConfigurationError(f"RIDGELINE_ARTIFACTS_URL is '{url}'; it begins with s3://, as in s3://BUCKET/PREFIX")
        self.url = url
        self._store = _connected(url, endpoint)

    def put(self, key: str, source: Path, sha256: str) -> Artifact:
        assert_key(key)
        with self._told(key, missing_is_ours=False):
            self._send(key, source, sha256)
        return self.stat(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        import obstore

        assert_key(key)
        if end is not None and end <= start:
            self.stat(key)
            return iter(())
        with self._told(key):
            # Past the end there is nothing, and S3 would call it an error.
            if start and start >= self.stat(key).size_bytes:
                return iter(())
            span: Any = {"range": {"offset": start} if end is None else (start, end)} if start or end is not None else {}
            found = obstore.get(self._store, key, options=span)
        return self._pieces(key, found.stream(min_chunk_size=_CHUNK))

    def stat(self, key: str) -> Artifact:
        import obstore

        assert_key(key)
        with self._told(key):
            found = obstore.head(self._store, key)
        return Artifact(key, found["size"], found["last_modified"].timestamp())

    def list(self, prefix: str = "") -> Iterator[Artifact]:
        import obstore

        if prefix:
            assert_key(prefix)
        with self._told(prefix):
            for page in obstore.list(self._store, prefix or None):
                yield from (Artifact(one["path"], one["size"], one["last_modified"].timestamp()) for one in page)

    def delete(self, prefix: str) -> None:
        import obstore

        assert_key(prefix)
        below = [artifact.key for artifact in self.list(prefix)]
        with self._told(prefix, missing_is_ours=False), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, [*below, prefix])

    def prune(self, older_than_seconds: float) -> None:
        """Nothing: an object is there whole or not at all. Uploads in parts that were cut off end by a rule of the bucket's."""

    def _send(self, key: str, source: Path, sha256: str) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        found, is_small = _digest(source), source.stat().st_size <= _WHOLE
        if found != sha256:
            raise ArtifactCorruptError(f"{source.name} has SHA-256 {found} and should have {sha256}; it was not stored")
        try:
            if is_small:
                obstore.put(self._store, key, source, mode="create")
            elif self._is_there(key):
                assert_same(key, sha256, self.read(key))
            else:
                # In parts there is no "only if new"; the key bears the fence, so nobody else writes it.
                obstore.put(self._store, key, source)
        except AlreadyExistsError:
            assert_same(key, sha256, self.read(key))

    def _is_there(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFoundError:
            return False
        return True

    def _pieces(self, key: str, stream: Any) -> Iterator[bytes]:
        with self._told(key):
            for piece in stream:
                yield bytes(piece)

    @contextlib.contextmanager
    def _told(self, key: str, *, missing_is_ours: bool = True) -> Iterator[None]:
        """Says what went wrong in our words. A write finds nothing missing but the bucket itself."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if missing_is_ours and "NoSuchBucket" not in str(error):
                raise NotFoundError("artifact", key) from None
            raise self._unavailable(error) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> ArtifactsUnavailableError:
        # The first line tells what it was; those below repeat the request, signature and all.
        return ArtifactsUnavailableError(f"the artifact store {self.url} failed: {str(error).strip().splitlines()[0][:300]}")


def _connected(url: str, endpoint: str | None) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError:
        raise ConfigurationError("RIDGELINE_ARTIFACTS_URL names a bucket, and obstore is not installed; install ridgeline[s3]") from None
    config: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
    try:
        # Only where the operator says http:// do keys travel in the clear.
        client: Any = {**_CLIENT, "allow_http": bool(endpoint and endpoint.startswith("http://"))}
        return S3Store.from_url(url, config=config, client_options=client, retry_config=_RETRY)  # type: ignore[arg-type]
    except Exception as error:
        raise ConfigurationError(f"RIDGELINE_ARTIFACTS_URL cannot be used: {str(error).splitlines()[0]}") from error


def _digest(source: Path) -> str:
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

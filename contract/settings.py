"""What an operator decides, read from the environment once, prefix RIDGELINE_."""

import ipaddress
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=1, le=2**50)]


class Settings(BaseSettings):
    """One field for each RIDGELINE_ variable. Only the addresses differ between the embedded stack and production."""

    model_config = SettingsConfigDict(env_prefix="RIDGELINE_", frozen=True)

    database_url: str = "sqlite:///ridgeline-data/ridgeline.db"
    """SQLAlchemy URL: `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Celery's broker: `redis://HOST:PORT/DB`, or `redis+socket://PATH?virtual_host=0` for a unix socket."""
    artifacts_folder: Path = Path("ridgeline-data/artifacts")
    """Where checkpoints are kept; API and workers must see the same folder."""
    scratch_folder: Path = Path("ridgeline-data/scratch")
    """Where a trainer writes a checkpoint before it is stored; local to a worker, emptied after each job."""
    data_folder: Path | None = None
    """Data sets as IDX files, `<data_folder>/<name>/train-images-idx3-ubyte.gz` and so on; looked at before any other source."""

    host: str = "127.0.0.1"
    """Address the API listens on. On anything but loopback it asks for API keys."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port the API listens on; 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where this worker trains; `auto` takes CUDA where there is one."""
    cuda_graphs: bool = False
    """Whether a trainer on a GPU records the gradient of a batch as a CUDA graph: fewer launches, the same kernels. Off until
    `pytest -m gpu` has passed on your kind of GPU."""
    numerics: Literal["default", "measured"] = "default"
    """By what a job that leaves its precision open begins, and in which memory layout: `default` goes by the processor alone, so that
    workers of one class begin it alike; `measured` has each worker time a few steps while it is idle, keep what it found in its
    scratch folder (`measured.json`), and take another form where it is a tenth faster or more."""
    trainer_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of a trainer; by default all cores. It decides the last bits of a result, so keep it the same across a fleet."""

    lease_seconds: Seconds = 60.0
    """How long a job stays with a worker that is not heard of."""
    renew_seconds: Seconds = 0.5
    """How often a worker renews its lease, stores new metrics and hears of a cancel."""
    poll_seconds: Seconds = 2.0
    """How often an idle worker looks for jobs whose ring was lost."""
    reconcile_seconds: Seconds = 1.0
    """How often each API process looks for expired leases, unheard rings, deadlines and garbage."""
    checkpoint_seconds: Seconds = 300.0
    """How much work may be lost: in an epoch longer than this, a checkpoint is also written in mid-epoch."""
    checkpoint_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Share of its time that a job may spend on writing checkpoints; where they would cost more they are written less often."""
    stall_seconds: Seconds = 600.0
    """How long a trainer may give no sign of life before its stack is dumped and it is killed; at least 20 times its median step."""
    garbage_seconds: Seconds = 3600.0
    """How old bytes in the artifact store must be before those that no row names are removed; longer than any upload takes."""
    trainer_stop_seconds: Seconds = 20.0
    """How long a trainer may take to reach a step boundary and write its checkpoint before it is killed."""
    purge_seconds: Annotated[float, Field(ge=0, le=366 * 86_400)] = 86_400.0
    """How long a deleted job, which nobody sees any more, is kept before its rows and bytes are removed for good."""

    body_seconds: Seconds = 20.0
    """How long the API waits for the body of a request, whatever its length. A body that is not there by then has to come at
    `body_bytes_per_second`, or the request is answered with 408: a client that sends a byte a minute must not hold a connection for ever."""
    body_bytes_per_second: Annotated[int, Field(ge=1, le=2**30)] = 16 * 1024
    """The least rate at which a body that takes longer than `body_seconds` has to come, on average: what a poor mobile line has."""

    dataset_bytes: Bytes = 2 * 1024**3
    """How large an uploaded data set may be, as it is sent and unpacked."""
    dataset_tenant_bytes: Bytes = 20 * 1024**3
    """How much all data sets of a tenant may have together."""
    dataset_check_seconds: Seconds = 300.0
    """How long the check of an upload may take before it is refused."""
    dataset_cache_bytes: Bytes = 20 * 1024**3
    """How much of uploaded data sets a worker keeps in its scratch folder for the jobs that follow; those used last stay."""
    auth: Literal["off", "keys"] | None = None
    """Whether the API asks for keys. By default it does unless it listens on loopback and has no `admin_key`; `off` is for loopback only."""
    admin_key: Annotated[SecretStr, Field(min_length=32, max_length=512)] | None = None
    """The operator's own key, from which all others come: a secret of 32 characters or more, as `openssl rand -hex 32` makes."""
    allowed_hosts: str = ""
    """Without keys: names, separated by commas, that the API may go by besides loopback's, as behind a proxy of your own."""
    rate_limit: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour)$")] | None = None
    """Requests of one key (without keys: of one address) in a window, as `600/minute`. Each API process counts for itself."""
    quota_running_jobs: Annotated[int, Field(ge=1)] | None = None
    """Jobs of one tenant that run at once. This and the three below hold for tenants without a quota of their own."""
    quota_queued_jobs: Annotated[int, Field(ge=1)] | None = None
    """Jobs of one tenant that are queued at once."""
    quota_stored_bytes: Annotated[int, Field(ge=1)] | None = None
    """Bytes of checkpoints and data sets that one tenant keeps; a tenant that has more submits nothing new."""
    quota_device_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds that workers hold jobs of one tenant, in all; a tenant that has used them submits nothing new."""

    @property
    def has_keys(self) -> bool:
        """Whether the API asks for keys."""
        if self.auth is None:
            return self.admin_key is not None or not is_loopback(self.host)
        return self.auth == "keys"

    @property
    def names(self) -> frozenset[str]:
        """`allowed_hosts`, one by one."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())

    artifacts_url: str | None = None
    """`s3://BUCKET/PREFIX` keeps artifacts in a bucket in place of `artifacts_folder`; keys and region come from the AWS_ variables."""
    s3_endpoint: str | None = None
    """Another S3 than Amazon's, as `http://127.0.0.1:9000`."""
    secret_key: SecretStr | None = None
    """At least 32 characters, the same for all API processes. With it no secret of a webhook is stored: each is derived from it, and is
    lost with it. Without it they are in the database as they are."""
    webhook_allow_private: bool = False
    """Let webhooks lead into private networks, and by http to this machine. Whoever may make webhooks can then reach both."""

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; `openssl rand -base64 32` makes one")
        return key

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if self.lease_seconds < 3 * self.renew_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g} and renew_seconds {self.renew_seconds:g}: "
                "a lease must outlast three renewals, or one late answer loses the job"
            )
        return self


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether what listens there is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def current() -> Settings:
    """The settings of this process. Raises pydantic's ValidationError, which names the variable, on a value that cannot be."""
    return Settings()

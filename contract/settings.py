"""What an operator decides, read from the environment once, prefix RIDGELINE_."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """One field for each RIDGELINE_ variable. Only the addresses differ between the embedded stack and production."""

    model_config = SettingsConfigDict(env_prefix="RIDGELINE_", frozen=True, use_attribute_docstrings=True)

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
    """Address the API listens on. Anything but loopback needs `allow_open`, since there are no API keys yet."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port the API listens on; 0 takes a free one."""
    allow_open: bool = False
    """Let anyone who reaches the address use the API: for a network that is private already."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where this worker trains; `auto` takes CUDA where there is one."""
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


@cache
def current() -> Settings:
    """The settings of this process. Raises pydantic's ValidationError, which names the variable, on a value that cannot be."""
    return Settings()

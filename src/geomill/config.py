"""Settings: read once from the environment by ``bootstrap``, then passed down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from geomill.errors import ConfigurationError


def default_home() -> Path:
    """Where everything geomill keeps lies: ``/var/lib/geomill`` as root, else the XDG data dir."""
    if os.geteuid() == 0:
        return Path("/var/lib/geomill")
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "geomill"


class Settings(BaseSettings):
    """Each field is the variable ``GEOMILL_<FIELD>``; docs/reference/settings.md describes them."""

    model_config = SettingsConfigDict(env_prefix="GEOMILL_", extra="ignore", frozen=True)

    home: Annotated[
        Path,
        Field(default_factory=default_home, description="Directory for everything geomill keeps."),
    ]
    dsn: SecretStr | None = Field(
        default=None,
        description="PostgreSQL connection string. Unset: geomill runs its own private cluster.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8765, ge=1, le=65535, description="TCP port the API listens on.")
    token: SecretStr | None = Field(
        default=None, description="Bearer token the CLI sends instead of minting one in the home."
    )
    anonymous_role: Literal["reader", "none"] | None = Field(
        default=None,
        description="What a request without a token may do. Unset: reader with the embedded "
        "cluster, none with a DSN.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost"),
        description="Host names the API answers to, as a JSON list; guards against DNS rebinding.",
    )
    worker_concurrency: int = Field(
        default=2, ge=1, le=64, description="Tasks one worker process runs at the same time."
    )
    pool_max_size: int = Field(
        default=8, ge=2, le=200, description="Connections each pool may hold."
    )
    pool_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds to wait for a free connection."
    )
    statement_timeout_s: float = Field(
        default=30.0, ge=0, description="Longest statement an HTTP read may run; 0 is no limit."
    )
    task_memory_mb: int = Field(
        default=4096, ge=256, description="Address space a task's process may take, in MiB."
    )
    task_timeout_s: float = Field(
        default=3600.0, gt=0, description="Longest a task's process may run, in seconds."
    )

    @property
    def embedded(self) -> bool:
        """Whether geomill owns its PostgreSQL cluster."""
        return self.dsn is None

    @property
    def base_url(self) -> str:
        """The root URL under which this machine reaches the API, without a trailing slash."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104
        return f"http://{host}:{self.port}"

    @property
    def anonymous_may_read(self) -> bool:
        """Whether a request without a token has the role reader."""
        if self.anonymous_role is None:
            return self.embedded
        return self.anonymous_role == "reader"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: a variable has a value that cannot be used; all are named.
    """
    try:
        return Settings()  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        problems = "; ".join(
            f"GEOMILL_{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(
            f"The environment has settings that cannot be used: {problems}.",
            remedy="Mend or unset them; docs/reference/settings.md lists every setting.",
        ) from error

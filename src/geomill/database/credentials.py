"""Who connects, and with which secret: asked anew for each connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from geomill.errors import ConfigurationError, DatabaseUnavailable

ConnectionParameters = dict[str, str | int]


class CredentialProvider(Protocol):
    """Gives the libpq parameters of the next connection, secret included."""

    def connection_parameters(self) -> ConnectionParameters:
        """Parameters for one new connection.

        Raises:
            DatabaseUnavailable: no credential can be had now.
        """
        ...


@dataclass(frozen=True)
class EmbeddedCredentials:
    """The private cluster: its unix socket and a password file only its owner reads."""

    socket_dir: Path
    password_file: Path
    user: str = "geomill"
    database: str = "geomill"

    def connection_parameters(self) -> ConnectionParameters:
        """Read the password for each connection, so that a changed one is picked up."""
        try:
            password = self.password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise DatabaseUnavailable(
                f"The embedded cluster's password file {self.password_file} cannot be read: "
                f"{error.strerror}.",
                remedy="Run as the user that owns it, or start the cluster with 'geomill up'.",
            ) from error
        return {
            "host": str(self.socket_dir),
            "user": self.user,
            "dbname": self.database,
            "password": password,
        }


class DsnCredentials:
    """A connection string, as given."""

    def __init__(self, dsn: SecretStr) -> None:
        try:
            parsed = conninfo_to_dict(dsn.get_secret_value())
        except ProgrammingError:
            raise ConfigurationError(
                "GEOMILL_DSN is not a PostgreSQL connection string.",
                remedy="Write it as postgresql://user:password@host:5432/database.",
            ) from None
        self._parameters: ConnectionParameters = {
            name: value for name, value in parsed.items() if value is not None
        }

    def connection_parameters(self) -> ConnectionParameters:
        """The parameters of the string."""
        return dict(self._parameters)

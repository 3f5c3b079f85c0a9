"""Sets pgSTAC up and says whether it is there; data operations are ``PgStacRepository``'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pypgstac import __version__ as PGSTAC_VERSION  # noqa: N812
from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate

from geomill.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.database.postgresql import PostgreSQLRepository

_ADVISORY_LOCK = 0x73746163  # "stac"


@dataclass(frozen=True)
class PgStacInstallation:
    """What is installed: ``version`` is None where pgSTAC is not."""

    version: str | None
    expected: str = PGSTAC_VERSION

    @property
    def current(self) -> bool:
        """Whether the installed version is the one this code needs."""
        return self.version == self.expected


class PgStacBootstrap:
    """Installs and checks pgSTAC through the connection authority."""

    def __init__(self, repository: PostgreSQLRepository) -> None:
        self._repository = repository

    def check_installation(self) -> PgStacInstallation:
        """Which version is installed, if any."""
        with self._repository.transaction() as connection:
            return _installed(connection)

    def install(self) -> bool:
        """Install or upgrade pgSTAC; two at once end in one.

        Returns:
            Whether anything was done.

        Raises:
            ConfigurationError: the installed version is newer, or has no upgrade path.
        """
        with self._repository.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
            found = _installed(connection)
            if found.current:
                return False
            if found.version is not None and _ordered(found.version) > _ordered(found.expected):
                raise ConfigurationError(
                    f"The database has pgSTAC {found.version}; geomill knows {found.expected}.",
                    remedy="Upgrade geomill on this machine, or point it at another database.",
                )
            self._migrate()
            return True

    def _migrate(self) -> None:
        with self._repository.library_pool() as pool:
            library = PgstacDB(pool=pool)
            connection = library.connect()
            # The library renames its session; the server's view must keep saying who we are.
            connection.execute(
                "SELECT set_config('application_name', %s, false)",
                (self._repository.application_name,),
            )
            try:
                Migrate(library).run_migration()
            finally:
                library.disconnect()


def _installed(connection: Connection[tuple[Any, ...]]) -> PgStacInstallation:
    row = connection.execute("SELECT to_regclass('pgstac.migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return PgStacInstallation(version=None)
    row = connection.execute(
        "SELECT version FROM pgstac.migrations ORDER BY datetime DESC, version DESC LIMIT 1"
    ).fetchone()
    return PgStacInstallation(version=None if row is None else row[0])


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())

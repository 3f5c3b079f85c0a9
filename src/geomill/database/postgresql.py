"""The connection authority: the only module that opens a PostgreSQL connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from geomill.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from geomill.database.credentials import CredentialProvider

AsyncPool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
ENGINE_SCHEMA = "procrastinate"
_KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "connect_timeout": 10,
}


@dataclass(frozen=True)
class PoolLimits:
    """Sizes and times of the pools; times in seconds."""

    max_size: int = 8
    timeout_s: float = 10.0
    max_lifetime_s: float = 3600.0
    read_statement_timeout_s: float = 30.0


class PostgreSQLRepository:
    """Hands out every connection geomill uses: one sync pool, one async pool, one credential.

    Args:
        credentials: Asked for parameters at each new connection.
        role: What this process is; ``application_name`` becomes ``geomill/<role>``.
        limits: Pool sizes and timeouts.
    """

    def __init__(
        self, credentials: CredentialProvider, *, role: str, limits: PoolLimits | None = None
    ) -> None:
        self._credentials = credentials
        self._limits = limits or PoolLimits()
        self.application_name = f"geomill/{role}"
        self._pool: ConnectionPool[Connection[tuple[Any, ...]]] = ConnectionPool(
            kwargs=self._connection_arguments,
            min_size=0,
            max_size=self._limits.max_size,
            timeout=self._limits.timeout_s,
            max_lifetime=self._limits.max_lifetime_s,
            check=ConnectionPool.check_connection,
            open=False,
            name=self.application_name,
        )
        self._async_pool: AsyncPool | None = None

    def __repr__(self) -> str:
        return f"PostgreSQLRepository(role={self.application_name!r})"

    def _connection_arguments(self) -> dict[str, Any]:
        given = self._credentials.connection_parameters()
        session = f"-c search_path=public,{ENGINE_SCHEMA} -c timezone=UTC"
        return {
            **_KEEPALIVE,
            **given,
            "application_name": self.application_name,
            "options": f"{given.get('options', '')} {session}".strip(),
        }

    def open(self) -> None:
        """Open the sync pool; connections are made when first needed."""
        self._pool.open()

    def close(self) -> None:
        """Close the sync pool."""
        self._pool.close()

    async def open_async(self) -> AsyncPool:
        """Open the async pool in the running event loop and return it, for libraries that need one.

        Its connections are in autocommit: an async connection reads, or is the engine's.
        """
        self._async_pool = AsyncConnectionPool(
            kwargs=self._connection_arguments,
            configure=_in_autocommit,
            min_size=0,
            max_size=self._limits.max_size,
            timeout=self._limits.timeout_s,
            max_lifetime=self._limits.max_lifetime_s,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name=f"{self.application_name} (async)",
        )
        await self._async_pool.open()
        return self._async_pool

    async def close_async(self) -> None:
        """Close the async pool."""
        if self._async_pool is not None:
            await self._async_pool.close()

    def check(self) -> None:
        """Make one connection outside the pools, to hear from the server itself what is wrong.

        Raises:
            DatabaseUnavailable: it could not be made; the message has the driver's words.
        """
        try:
            psycopg.connect(**self._connection_arguments()).close()
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(
                f"PostgreSQL cannot be reached: {' '.join(str(error).split())}.",
                remedy="Check host, port, user, password and database in GEOMILL_DSN.",
            ) from error

    @contextmanager
    def transaction(self) -> Generator[Connection[tuple[Any, ...]]]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: no connection could be had, or it was lost.
        """
        self._credentials.connection_parameters()
        with _translated(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection[tuple[Any, ...]]]:
        """A read-only transaction for one HTTP read, with a statement timeout.

        Raises:
            DatabaseUnavailable: no connection could be had, or it was lost.
        """
        if self._async_pool is None:
            msg = "open_async() has not been called"
            raise RuntimeError(msg)
        self._credentials.connection_parameters()
        timeout_ms = int(self._limits.read_statement_timeout_s * 1000)
        with _translated():
            async with self._async_pool.connection() as connection, connection.transaction():
                await connection.execute(
                    "SELECT set_config('transaction_read_only', 'on', true),"
                    " set_config('statement_timeout', %s, true)",
                    (str(timeout_ms),),
                )
                yield connection

    @contextmanager
    def library_pool(self) -> Generator[ConnectionPool[Connection[tuple[Any, ...]]]]:
        """A pool of one, closed afterwards, for a library that changes its connection's session."""
        self._credentials.connection_parameters()
        pool: ConnectionPool[Connection[tuple[Any, ...]]] = ConnectionPool(
            kwargs=self._connection_arguments, min_size=0, max_size=1, open=False
        )
        with _translated(), pool:
            yield pool


async def _in_autocommit(connection: AsyncConnection[tuple[Any, ...]]) -> None:
    await connection.set_autocommit(True)


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            "PostgreSQL gave no connection in time.",
            remedy="Check that it runs and is not saturated: 'geomill doctor' looks at both.",
        ) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise DatabaseUnavailable(
            f"The database is not set up: {error.diag.message_primary}.",
            remedy="Run 'geomill schema deploy'.",
        ) from error
    except psycopg.errors.QueryCanceled as error:
        raise DatabaseUnavailable(
            "The query ran longer than it may and was stopped.",
            remedy="Ask for less (a smaller limit or bbox), or raise GEOMILL_STATEMENT_TIMEOUT_S.",
        ) from error
    except psycopg.OperationalError as error:
        if error.sqlstate is not None and not error.sqlstate.startswith(("08", "57P")):
            raise
        raise DatabaseUnavailable(
            "The connection to PostgreSQL was lost.",
            remedy="Try again; if it lasts, 'geomill doctor' says what is wrong.",
        ) from error

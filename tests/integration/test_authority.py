"""The connection authority: what callers may rely on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from geomill.config import Settings
from geomill.database.credentials import DsnCredentials, EmbeddedCredentials
from geomill.database.postgresql import PoolLimits, PostgreSQLRepository
from geomill.errors import ConfigurationError, DatabaseUnavailable


def test_a_transaction_commits_or_rolls_back(repository: PostgreSQLRepository) -> None:
    with repository.transaction() as connection:
        connection.execute("CREATE TABLE public.kept (n int)")

    def insert_and_fail() -> None:
        with repository.transaction() as connection:
            connection.execute("INSERT INTO public.kept VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    with repository.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM public.kept").fetchone() == (0,)


def test_reading_cannot_write(repository: PostgreSQLRepository) -> None:
    async def write() -> None:
        await repository.open_async()
        try:
            async with repository.reading() as connection:
                await connection.execute("CREATE TABLE public.never (n int)")
        finally:
            await repository.close_async()

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        asyncio.run(write())


def test_an_exhausted_pool_says_so(repository: PostgreSQLRepository) -> None:
    credentials = repository._credentials
    small = PostgreSQLRepository(
        credentials, role="test", limits=PoolLimits(max_size=1, timeout_s=0.2)
    )
    small.open()
    with small.transaction(), pytest.raises(DatabaseUnavailable, match="in time"):
        small.transaction().__enter__()
    small.close()


def test_a_missing_password_file_fails_at_once(tmp_path: Path) -> None:
    repository = PostgreSQLRepository(
        EmbeddedCredentials(tmp_path, tmp_path / "password"), role="test"
    )
    repository.open()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="password file"):
        repository.transaction().__enter__()
    assert time.monotonic() - began < PoolLimits().timeout_s
    repository.close()


def test_a_wrong_dsn_is_named_without_its_secret() -> None:
    with pytest.raises(ConfigurationError, match="GEOMILL_DSN") as caught:
        DsnCredentials(SecretStr("not a dsn hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_killed_connection_is_replaced(repository: PostgreSQLRepository) -> None:
    with repository.transaction() as connection:
        pid = connection.info.backend_pid
    with pytest.raises(DatabaseUnavailable), repository.transaction() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with repository.transaction() as connection:
        assert connection.info.backend_pid != pid


def test_a_read_that_takes_too_long_is_stopped(repository: PostgreSQLRepository) -> None:
    hasty = PostgreSQLRepository(
        repository._credentials, role="test", limits=PoolLimits(read_statement_timeout_s=0.1)
    )

    async def sleep() -> None:
        await hasty.open_async()
        try:
            async with hasty.reading() as connection:
                await connection.execute("SELECT pg_sleep(30)")
        finally:
            await hasty.close_async()

    with pytest.raises(DatabaseUnavailable, match="longer than it may"):
        asyncio.run(sleep())


def test_options_of_a_dsn_are_kept(settings: Settings) -> None:
    assert settings.dsn is not None
    dsn = SecretStr(settings.dsn.get_secret_value() + " options='-c work_mem=12345kB'")
    repository = PostgreSQLRepository(DsnCredentials(dsn), role="test")
    repository.open()
    with repository.transaction() as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("12345kB",)
        assert connection.execute("SHOW search_path").fetchone() == ("public,procrastinate",)
    repository.close()

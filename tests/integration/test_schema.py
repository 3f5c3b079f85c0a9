"""Deploying the schema: all or nothing, once, and equal to the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from geomill.database.pgstac_bootstrap import PgStacBootstrap
from geomill.database.postgresql import PostgreSQLRepository
from geomill.database.schema import SCHEMA_VERSION, deploy, state
from geomill.database.schema.compile import statements
from geomill.database.schema.deploy import MODELS
from geomill.errors import ConfigurationError


@pytest.fixture
def empty(make_database: Callable[[], PostgreSQLRepository]) -> Iterator[PostgreSQLRepository]:
    repository = make_database()
    yield repository
    repository.close()


def test_compilation_is_deterministic() -> None:
    first = [statement.as_string(None) for statement in statements(MODELS)]
    assert first == [statement.as_string(None) for statement in statements(MODELS)]


def test_deploys_once(empty: PostgreSQLRepository) -> None:
    with empty.transaction() as connection:
        assert state(connection).version is None
        assert deploy(connection)
    with empty.transaction() as connection:
        assert not deploy(connection)
        assert state(connection).version == SCHEMA_VERSION


def test_columns_are_those_of_the_models(empty: PostgreSQLRepository) -> None:
    with empty.transaction() as connection:
        deploy(connection)
        for model in MODELS:
            table = model.__table__
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = %s"
                " AND table_name = %s ORDER BY ordinal_position",
                (table.schema, table.name),
            ).fetchall()
            assert [row[0] for row in rows] == list(model.model_fields)


def test_ten_deploys_at_once_end_in_one(empty: PostgreSQLRepository) -> None:
    def attempt(_: int) -> bool:
        with empty.transaction() as connection:
            return deploy(connection)

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(attempt, range(10))) == 1


def test_a_failed_deploy_leaves_nothing(empty: PostgreSQLRepository) -> None:
    with empty.transaction() as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE app.tasks (mine int)")
    with pytest.raises(psycopg.errors.DuplicateTable), empty.transaction() as connection:
        deploy(connection)
    with empty.transaction() as connection:
        assert state(connection).version is None
        row = connection.execute("SELECT to_regclass('app.jobs')").fetchone()
        assert row == (None,)


def test_a_newer_database_is_refused(empty: PostgreSQLRepository) -> None:
    with empty.transaction() as connection:
        deploy(connection)
        connection.execute(
            sql.SQL("INSERT INTO app.schema_migrations (version, checksum) VALUES ({}, '')").format(
                sql.Literal(SCHEMA_VERSION + 1)
            )
        )
    with empty.transaction() as connection, pytest.raises(ConfigurationError, match="Upgrade"):
        deploy(connection)


def test_pgstac_installs_once_and_says_its_version(empty: PostgreSQLRepository) -> None:
    bootstrap = PgStacBootstrap(empty)
    assert bootstrap.check_installation().version is None
    assert bootstrap.install()
    assert not bootstrap.install()
    assert bootstrap.check_installation().current


def test_every_session_says_who_it_is(empty: PostgreSQLRepository) -> None:
    PgStacBootstrap(empty).install()
    with empty.transaction() as connection:
        rows = connection.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'"
        ).fetchall()
    assert all(name.startswith("geomill/") for (name,) in rows), rows

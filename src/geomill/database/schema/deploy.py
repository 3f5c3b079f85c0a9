"""Brings a database to the schema this code needs, in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, LiteralString, cast

from psycopg import sql

from geomill.database.postgresql import ENGINE_SCHEMA
from geomill.database.schema.compile import statements
from geomill.errors import ConfigurationError
from geomill.model.dataset import Dataset
from geomill.model.job import Job, Stage, Task

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMA_VERSION = 1
MODELS = (Job, Stage, Task, Dataset)
_SCHEMAS = ("app", "geo", "h3", ENGINE_SCHEMA)
_ADVISORY_LOCK = 0x67656F6D  # "geom": one deploy at a time in a database.


@dataclass(frozen=True)
class SchemaState:
    """What is deployed: ``version`` is None on an empty database."""

    version: int | None
    expected: int = SCHEMA_VERSION

    @property
    def current(self) -> bool:
        """Whether the database is as this code needs it."""
        return self.version == self.expected


def state(connection: Connection[tuple[Any, ...]]) -> SchemaState:
    """Which version of the schema the database has."""
    row = connection.execute("SELECT to_regclass('app.schema_migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return SchemaState(version=None)
    row = connection.execute("SELECT max(version) FROM app.schema_migrations").fetchone()
    return SchemaState(version=None if row is None else row[0])


def deploy(connection: Connection[tuple[Any, ...]]) -> bool:
    """Create what is missing; the caller's transaction makes it all or nothing.

    Returns:
        Whether anything was done.

    Raises:
        ConfigurationError: the database was made by a newer geomill.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    found = state(connection)
    if found.version is not None and found.version > SCHEMA_VERSION:
        raise ConfigurationError(
            f"The database has schema version {found.version}; geomill knows {SCHEMA_VERSION}.",
            remedy="Upgrade geomill on this machine, or point it at another database.",
        )
    if found.current:
        return False
    _create(connection)
    return True


def _create(connection: Connection[tuple[Any, ...]]) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public")
    for schema in _SCHEMAS:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    connection.execute(
        "CREATE TABLE app.schema_migrations ("
        " version integer PRIMARY KEY, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    compiled = statements(MODELS)
    for statement in compiled:
        connection.execute(statement)
    _create_engine(connection)
    text = "\n".join(statement.as_string(connection) for statement in compiled)
    connection.execute(
        "INSERT INTO app.schema_migrations (version, checksum) VALUES (%s, %s)",
        (SCHEMA_VERSION, hashlib.sha256(text.encode()).hexdigest()),
    )


def _create_engine(connection: Connection[tuple[Any, ...]]) -> None:
    """Install the queue's tables, from the SQL its library ships."""
    script = (resources.files("procrastinate") / "sql" / "schema.sql").read_text(encoding="utf-8")
    connection.execute(
        sql.SQL("SET LOCAL search_path TO {}, public").format(sql.Identifier(ENGINE_SCHEMA))
    )
    connection.execute(cast("LiteralString", script))
    connection.execute(
        sql.SQL("SET LOCAL search_path TO public, {}").format(sql.Identifier(ENGINE_SCHEMA))
    )

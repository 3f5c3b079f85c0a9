"""Feature tables in the schema ``geo``: staged, filled by COPY, indexed, swapped in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql

from geomill.errors import AlreadyExists
from geomill.model.dataset import GEOMETRY_COLUMN, KEY_COLUMN, SRID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import LiteralString

    from psycopg import Connection

    from geomill.model.dataset import FeatureColumn

_SCHEMA = "geo"


def create_staging(
    connection: Connection[tuple[Any, ...]],
    table: str,
    columns: Sequence[FeatureColumn],
    geometry_type: str,
) -> None:
    """Create an empty staging table; its keys and indexes come after the load."""
    parts = [sql.SQL("{} bigint NOT NULL").format(sql.Identifier(KEY_COLUMN))]
    parts += [
        sql.SQL("{} {}").format(
            sql.Identifier(column.name), sql.SQL(cast("LiteralString", column.sql_type))
        )
        for column in columns
    ]
    parts.append(
        sql.SQL("{} geometry({}, {})").format(
            sql.Identifier(GEOMETRY_COLUMN),
            sql.SQL(cast("LiteralString", geometry_type)),
            sql.Literal(SRID),
        )
    )
    connection.execute(
        sql.SQL("CREATE TABLE {} ({})").format(
            sql.Identifier(_SCHEMA, table), sql.SQL(", ").join(parts)
        )
    )


def copy_binary(
    connection: Connection[tuple[Any, ...]],
    table: str,
    columns: Sequence[FeatureColumn],
    chunks: Iterable[bytes],
) -> int:
    """Fill a table created in this transaction with PostgreSQL's binary COPY format.

    Args:
        connection: The transaction that created the table, which lets rows be written frozen.
        table: The staging table.
        columns: Attribute columns, in the order of ``chunks``: key, attributes, geometry.
        chunks: The stream, header and trailer included.

    Returns:
        Rows copied.
    """
    names = [KEY_COLUMN, *(column.name for column in columns), GEOMETRY_COLUMN]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(
        sql.Identifier(_SCHEMA, table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for chunk in chunks:
                copy.write(chunk)
        return cursor.rowcount


def settle_geometry_type(
    connection: Connection[tuple[Any, ...]], table: str, geometry_type: str
) -> None:
    """Narrow a generic geometry column to the one type its rows turned out to have."""
    connection.execute(
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE geometry({}, {})").format(
            sql.Identifier(_SCHEMA, table),
            sql.Identifier(GEOMETRY_COLUMN),
            sql.SQL(cast("LiteralString", geometry_type)),
            sql.Literal(SRID),
        )
    )


def index_staging(connection: Connection[tuple[Any, ...]], table: str) -> None:
    """Primary key, GiST index and statistics."""
    name = sql.Identifier(_SCHEMA, table)
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(
            name, sql.Identifier(_key_name(table)), sql.Identifier(KEY_COLUMN)
        )
    )
    connection.execute(
        sql.SQL("CREATE INDEX {} ON {} USING gist ({})").format(
            sql.Identifier(_index_name(table)), name, sql.Identifier(GEOMETRY_COLUMN)
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(name))


def bounds_crs84(connection: Connection[tuple[Any, ...]], table: str) -> list[float] | None:
    """[west, south, east, north] of a table's geometries in degrees; None without any."""
    row = connection.execute(
        sql.SQL(
            "SELECT ARRAY[ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box)]"
            " FROM (SELECT ST_Extent({}) AS box FROM {}) AS extent WHERE box IS NOT NULL"
        ).format(sql.Identifier(GEOMETRY_COLUMN), sql.Identifier(_SCHEMA, table))
    ).fetchone()
    return None if row is None else row[0]


def swap_in(
    connection: Connection[tuple[Any, ...]], staging: str, table: str, *, replaces: bool
) -> None:
    """Give a staging table its final name; readers see the old rows until the commit.

    Args:
        connection: The publishing transaction.
        staging: An indexed staging table.
        table: The name to publish under.
        replaces: Whether a published dataset holds that name now.

    Raises:
        AlreadyExists: the name is taken by a table that geomill did not publish.
    """
    if replaces:
        _drop_replaced(connection, table)
    elif table_exists(connection, table):
        raise AlreadyExists(
            f"Table {_SCHEMA}.{table} exists and was not published by geomill.",
            remedy="Choose another table name, or rename or drop that table.",
        )
    connection.execute(
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(
            sql.Identifier(_SCHEMA, staging), sql.Identifier(table)
        )
    )
    for name in (_key_name, _index_name):
        connection.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier(_SCHEMA, name(staging)), sql.Identifier(name(table))
            )
        )


def limit_lock_waits(connection: Connection[tuple[Any, ...]]) -> None:
    """Rather fail and try again than have every reader queue behind a waiting swap."""
    connection.execute("SET LOCAL lock_timeout = '10s'")


def _drop_replaced(connection: Connection[tuple[Any, ...]], table: str) -> None:
    try:
        connection.execute(
            sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(_SCHEMA, table))
        )
    except psycopg.errors.DependentObjectsStillExist as error:
        raise AlreadyExists(
            f"Table {_SCHEMA}.{table} cannot be replaced: {error.diag.message_detail}.",
            remedy="Drop what depends on it, then resubmit the job.",
        ) from error


def table_exists(connection: Connection[tuple[Any, ...]], table: str) -> bool:
    """Whether ``geo`` has a relation of this name."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class"
        " WHERE relnamespace = 'geo'::regnamespace AND relname = %s)",
        (table,),
    ).fetchone()
    return row is not None and bool(row[0])


def drop_staging(connection: Connection[tuple[Any, ...]], prefix: str) -> list[str]:
    """Drop the staging tables whose names begin with ``prefix``; returns their names."""
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'geo'::regnamespace AND starts_with(relname, %s)",
        (prefix,),
    ).fetchall()
    names = [row[0] for row in rows]
    for name in names:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(_SCHEMA, name)))
    return names


def _key_name(table: str) -> str:
    return f"{table}_pkey"


def _index_name(table: str) -> str:
    return f"{table}_geom_idx"

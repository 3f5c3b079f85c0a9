"""Every data operation on pgSTAC, through its own functions only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import errors
from psycopg.types.json import Jsonb

from geomill.database.postgresql import ENGINE_SCHEMA
from geomill.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg import AsyncConnection, Connection

    from geomill.model.job import Json


class PgStacRepository:
    """Collections and Items; each method works in the caller's transaction."""

    def find_collection(
        self, connection: Connection[tuple[Any, ...]], collection_id: str
    ) -> Json | None:
        """The Collection as stored, or None."""
        with _in_pgstac(connection):
            row = connection.execute("SELECT get_collection(%s)", (collection_id,)).fetchone()
        return None if row is None else row[0]

    def upsert_collection(self, connection: Connection[tuple[Any, ...]], collection: Json) -> None:
        """Insert the Collection, or replace the one with its id."""
        with _in_pgstac(connection):
            connection.execute("SELECT upsert_collection(%s)", (Jsonb(collection),))

    def find_item(
        self, connection: Connection[tuple[Any, ...]], collection_id: str, item_id: str
    ) -> Json | None:
        """The Item as stored, or None."""
        with _in_pgstac(connection):
            row = connection.execute("SELECT get_item(%s, %s)", (item_id, collection_id)).fetchone()
        return None if row is None else row[0]

    def item_exists(
        self, connection: Connection[tuple[Any, ...]], collection_id: str, item_id: str
    ) -> bool:
        """Whether the Collection has an Item with this id."""
        return self.find_item(connection, collection_id, item_id) is not None

    def upsert_item(self, connection: Connection[tuple[Any, ...]], item: Json) -> None:
        """Insert the Item, or replace the one with its id; its Collection must exist."""
        with _in_pgstac(connection):
            connection.execute("SELECT upsert_item(%s)", (Jsonb(item),))

    def delete_item(
        self, connection: Connection[tuple[Any, ...]], collection_id: str, item_id: str
    ) -> None:
        """Delete an Item that exists."""
        with _in_pgstac(connection):
            connection.execute("SELECT delete_item(%s, %s)", (item_id, collection_id))


def lock_collection(connection: Connection[tuple[Any, ...]], collection_id: str) -> None:
    """Let one transaction at a time change a Collection; held until it ends."""
    _lock(connection, f"geomill.collection:{collection_id}")


def lock_dataset(connection: Connection[tuple[Any, ...]], dataset_id: str) -> None:
    """Let one transaction at a time publish a dataset; taken before any Collection's lock."""
    _lock(connection, f"geomill.dataset:{dataset_id}")


def _lock(connection: Connection[tuple[Any, ...]], name: str) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


async def read_collections(connection: AsyncConnection[tuple[Any, ...]]) -> list[Json]:
    """Every Collection as stored, for HTTP."""
    return await _call(connection, "SELECT all_collections()", ()) or []


async def read_collection(
    connection: AsyncConnection[tuple[Any, ...]], collection_id: str
) -> Json | None:
    """A Collection as stored, for HTTP, or None."""
    return await _call(connection, "SELECT get_collection(%s)", (collection_id,))


async def read_item(
    connection: AsyncConnection[tuple[Any, ...]], collection_id: str, item_id: str
) -> Json | None:
    """An Item as stored, for HTTP, or None."""
    return await _call(connection, "SELECT get_item(%s, %s)", (item_id, collection_id))


async def read_search(connection: AsyncConnection[tuple[Any, ...]], search: Json) -> Json:
    """A page of Items: pgSTAC's own FeatureCollection, tokens in its links.

    Raises:
        InvalidParameter: pgSTAC cannot use the token, the geometry or another value.
    """
    try:
        found = await _call(connection, "SELECT search(%s)", (Jsonb(search),))
    except (errors.RaiseException, errors.DataError, errors.InternalError_) as error:
        raise InvalidParameter(
            f"The search cannot be run: {error.diag.message_primary}.",
            remedy="Check its token, bbox, datetime, ids, collections and intersects.",
        ) from error
    if found is None:
        msg = "pgstac.search() gave no row"
        raise RuntimeError(msg)
    return found


async def _call(
    connection: AsyncConnection[tuple[Any, ...]], statement: Any, arguments: tuple[Any, ...]
) -> Any:
    """Ask pgSTAC; read-only, it keeps its search cache out of a reading transaction."""
    await connection.execute(
        "SELECT set_config('search_path', 'pgstac, public', true),"
        " set_config('pgstac.readonly', 'true', true)"
    )
    cursor = await connection.execute(statement, arguments)
    row = await cursor.fetchone()
    return None if row is None else row[0]


@contextmanager
def _in_pgstac(connection: Connection[tuple[Any, ...]]) -> Generator[None]:
    """Let pgSTAC's functions find their tables by search_path; ours is put back after.

    A failed statement has failed the transaction, and with it the path: no ``finally``.
    """
    connection.execute("SET LOCAL search_path TO pgstac, public")
    yield
    connection.execute(f"SET LOCAL search_path TO public, {ENGINE_SCHEMA}")

"""Features, dataset row, STAC Item and Collection become visible together or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geomill.catalog.metadata import StacMetadataService
from geomill.repositories import datasets, pgstac, tables

if TYPE_CHECKING:
    from psycopg import Connection

    from geomill.model.dataset import Dataset

_METADATA = StacMetadataService()
_CATALOG = pgstac.PgStacRepository()


def publish_vector(
    connection: Connection[tuple[Any, ...]], dataset: Dataset, staging_table: str
) -> Dataset:
    """Publish a loaded staging table, in place of what the dataset held before.

    Args:
        connection: The caller's transaction; nothing is visible before it commits.
        dataset: What to publish; version and time of publication are the database's.
        staging_table: An indexed table in ``geo``.

    Returns:
        The dataset as stored.

    Raises:
        AlreadyExists: the table's name is taken by one that geomill did not publish.
    """
    tables.limit_lock_waits(connection)
    pgstac.lock_dataset(connection, dataset.dataset_id)
    old = datasets.find_dataset(connection, dataset.dataset_id)
    moved = old is not None and (old.collection_id, old.item_id) != (
        dataset.collection_id,
        dataset.item_id,
    )
    touched = [dataset.collection_id]
    if old is not None and moved:
        touched = sorted({old.collection_id, dataset.collection_id})
    for collection_id in touched:
        pgstac.lock_collection(connection, collection_id)
    tables.swap_in(connection, staging_table, dataset.table_name, replaces=old is not None)
    stored = datasets.upsert_dataset(connection, dataset)
    if old is not None and moved:
        _CATALOG.delete_item(connection, old.collection_id, old.item_id)
    for collection_id in touched:
        _refresh_collection(connection, collection_id)
    _CATALOG.upsert_item(connection, _METADATA.item(stored))
    _require_found(connection, stored)
    return stored


def _refresh_collection(connection: Connection[tuple[Any, ...]], collection_id: str) -> None:
    existing = _CATALOG.find_collection(connection, collection_id)
    members = datasets.list_in_collection(connection, collection_id)
    _CATALOG.upsert_collection(connection, _METADATA.collection(collection_id, members, existing))


def _require_found(connection: Connection[tuple[Any, ...]], dataset: Dataset) -> None:
    if not _CATALOG.item_exists(connection, dataset.collection_id, dataset.item_id):
        msg = f"pgSTAC took Item {dataset.collection_id}/{dataset.item_id} and does not find it"
        raise RuntimeError(msg)
